"""The Hugging Face hub, asked through its own clients: at once offline where it does not answer, each file's hash checked, one clear error.

Left to themselves the clients try for a minute when there is no network, and never compare a file with the hash that the hub names it by.
"""

from __future__ import annotations

import errno
import hashlib
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from msae.support import arguments
from msae.support.reasons import first_line

T = TypeVar("T")

ANSWER_WITHIN = 5.0
"""Seconds that the hub has to answer before the clients are told to work offline."""

TRIES = 4
"""How often a client is asked again when the hub is busy."""

BUSY = (429, 500, 502, 503, 504)

WHERE = "'owner/name', 'owner/name/folder', or 'owner/name@revision' to pull what will not change"
PLACE = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)(@(?P<revision>[\w.-]+))?(?P<folder>(/[\w.-]+)*)", re.ASCII)


class Place(NamedTuple):
    """Where something lies on the hub, written "owner/name@revision/folder"."""

    repo: str
    revision: str | None
    folder: str
    """Within the repository; "" for its root."""

    @classmethod
    def of(cls, value: object) -> Place:
        """The place that is written "owner/name@revision/folder".

        Raises:
            ValueError: nothing that the hub could have.
        """
        found = PLACE.fullmatch(arguments.text("repo", value, WHERE))
        if not found or {".", ".."} & {*found["folder"].split("/"), *found["repo"].split("/")}:
            raise ValueError(f"repo must be {WHERE}, got {arguments.shown(value)}")
        needs_client("the Hugging Face hub")
        from huggingface_hub.utils import HFValidationError, validate_repo_id

        try:
            validate_repo_id(found["repo"])
        except HFValidationError as error:
            raise ValueError(f"repo must be {WHERE}, got {arguments.shown(value)}: {' '.join(str(error).split())}") from error
        return cls(found["repo"], found["revision"], found["folder"].strip("/"))

    def inside(self, name: str) -> str:
        """The path of a file of that folder in the repository."""
        return f"{self.folder}/{name}" if self.folder else name


def needs_client(what: str) -> None:
    """Refuse to go on without the hub's client, by the name of what installs it.

    Args:
        what: needs it.

    Raises:
        ImportError: it is not installed.
    """
    if find_spec("huggingface_hub") is None:
        raise ImportError(f"{what} needs huggingface_hub: pip install 'msae[hub]'")


def ask(client: Callable[[], T], what: str, instead: str, verb: str = "fetched from") -> T:
    """Run one of the hub's clients.

    Where the hub does not answer, the client works in its own offline mode: what it fetched before is used, and nothing is waited for.
    Where the hub is busy (429, 503), it is asked again after the time it names. Files break off and go on inside the client.

    Args:
        client: calls `huggingface_hub`, `datasets` or `transformers`.
        what: what is fetched, for the error.
        instead: what works without a network, for the error.
        verb: what is done with it at the hub, for the error.

    Raises:
        ConnectionError: it could not be fetched, and is not in the cache.
        ValueError: a fetched file is not the one that the hub names; it is removed, so that the next call fetches it again.
        Exception: what the client says that is not about the network.
    """
    try:
        start = time.time()
        with _offline_if_no_answer() as no_answer:
            try:
                result = _ask_again_while_busy(client)
            except Exception as error:
                if not _is_of_the_network(error):
                    raise
                reason = no_answer or first_line(error)
                raise ConnectionError(f"{what} could not be {verb} the Hugging Face hub ({reason}): {instead}") from error
        check_hashes(since=start)
    except ImportError as error:
        if "msae[" in str(error):  # says already what to install
            raise
        raise ImportError(f"{what} needs `pip install msae[lm]`: {instead}") from error
    return result


def fetch(repo: str, name: str, what: str, instead: str, repo_type: str = "model") -> Path:
    """One file of a repository, from the cache where it is there.

    Args:
        repo: "owner/name".
        name: the file's, within it.
        what: what is fetched, for the error.
        instead: what works without a network, for the error.
        repo_type: "model", "dataset" or "space".

    Raises:
        ConnectionError: it could not be fetched, and is not in the cache.
        ValueError: the fetched file is not the one that the hub names; it is removed, so that the next call fetches it again.
    """
    for argument, value in (("repo", repo), ("name", name)):
        if not arguments.text(argument, value):
            raise ValueError(f"{argument} must not be empty")
    repo_type = arguments.one_of("repo_type", repo_type, ("model", "dataset", "space"))

    def client() -> str:
        from huggingface_hub import hf_hub_download

        return hf_hub_download(repo, name, repo_type=repo_type)

    return Path(ask(client, what, instead))


def check_hashes(since: float) -> None:
    """Compare every file that came into the hub's cache after a time with the hash it is stored under.

    Raises:
        ValueError: a file differs; it is removed.
    """
    from huggingface_hub import constants

    for path in Path(constants.HF_HUB_CACHE).glob("*--*/blobs/*"):
        # Two seconds: some file systems keep no finer time.
        if re.fullmatch("[0-9a-f]{40}|[0-9a-f]{64}", path.name) and path.stat().st_mtime >= since - 2:
            found = _content_hash(path, git=len(path.name) == 40)
            if found != path.name:
                repo = path.parent.parent.name.split("--", 1)[1].replace("--", "/")
                path.unlink()
                raise ValueError(
                    f"a file of {repo} arrived altered: expected the hash {path.name}, got {found}; "
                    "it was removed, run this again to fetch it anew"
                )


def _content_hash(path: Path, git: bool) -> str:
    """Large files are named by their SHA-256, small ones as git does: SHA-1 of a header and the content."""
    digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False) if git else hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()


@contextmanager
def _offline_if_no_answer() -> Iterator[str | None]:
    """Put the clients into their offline mode if the hub does not answer; yields the reason."""
    from huggingface_hub import constants

    reason = _no_answer()
    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or reason is not None
    try:
        yield reason
    finally:
        constants.HF_HUB_OFFLINE = before


def _no_answer() -> str | None:
    """Why the hub cannot be asked, or None. Any answer will do, an error too."""
    from huggingface_hub import constants
    from huggingface_hub.utils import get_session

    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    try:
        get_session().head(constants.ENDPOINT, timeout=ANSWER_WITHIN)
    except Exception:  # which HTTP library it is changes with the client's version
        return f"no connection to {constants.ENDPOINT}"
    return None


def _ask_again_while_busy(client: Callable[[], T]) -> T:
    for attempt in range(TRIES):
        try:
            return client()
        except Exception as error:
            response = _response(error)
            if attempt == TRIES - 1 or response is None or response.status_code not in BUSY:
                raise
            named = response.headers.get("Retry-After", "")
            time.sleep(min(int(named), 60) if named.isdigit() else 2**attempt)
    raise AssertionError("the last attempt returns or raises")


def _response(error: BaseException | None) -> Any:
    """The HTTP answer that caused an error, however deeply the client has wrapped it."""
    seen = 0
    while error is not None and seen < 10:
        if getattr(error, "response", None) is not None:
            return error.response  # type: ignore[attr-defined]
        error, seen = error.__cause__ or error.__context__, seen + 1
    return None


def _is_of_the_network(error: Exception) -> bool:
    """The clients turn most failures into an OSError; those of their HTTP library, which changes with their version, pass through."""
    if isinstance(error, OSError):
        return error.errno != errno.ENOSPC
    return _response(error) is not None or type(error).__module__.split(".")[0] in ("httpx", "httpx2", "requests")
