"""SAEs on the Hugging Face hub: pushed with a card, pulled and read as a folder from outside is, every weight judged.

A place is written as the hub writes it, "owner/name", "owner/name/folder" and, to pull what will not change, "owner/name@revision". Of a
repository no more is fetched than the files that are read: safetensors and JSON. A pickle is never fetched, and so never opened.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from msae.sae import files
from msae.sae.card import model_card
from msae.sae.formats import saelens
from msae.sae.sae import SAE
from msae.support import arguments, hub
from msae.support.arguments import shown, yes_or_no

READ = (*files.FILES, *saelens.FILES, saelens.SCALER)
"""The files that an SAE is read from, ours and those of SAELens."""

PICKLES = (".pt", ".pth", ".bin", ".ckpt", ".pkl")


def push_sae(sae: SAE, repo: str, *, licence: str | None = None, measured: Mapping[str, Any] | None = None, private: bool = False) -> str:
    """Write an SAE to the Hugging Face hub, with a card that says what it is; the repository is made where it is missing.

    Three files, as one commit: `sae.safetensors` and `sae.json`, as `SAE.save` writes them, and `README.md`, the card of `model_card`. Log
    in before, with `hf auth login`, or set HF_TOKEN to a token that may write. `config` goes along as it is: look whether it names files of
    your disk.

    Args:
        sae: the SAE.
        repo: "owner/name", or "owner/name/folder" where a repository holds several.
        licence: as of `model_card`. The hub refuses a name that it does not know.
        measured: as of `model_card`.
        private: whether a repository that is made now is for its owner alone.

    Returns:
        the address of the commit.

    Raises:
        ValueError: before anything is sent, no place on the hub, or what `SAE.save` and `model_card` refuse.
        ImportError: huggingface_hub is not installed.
        ConnectionError: the hub does not answer, or lets nobody write there.

    Example:
        >>> msae.sae.push_sae(msae.SAE(4, 8), "no-owner")
        Traceback (most recent call last):
        ValueError: repo must be 'owner/name', 'owner/name/folder', or 'owner/name@revision' to pull what will not change, got 'no-owner'
    """
    card = model_card(sae, repo, licence=licence, measured=measured)
    place, private = hub.Place.of(repo), yes_or_no("private", private)
    if place.revision is not None:
        raise ValueError(f"repo names the revision {place.revision!r}, got {shown(repo)}: leave it out, a push makes a new one")

    def client() -> str:
        from huggingface_hub import HfApi

        api = HfApi(library_name="msae")
        api.create_repo(place.repo, private=private or None, exist_ok=True)
        what = f"SAE of {sae.n_latents:,} latents"
        commit = api.upload_folder(repo_id=place.repo, folder_path=folder, path_in_repo=place.folder or None, commit_message=what)
        return str(commit.commit_url)

    with TemporaryDirectory() as folder:
        sae.save(folder)
        Path(folder, "README.md").write_text(card, encoding="utf-8")
        instead = "log in with `hf auth login` as one who may write there, or keep the SAE with sae.save(folder)"
        return hub.ask(client, f"the SAE for {place.repo!r}", instead, verb="written to")


def pull_sae(repo: str, device: str | torch.device = "cpu") -> SAE:
    """An SAE from the Hugging Face hub, of msae or of SAELens, by way of the hub's cache.

    Args:
        repo: "owner/name", "owner/name/folder", or either with "@revision" behind the name: a commit, tag or branch. A commit does not
            change any more.
        device: where the SAE is to lie.

    Returns:
        the SAE, read and judged as `SAE.load` and `read_saelens` do.

    Raises:
        ValueError: no place on the hub; a device that is not here; files that are not of an SAE, or arrived altered.
        ImportError: huggingface_hub is not installed.
        ConnectionError: there is no such repository, or no network and nothing in the cache.
        FileNotFoundError: the repository holds no SAE there; what it holds is said.

    Example:
        >>> msae.sae.pull_sae("you/name/..")
        Traceback (most recent call last):
        ValueError: repo must be 'owner/name', 'owner/name/folder', or 'owner/name@revision' to pull what will not change, got 'you/name/..'
    """
    place, wanted = hub.Place.of(repo), arguments.device("device", device)

    def client() -> str:
        from huggingface_hub import snapshot_download

        return snapshot_download(place.repo, revision=place.revision, allow_patterns=[place.inside(name) for name in READ])

    instead = "check the name, log in with `hf auth login` where it is private, or read a folder with msae.sae.read_sae(folder)"
    folder = Path(hub.ask(client, f"the SAE {repo!r}", instead)) / place.folder
    for names, read in ((files.FILES, SAE.load), (saelens.FILES, saelens.read_saelens)):
        if all((folder / name).is_file() for name in names):
            return read(folder, wanted)
    raise FileNotFoundError(f"{repo!r} on the hub holds no {' with '.join(files.FILES)}, nor {' with '.join(saelens.FILES)}{_there(place)}")


def _there(place: hub.Place) -> str:
    """What a repository holds instead of an SAE, as far as it can be learnt now."""
    from huggingface_hub import HfApi

    try:
        names = HfApi(library_name="msae").list_repo_files(place.repo, revision=place.revision)
    except Exception:  # it helps to know, and is not what was asked
        return ": say where it lies, as 'owner/name/folder'"
    folders = sorted({name.rpartition("/")[0] for name in names if name.rpartition("/")[2] in (files.FILES[0], saelens.FILES[0])} - {""})
    if folders:
        return f": SAEs lie in {', '.join(folders[:5])}{', …' * (len(folders) > 5)}"
    if pickles := [name for name in names if name.endswith(PICKLES)]:
        return f": {pickles[0]} is a pickle, and from the hub only safetensors and JSON are read"
    return f": it holds {', '.join(sorted(names)[:5]) or 'nothing'}"
