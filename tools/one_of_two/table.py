"""The table of "One of two": what the files of train.py say, in one small file that ships with msae.

python tools/one_of_two/table.py        (runs/one_of_two/*.json into msae/assets/one_of_two.json; a second)
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path
from typing import Any

from jobs import BATCH, N_STEPS, SIZES, Job, all_jobs
from words import FOLDER, HOOK, PAIR

TABLE = Path("msae/assets/one_of_two.json")


def row(said: dict[str, Any], again: list[float] | None) -> dict[str, Any]:
    """What the page needs of one SAE; `again` is F1 of the same recipe on another machine."""
    job = said["job"]
    own = said["owners"]
    out = job | {key: rounded(said[key]) for key in ("told", "real", "l0", "fvu", "dead")}
    out["owners"] = [one["latent"] for one in own]
    if job["edit"] in ("", "insert"):
        out["on_the_way"] = rounded(said["on_the_way"], 3)
    if not job["edit"] and job["rows"] == job["order"]:
        out["of_the_owners"] = rounded(said["of_the_owners"], 3)
    if said.get("first"):
        out["first"] = [rounded(said["first"][one["latent"]]) for one in own]
        out["first_place"] = [sum(abs(value) > abs(said["first"][one["latent"]]) for value in said["first"]) for one in own]
        out["first_ends"] = rounded([min(said["first"]), max(said["first"])])
    if said.get("two_sided"):
        out["two_sided"] = said["two_sided"]["latent"], *rounded(said["two_sided"]["f1"])
    if said.get("gains") and not job["edit"]:
        gains = said["gains"]
        out["gains"] = {key: rounded(gains[key]) for key in ("weight", "error", "worth", "axis")} | {"rank": gains["rank"]}
        out["gains"]["least_worth"] = rounded(gains["least_worth"][0])
        for key in ("missing", "anew"):
            out["gains"][key] = [rounded([one["l0"], one["saved"], one["price"]], 5) for one in gains[key]]
    if again is not None:
        out["again"] = rounded(again)
    if said.get("inserted"):
        out["inserted"] = {key: rounded(said["inserted"].get(key)) for key in ("lacks", "gain", "worth_of_place", "on_the_way")}
    return out


def rounded(value: Any, digits: int = 4) -> Any:
    """Numbers with a few digits, in whatever they lie."""
    if isinstance(value, float):
        return round(value, digits)
    if isinstance(value, (list, tuple)):
        return [rounded(one, digits) for one in value]
    if isinstance(value, dict):
        return {key: rounded(one, digits) for key, one in value.items()}
    return value


def main() -> None:
    """Write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, nargs="+", default=[FOLDER], help="folders; of an SAE that is in several the first counts")
    parser.add_argument("--to", type=Path, default=TABLE)
    parser.add_argument("--hardware", default="CPU", help="in words")
    asked = parser.parse_args()
    paths = [[path for runs in asked.runs if (path := runs / f"{job.name}.json").exists()] for job in all_jobs()]
    found = [said for path in paths if path if (said := json.loads(path[0].read_text("utf8")))["n_steps"] == N_STEPS]
    again = {path[0].stem: json.loads(path[1].read_text("utf8"))["told"] for path in paths if len(path) > 1}
    devices = Counter("GPU" if said["device"].startswith("cuda") else "CPU" for said in found)
    table = {
        "what": "SAEs of 'One of two': F1 of the best latent for female and for male words, at a quarter of its maximum",
        "made": {
            "by": "tools/one_of_two: words.py, train.py, table.py",
            "hardware": asked.hardware,
            "trained_on": devices,
            "hook_name": HOOK,
            "pair": PAIR,
            "n_steps": N_STEPS,
            "batch_size": BATCH,
            "sizes": {kind: list(size) for kind, size in SIZES.items()},
            "torch": sorted({said["torch"] for said in found}),
            "msae": sorted({said["msae"] for said in found}),
            "seconds": round(sum(said["seconds"] / said["together"] for said in found)),
            "steps": found[0]["steps"],
            "n_tokens": {"train": 537_443, "told": 27_804, "real": 50_000},
        },
        "saes": [row(said, again.get(Job(**said["job"]).name)) for said in found],
    }
    lines = json.dumps(table | {"saes": []}, ensure_ascii=False)[:-3]
    text = lines + "[\n" + ",\n".join(json.dumps(one, ensure_ascii=False, separators=(",", ":")) for one in table["saes"]) + "\n]}\n"
    asked.to.write_text(text, "utf8")
    print(f"{len(found)} SAEs, {len(text):,} bytes, {asked.to}")


if __name__ == "__main__":
    main()
