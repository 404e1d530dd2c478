"""Where an argument from outside is judged: the value that the rest of the library may rely on, or one sentence and no work done.

Each check takes the argument's name and what was given, returns the value as the kind that is wanted, and raises a ValueError that says
what was given, what was expected and, where there is one, the fix.
"""

from msae.support.arguments.arrays import all_finite, array, device, generator, plain, tensor
from msae.support.arguments.paths import new_file, new_folder, path
from msae.support.arguments.values import items, number, one_of, shown, text, whole, written, yes_or_no

__all__ = [
    "all_finite",
    "array",
    "device",
    "generator",
    "items",
    "new_file",
    "new_folder",
    "number",
    "one_of",
    "path",
    "plain",
    "shown",
    "tensor",
    "text",
    "whole",
    "written",
    "yes_or_no",
]
