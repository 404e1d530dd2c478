"""Token patterns in a real browser, opened from a file: the shared cases, and the worker that stops a pattern which takes too long."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pattern_cases import CASES, JAVASCRIPT_CORPORA, RUN_IN_JAVASCRIPT, differing

from msae.explore.pages import in_page, worker
from msae.explore.scripts import joined, text
from msae.patterns import MAX_TESTS

pytestmark = pytest.mark.browser

LONG = {"vocab": [" Lily", " she"], "tokens": [0] * 20_000 + [1], "start": [0, 20_001]}


@pytest.fixture
def page(browser_page, tmp_path: Path):
    """A page that holds the modules as the explorer's pages do: in itself, with no server to fetch it from."""
    wanted = {"corpus": "patterns/corpus", "match": "patterns/matching", "Matcher": "matcher"}
    imports = "".join(f'import {{ {name} }} from "./{file}.mjs";\n' for name, file in wanted.items())
    window = f"Object.assign(window, {{ {', '.join(wanted)} }});\n"
    whole = joined("page.mjs", lambda file: imports + window if file == "page.mjs" else text(file))
    inline = in_page(f"{whole}{RUN_IN_JAVASCRIPT}Object.assign(window, {{ run, source: {json.dumps(worker())} }});")
    path = tmp_path / "page.html"
    path.write_text(f'<!doctype html><meta charset="utf-8"><title>patterns</title><script type="module">{inline}</script>', encoding="utf8")
    browser_page.page.goto(path.as_uri())
    browser_page.page.wait_for_function("!!window.run")
    yield browser_page.page
    assert browser_page.errors == []
    assert browser_page.outside == []


def test_cases_in_the_browser(page: Any) -> None:
    answers = page.evaluate("([corpora, cases]) => run(corpora, cases)", [JAVASCRIPT_CORPORA, CASES])
    assert differing(CASES, answers) == []


def test_the_worker_answers_and_says_what_is_wrong(page: Any) -> None:
    story = JAVASCRIPT_CORPORA["story"]
    said = page.evaluate(
        """async ({ tokens, start, vocab, latents, maxTests }) => {
            const search = new Matcher(source, { tokens: Uint16Array.from(tokens), start, vocab }, maxTests, 5);
            const wrong = search.match("Lily [cap").catch((error) => ({ message: error.message, ...error }));
            const asked = search.latentsIn("[S/2/65 & !S/3/66] | [S/2/65 > 2]");
            const marks = await Promise.all([search.match("Lily"), search.match("[S/2/65 >= 25%]", latents), wrong, asked]);
            search.close();
            return [[...marks[0]], [...marks[1]], marks[2], marks[3]];
        }""",
        story | {"maxTests": MAX_TESTS},
    )
    lily, strong, wrong, latents = said
    assert [i for i, mark in enumerate(lily) if mark] == [11, 27, 33, 50, 55]
    fires = story["latents"]["S/2/65"]
    assert [i for i, mark in enumerate(strong) if mark] == [p for p, v in zip(fires["positions"], fires["values"]) if v >= 1]
    assert wrong["name"] == "PatternError"
    assert (wrong["reason"], wrong["line"], wrong["column"]) == ("the pattern ends too early", 1, 10)
    assert wrong["message"].split("\n")[1:] == ["  Lily [cap", "           ^"]
    assert latents == ["S/2/65", "S/3/66"]


def test_a_pattern_that_takes_too_long_is_stopped_and_the_next_one_answered(page: Any) -> None:
    said = page.evaluate(
        """async ({ tokens, start, vocab, maxTests }) => {
            const search = new Matcher(source, { tokens: Uint16Array.from(tokens), start, vocab }, maxTests, 3);
            const slow = await search.match("@. .* .* [pos=0]").catch((error) => error.message);
            const marks = await search.match("Lily she");
            search.close();
            return [slow, [...marks].lastIndexOf(1), marks.reduce((a, b) => a + b)];
        }""",
        LONG | {"maxTests": MAX_TESTS},
    )
    assert said[0].startswith("stopped after 3 s: this pattern can match in too many ways; give its repetitions an upper end")
    assert said[1:] == [20_000, 1]
