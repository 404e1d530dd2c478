"""What was measured on one machine, to be brought to another: rows and replicates, and the weights of few SAEs.

    python -m msae family collect --family settle --out settle --weights '*/S?-seed?' --to settle.tar

Unpacked into the folder of another machine, its SAEs count as done there: they are not trained again, and stand in its table.
"""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Sequence
from fnmatch import fnmatchcase

from msae.family.members import Family, checked
from msae.family.pairs import FILE
from msae.family.recorded import BROUGHT, brought, is_trained
from msae.support import arguments
from msae.support.files import write_file

WHOLE = ("sae.json", "sae.safetensors", "row.json", FILE)


def bundle(
    family: Family, out: str | os.PathLike[str], path: str | os.PathLike[str], *, weights: Sequence[str] = (), length: float = 1.0
) -> list[str]:
    """Write a tar file of what was measured in `out`.

    Args:
        family: whose SAEs they are.
        out: the folder that they were trained and measured in.
        path: the tar file; `tar xf path -C folder` unpacks it.
        weights: patterns of ids: these go along whole, of the others the row and the replicates.
        length: the share of the steps that they were trained for.

    Returns:
        the ids of the SAEs in it.

    Raises:
        FileNotFoundError: nothing is measured there.

    Example:
        >>> import msae
        >>> bundle(msae.load_family("bundled"), "nowhere", "all.tar")
        Traceback (most recent call last):
        FileNotFoundError: nowhere holds no SAE that was measured: give the folder of `python -m msae family train --measure`
    """
    folder, patterns = arguments.path("out", out), [weights] if isinstance(weights, str) else list(weights)
    names, content = [], io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for member in checked(family).members(length=length):
            place = folder / member.id
            if not (is_trained(folder, member) and (place / "row.json").is_file()) and brought(folder, member) is None:
                continue
            is_whole = any(fnmatchcase(member.id, pattern) for pattern in patterns) and (place / "sae.safetensors").is_file()
            row = "row.json" if (place / "row.json").is_file() else BROUGHT
            files = {name: name for name in WHOLE} if is_whole else {row: BROUGHT, FILE: FILE}
            for name, new in files.items():
                if (place / name).is_file():
                    tar.add(place / name, f"{member.id}/{new}", filter=_of_nobody)
            names.append(member.id)
    if not names:
        raise FileNotFoundError(f"{out} holds no SAE that was measured: give the folder of `python -m msae family train --measure`")
    write_file(arguments.path("path", path), content.getvalue())
    return names


def _of_nobody(file: tarfile.TarInfo) -> tarfile.TarInfo:
    """Without the name of who made it: it goes to others."""
    file.uid = file.gid = 0
    file.uname = file.gname = ""
    return file
