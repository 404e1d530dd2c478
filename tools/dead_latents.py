"""How many latents never fire, with and without what keeps them alive: the rows of a family's SAEs that tell it, seed by seed.

python -m msae family train --family settle --out settle --measure --valid valid.jsonl.zst
python tools/dead_latents.py --saes settle --out book/02_tinystories/dead_latents.json
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from msae.support.files import as_json, write_file

TOLD = ("n_tokens", "l0", "fvu", "dead")
RECIPE = ("n_steps", "lazy_adam", "exchange_every", "exchange_moves", "fade_prefixes")
KINDS = ("plain-30", "matryoshka-30")
PARTS = ("", "lazy-", "exchange-", "revived-")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--saes", type=Path, required=True, help="the folder of the family's SAEs, with their rows")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    names = {f"{part}{kind}{ending}" for part in PARTS for kind in KINDS for ending in ("", "-long", "-longest")}
    folders = sorted(options.saes.glob("blocks.3.hook_resid_pre/*/"))
    paths = [path for folder in folders for path in (folder / "row.json", folder / "brought.json") if path.is_file()]
    rows = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    found = [short(row) for row in rows if row["name"] in names]
    write_file(options.out, as_json({"made_by": "tools/dead_latents.py", "rows": found}, "the rows", indent=1))
    print(f"{len(found)} of {len(rows)} rows")


def short(row: dict[str, Any]) -> dict[str, Any]:
    """What is told of one SAE: what it is, how it was trained, and how many of its latents live."""
    about = {key: row[key] for key in ("name", "seed", "n_latents", "target_l0", "seconds", "hardware", "versions") if key in row}
    recipe = {key: row["recipe"].get(key) for key in RECIPE}
    measured = {stories: {key: found[key] for key in TOLD} for stories, found in row["measured"].items()}
    return about | recipe | {"measured": measured}


if __name__ == "__main__":
    main()
