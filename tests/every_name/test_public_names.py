"""What `import msae` offers: each name resolves when it is first used, and a type checker knows it too."""

import ast
import subprocess
import sys
from pathlib import Path

import msae

SOURCE = ast.parse(Path(msae.__file__).read_text(encoding="utf-8"))


def test_every_public_name_resolves():
    for name in msae.__all__:
        assert getattr(msae, name) is not None
    assert set(dir(msae)) == set(msae.__all__)


def test_a_type_checker_sees_the_same_names():
    (block,) = (node for node in SOURCE.body if isinstance(node, ast.If))
    seen = {(alias.asname or alias.name): (node.module, alias.name) for node in block.body for alias in node.names}
    homes = {name: (place, name) for name, place in msae._PLACE_OF.items()} | {name: ("msae", name) for name in msae._ROOMS}
    homes |= {name: (f"msae.{place.rpartition('.')[0]}", place.rpartition(".")[2]) for name, place in msae._MOVED.items()}
    assert set(seen.items()) ^ set(homes.items()) == set(), "what msae/__init__.py lists and its TYPE_CHECKING block differ"
    assert (Path(msae.__file__).parent / "py.typed").is_file()


def test_importing_msae_loads_nothing():
    code = "import msae, sys; print({'torch', 'numpy', 'plotly', 'transformer_lens', 'scipy'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "set()\n"
