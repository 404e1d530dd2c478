"""What a comparison of steps says: ratios, a table, a sentence, a figure."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from statistics import median, quantiles
from typing import TYPE_CHECKING, Any

from msae.bench.settings import ENCODER, FLOOR, PEAK_FLOPS

if TYPE_CHECKING:
    import plotly.graph_objects as go


def of_peak(flops: float, gpu: str, dtype: str) -> float | None:
    """Share of the card's peak, 0 to 1; None where the card is not known.

    Args:
        flops: operations per second.
        gpu: the card's name.
        dtype: of the products.
    """
    known = next((peak for word, peak in PEAK_FLOPS.items() if word in gpu), {})
    return flops / known[dtype] if dtype in known else None


def summary(
    tasks: Mapping[str, Mapping[str, Any]], blocks: Mapping[str, Sequence[Mapping[str, Any]]], ends: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    """The numbers of each step, from its blocks and those of its neighbours in the same rounds.

    Args:
        tasks: label → what its process builds: "kind", "nonlinearity", "loss".
        blocks: label → what each of its turns cost, one per round: "steps", "wall", "user" and "kernel" seconds, "faults".
        ends: label → what its process told at the end.

    Returns:
        per label what it is, and

    - "ms", "user_ms", "kernel_ms", "faults": a step's wall time, CPU time in user and kernel mode, page faults; medians over rounds;
    - "best_ms": the least wall time of a round;
    - "x_five", with the quartiles "x_five_low" and "x_five_high": median of the paired ratios of wall time to the five products;
      "cpu_x_five": of CPU time; "x_plain" and its companions: to the plain step of the same library and nonlinearity;
    - "peak_mb": memory over what the imports took;
    - "l0" and "active": latents active per input, their mean, and least, 5 %, median, 95 % and most; as measured at the end;
    - "kernels", "host_reads": of one step, where asked;
    - "blocks": as given.

    Example:
        >>> tasks = {"five products": {"kind": "floor"}, "relu, plain": {"kind": "msae", "nonlinearity": "relu", "loss": "plain"}}
        >>> turn = {"steps": 1, "wall": 0.25, "user": 0.25, "kernel": 0.0, "faults": 0}
        >>> rows = summary(tasks, {"five products": [turn], "relu, plain": [turn | {"wall": 0.75}]}, {label: {} for label in tasks})
        >>> rows["relu, plain"]["x_five"]
        3.0
    """
    rows = {}
    for label, task in tasks.items():
        own = blocks[label]
        row: dict[str, Any] = dict(task)
        walls = [1e3 * per_step(block, "wall") for block in own]
        row |= {"ms": median(walls), "best_ms": min(walls)}
        row |= {f"{key}_ms": median(1e3 * per_step(block, key) for block in own) for key in ("user", "kernel")}
        row["faults"] = None if own[0]["faults"] is None else median(per_step(block, "faults") for block in own)
        for against, other in (("five", FLOOR), ("plain", _plain_of(label, tasks))):
            if other in (None, label):
                continue
            wall = paired(own, blocks[other], "wall")
            low, _, high = quantiles(wall, n=4, method="inclusive") if len(wall) > 1 else wall * 3
            row |= {f"x_{against}": median(wall), f"x_{against}_low": low, f"x_{against}_high": high}
            row[f"cpu_x_{against}"] = median(paired(own, blocks[other], "user", "kernel"))
        rows[label] = row | dict(ends[label]) | {"blocks": list(own)}
    return rows


def _plain_of(label: str, tasks: Mapping[str, Mapping[str, Any]]) -> str | None:
    """The plain step that the step of this label is compared with."""
    wanted = {**tasks[label], "loss": "plain"}
    return next((other for other, task in tasks.items() if task == wanted), None)


def per_step(block: Mapping[str, Any], *keys: str) -> float:
    """What one step of a block cost: the sum of some of its numbers."""
    return sum(float(block[key]) for key in keys) / float(block["steps"])


def paired(ours: Sequence[Mapping[str, Any]], theirs: Sequence[Mapping[str, Any]], *keys: str) -> list[float]:
    """Per round, what a step costs over what another's step costs."""
    return [per_step(a, *keys) / max(per_step(b, *keys), 1e-9) for a, b in zip(ours, theirs, strict=True)]


COLUMNS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "ms": lambda row: _number(row["ms"]),
    "x five": lambda row: _number(row.get("x_five"), 2),
    "quartiles": lambda row: f"{row['x_five_low']:.2f}-{row['x_five_high']:.2f}" if "x_five" in row else "",
    "CPU x five": lambda row: _number(row.get("cpu_x_five"), 2),
    "x plain": lambda row: _number(row.get("x_plain"), 2),
    "CPU x plain": lambda row: _number(row.get("cpu_x_plain"), 2),
    "user ms": lambda row: _number(row["user_ms"]),
    "kernel ms": lambda row: _number(row["kernel_ms"]),
    "faults": lambda row: _number(row["faults"], 0),
    "peak MB": lambda row: _number(row["peak_mb"], 0),
    "L0 (5 to 95 %)": lambda row: f"{row['l0']:.2f} ({row['active'][1]}-{row['active'][3]})" if "l0" in row else "",
    "kernels": lambda row: str(row.get("kernels", "")),
    "host reads": lambda row: str(row.get("host_reads", "")),
}


def table(result: Mapping[str, Any], columns: Sequence[str] = tuple(COLUMNS)) -> str:
    """All settings as plain text.

    Args:
        result: what `bench` returned.
        columns: some of "ms", "x five", "quartiles", "CPU x five", "x plain", …; those that hold something are shown.

    Returns:
        several lines.

    Example:
        >>> about = {"machine": {"processor": "a processor", "cpus": 2}, "versions": {"torch": "2.7"}, "dtype": "float32", "rounds": 7}
        >>> print(table(about | {"settings": {}}).splitlines()[0])
        a processor, 2 CPUs, float32, 7 rounds; torch 2.7
    """
    its = result["machine"]
    where = its.get("gpu") or f"{its['processor']}, {its['cpus']} CPUs"
    versions = ", ".join(f"{name} {number}" for name, number in result["versions"].items())
    parts = [f"{where}, {result['dtype']}, {result['rounds']} rounds; {versions}", ""]
    for name, setting in result["settings"].items():
        rows = setting["steps"]
        lines = [["step", *rows], *([heading, *map(COLUMNS[heading], rows.values())] for heading in columns)]
        filled = [column for column in lines if any(column[1:])]
        widths = [max(map(len, column)) for column in filled]
        encoder = rows[ENCODER]
        speed = f"the encoder's product runs at {encoder['flops'] / 1e12:.3g} TFLOP/s"
        speed += f", {100 * encoder['of_peak']:.0f} % of the card's peak" if encoder["of_peak"] else ""
        shape = f"d_model {setting['d_model']}, {setting['n_latents']:,} latents, batch {setting['batch']:,}, L0 {setting['l0']:g}"
        parts.append(f"{name}: {shape}; threads: {setting['threads']}; {speed}")
        for cells in zip(*filled, strict=True):
            label, *numbers = (cell.rjust(width) for cell, width in zip(cells, widths))
            parts.append("  ".join([label.strip().ljust(widths[0]), *numbers]).rstrip())
        parts.append("")
    parts.append("x five: over the five dense products of the same round; x plain: over the plain step of the same kind; both medians")
    return "\n".join(parts)


def _number(value: float | None, digits: int | None = None) -> str:
    if value is None:
        return ""
    if digits is None:
        digits = max(0, 2 - math.floor(math.log10(value))) if 0 < value < 1000 else 0
    return f"{value:,.{min(digits, 3)}f}"


def claim(result: Mapping[str, Any]) -> str:
    """One sentence, from the numbers, on the last setting: what the exact loss costs there.

    Args:
        result: what `bench` returned.

    Returns:
        the sentence, without a full stop.

    Example:
        >>> steps = {"relu, all prefixes": {"loss": "all_prefixes", "x_plain": 1.25, "x_five": 2.5}}
        >>> claim({"settings": {"toy": {"steps": steps}}})
        'toy: all prefixes take 1.25 times a plain step, and 2.50 times five dense products'
    """
    name, setting = list(result["settings"].items())[-1]
    rows = setting["steps"]
    label, row = next(((k, r) for k, r in rows.items() if "x_plain" in r and r["loss"] == "all_prefixes"), (None, None))
    if row is None:
        label, row = next((k, r) for k, r in rows.items() if "loss" in r)
        return f"{name}: a step of {label} takes {row['x_five']:.2f} times five dense products"
    return f"{name}: all prefixes take {row['x_plain']:.2f} times a plain step, and {row['x_five']:.2f} times five dense products"


def figure(result: Mapping[str, Any], *, title: str | None = None, alt: str | None = None) -> go.Figure:
    """Every paired ratio of a step to the five products as a dot.

    Args:
        result: what `bench` returned.
        title: the claim; `claim(result)` if left out.
        alt: the figure in words; the medians if left out.

    Returns:
        a plotly figure.

    Example:
        >>> turn = {"steps": 1, "wall": 0.25}
        >>> ours = {"blocks": [turn | {"wall": 0.75}], "x_five": 3.0, "loss": "plain"}
        >>> steps = {"five products": {"blocks": [turn]}, "relu, plain": ours}
        >>> figure({"settings": {"toy": {"steps": steps}}}).layout.meta["alt"]
        'Time of a step over that of five dense products. toy, relu, plain: 3.00.'
    """
    from msae.figures.repeated import ratios as draw_ratios

    rows = {name: {k: r for k, r in setting["steps"].items() if k != FLOOR} for name, setting in result["settings"].items()}
    ratios = {
        name: {label: paired(row["blocks"], result["settings"][name]["steps"][FLOOR]["blocks"], "wall") for label, row in its.items()}
        for name, its in rows.items()
    }
    said = "; ".join(f"{name}, {label}: {row['x_five']:.2f}" for name, its in rows.items() for label, row in its.items())
    return draw_ratios(
        ratios,
        title=title or claim(result),
        alt=alt or f"Time of a step over that of five dense products. {said}.",
        axis="step / five products",
        one="five products",
    )
