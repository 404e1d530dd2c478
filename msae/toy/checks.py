"""What is judged before a toy is built or drawn from: the tree of a file, shapes, directions."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from msae.support.arguments import all_finite, shown, tensor, whole
from msae.support.files import as_json
from msae.support.sums import wide

TREE_SCHEMA: dict[str, Any] = {
    "$ref": "#/$defs/node",
    "$defs": {
        "node": {
            "type": "object",
            "required": ["active_prob"],
            "additionalProperties": False,
            "properties": {
                "active_prob": {"type": "number", "minimum": 0, "maximum": 1},
                "is_read_out": {"type": "boolean"},
                "mutually_exclusive_children": {"type": "boolean"},
                "name": {"type": "string"},
                "children": {"type": "array", "items": {"$ref": "#/$defs/node"}},
            },
        }
    },
}
"""JSON Schema of a tree file; the keys are those of the article's tree (Nabeshima 2024)."""


def check_schema(tree: object) -> None:
    """Raise a ValueError that names the bad node where this is no tree."""
    from jsonschema import Draft202012Validator

    try:
        error = next(iter(Draft202012Validator(TREE_SCHEMA).iter_errors(tree)), None)
        if error is not None:
            path = "tree" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path)
            raise ValueError(f"{path}: {' '.join(error.message.split())[:300]}")
        as_json(tree, "tree")  # a schema lets NaN and half of a surrogate pair pass
    except RecursionError as error:
        raise ValueError("tree is nested too deeply: a few dozen levels are the most that is read") from error


def checked_shape(name: str, shape: object) -> tuple[int, ...]:
    """One or more whole numbers, each at least 1."""
    if not isinstance(shape, (tuple, list)) or not shape:
        raise ValueError(f"{name} must be whole numbers, at least one, got {shown(shape)}")
    return tuple(whole(name, n, 1) for n in shape)


def checked_directions(directions: object, n_features: int) -> Tensor:
    """Finite numbers (n_features, d_model) or (n_seeds, n_features, d_model), in float32 at least: sums leave half precision."""
    found = tensor("directions", directions, numbers="real")
    if found.ndim not in (2, 3) or 0 in found.shape:
        raise ValueError(f"directions must be (n_features, d_model) or (n_seeds, n_features, d_model), got {tuple(found.shape)}")
    if found.shape[-2] != n_features:
        raise ValueError(f"directions: expected one direction for each of {n_features} features, got {found.shape[-2]}")
    all_finite("directions", found)
    return wide(found)
