"""The modules of the front end: each by itself in a browser, and all of them as the one script that pages and widgets run."""

from __future__ import annotations

import functools
import threading
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from pages import Quiet

from msae.explore.bundle import schema
from msae.explore.pages import module
from msae.explore.scripts import joined, variable
from msae.explore.terms import search_terms

STATIC = Path(__file__).parent.parent.parent / "msae" / "explore" / "static"
FILES = sorted(path.relative_to(STATIC).as_posix() for path in STATIC.rglob("*.mjs"))


def join(**modules: str) -> str:
    return joined("entry.mjs", {name.replace("__", "/") + ".mjs": text for name, text in modules.items()}.__getitem__)


@pytest.mark.parametrize(
    ("modules", "message"),
    [
        ({"entry": "export default 1;\n"}, "entry.mjs has what cannot be joined: export default 1;"),
        ({"entry": "const a = 1;\nexport { a };\n"}, "cannot be joined: export { a };"),
        ({"entry": 'export * from "./a.mjs";\n'}, r"cannot be joined: export \* from"),
        ({"entry": "export let a = 1;\n"}, "cannot be joined: export let a = 1;"),
        ({"entry": '  import { a } from "./a.mjs";\n', "a": "export const a = 1;\n"}, "cannot be joined:   import"),
        ({"entry": "export const { a, b } = 1;\n"}, "cannot be joined: export const {"),
        ({"entry": 'import * as a from "./a.mjs";\n', "a": ""}, r"cannot be joined: import \* as a"),
        ({"entry": 'import a from "./a.mjs";\n', "a": ""}, "cannot be joined: import a from"),
        ({"entry": 'import "./a.mjs";\n', "a": ""}, r'cannot be joined: import "./a.mjs"'),
        ({"entry": 'import { a } from "a";\n', "a": ""}, 'cannot be joined: import { a } from "a";'),
        ({"entry": 'const a = await import("./a.mjs");\n'}, r"cannot be joined: import\("),
        ({"entry": "const a = import.meta.url;\n"}, "cannot be joined: import.meta.url;"),
        ({"entry": "const a_mjs = 1;\n"}, "cannot be joined: a_mjs"),
        ({"entry": 'import { a as b } from "./a.mjs";\n', "a": "export const a = 1;\n"}, "imports a as b, which a.mjs does not export"),
        ({"entry": 'import { b } from "./a.mjs";\n', "a": "export const a = 1, b = 2;\n"}, "imports b, which a.mjs does not export"),
        ({"entry": 'import { a } from "./a.mjs";\n', "a": 'import { b } from "./entry.mjs";\n'}, "entry.mjs → a.mjs → entry.mjs"),
    ],
)
def test_what_cannot_be_joined_is_refused(modules, message) -> None:
    with pytest.raises(ValueError, match=message):
        join(**modules)


@pytest.mark.browser
def test_names_may_be_the_same_in_two_modules(browser_page) -> None:
    script = join(
        entry='import { a, Twice, three } from "./in/a.mjs";\nconst own = 1;\nexport const all = [a(), new Twice().own, three, own];\n',
        in__a='/** Its own. */\nconst own = 10;\nimport {\n  one,\n  three,\n} from "../b.mjs";\n'
        "export async function* none() {}\nexport function a() {\n  return own + one;\n}\nexport class Twice {\n  own = 2 * own;\n}\n"
        "export const three = 3;\n".replace("\n  three,\n}", "\n}"),
        b="const own = 5;\nexport const one = own - 4;\n",
    )
    assert "Its own" not in script
    assert browser_page.page.evaluate(f"(() => {{ {script} return {variable('entry.mjs')}.all; }})()") == [11, 20, 3, 1]


@pytest.mark.browser
def test_all_modules_are_joined_and_no_name_is_twice_in_one(browser_page) -> None:
    names = [f"const {variable(file)} = (" for file in FILES]
    script = module()
    assert [name for name in names if script.count(name) + script.count(f"\\n{name}") < 1] == []
    # the browser refuses a name that is declared twice, in whatever way
    made = browser_page.page.evaluate(
        """async (script) => {
            const address = URL.createObjectURL(new Blob([script], { type: "text/javascript" }));
            return typeof (await import(address)).default.render;
        }""",
        script,
    )
    assert made == "function"


@pytest.fixture
def address():
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(STATIC)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()


@pytest.mark.browser
def test_each_module_loads_by_itself(browser_page: Any, address: str) -> None:
    page = browser_page.page
    page.goto(f"{address}/explorer.css")  # some page of that server
    failed = page.evaluate(
        """async (addresses) => {
            const failed = [];
            for (const address of addresses) await import(address).catch((error) => failed.push(`${address}: ${error}`));
            return failed;
        }""",
        [f"{address}/{file}" for file in FILES],
    )
    assert failed == []
    assert browser_page.errors == []


@pytest.mark.browser
def test_a_folder_that_does_not_say_what_a_search_counts_with_has_what_was_meant_then(browser_page: Any, address: str) -> None:
    page = browser_page.page
    page.goto(f"{address}/explorer.css")
    terms = page.evaluate(
        "async ([address, said]) => { const { termsOf } = await import(address); return [termsOf({}), termsOf({ search: said })]; }",
        [f"{address}/manifest.mjs", {"share": 0.5, "levels": [0.2]}],
    )
    assert (
        terms[0]
        == search_terms()
        == {"max_tests": 24, "levels": [0, 0.1, 0.25, 0.5, 0.75], "min_precision": 0.8, "share": 0.9, "confidence": 0.9}
    )
    assert terms[1] == terms[0] | {"share": 0.5, "levels": [0.2]}
    assert set(schema()["properties"]["search"]["properties"]) == set(terms[0])


def test_files_are_short_and_lines_fit() -> None:
    texts = {path: path.read_text(encoding="utf-8").splitlines() for path in STATIC.rglob("*.mjs")}
    assert {path.name: len(lines) for path, lines in texts.items() if len(lines) > 300} == {}
    assert [f"{path.name}: {line}" for path, lines in texts.items() for line in lines if len(line) > 140] == []
