"""Which msae this is, and which versions of other packages it runs beside."""

from __future__ import annotations

__version__ = "0.1.0"
"""Kept here, and not asked of the installation: a folder on PYTHONPATH has no installation, or one of another version."""


def version_of(package: str) -> str | None:
    """The installed version of a package; None where it is not installed, or runs from a folder."""
    from importlib.metadata import PackageNotFoundError, version  # here: `import msae` is to cost nothing

    try:
        return version(package)
    except PackageNotFoundError:
        return None
