"""`python -m msae explore`: the explorer of some SAEs as a folder that opens from a disk."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msae.cli.base import Commands, add_command, add_hook, add_places, add_source, one_line, path, warn, whole, words
from msae.cli.reading import Read, check_activations, check_model, read_folder, read_source
from msae.support import arguments

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

    from msae.explore.explorer import Explorer
    from msae.latents.latents import Latents
    from msae.sae.sae import SAE

SHIPPED = ["S/0", "S/1", "S/2", "S/3", "S/4", "S/5", "plain-30", "matryoshka-30"]


def add_explore_command(commands: Commands) -> None:
    """Add `explore`."""
    what = "write a folder in which a browser shows where latents fire, without a server"
    add_command(commands, "explore", explore_saes, what, _add_options)


def _add_options(explore: argparse.ArgumentParser) -> None:
    explore.add_argument("--out", type=path, metavar="FOLDER", help="folder for index.html and the data beside it; needed")
    explore.add_argument("folder", type=path, nargs="?", help=argparse.SUPPRESS)  # what --out was in 0.1
    explore.add_argument(
        "--sae",
        action="append",
        metavar="NAME=FOLDER",
        help="an SAE to show, from small to large, of a folder or hf://owner/name; those that ship by default",
    )
    add_source(explore, default=None)
    add_hook(explore)
    add_places(explore, skip_first=None)
    explore.add_argument("--n-tokens", type=whole(1), help="show this many tokens of the held-out stories; all by default")
    explore.add_argument("--title", default="Latents")
    explore.add_argument("--back", metavar="ADDRESS", help="a link on the page, for example to the book around it")
    explore.add_argument(
        "--neuronpedia",
        type=words,
        metavar="MODEL",
        help="write what Neuronpedia imports in place of a page; MODEL is its name for the model",
    )
    explore.add_argument("--creator", type=words, metavar="NAME", help="who is named there as the maker; needed for --neuronpedia")


def explore_saes(options: argparse.Namespace) -> None:
    """`explore`: SAEs on held-out stories, as a folder of pages and data."""
    from msae.explore.explorer import Explorer
    from msae.explore.neuronpedia import check_name
    from msae.latents.labels import holed_look_alike
    from msae.latents.latents import Latents
    from msae.lm.sources import recorded_source
    from msae.patterns.examples import EXAMPLES, hole_examples
    from msae.support.version import __version__

    out = _out(options)
    if (options.neuronpedia is None) != (options.creator is None):
        raise ValueError(f"--neuronpedia needs --creator, and --creator it, got {options.neuronpedia!r} and {options.creator!r}: give both")
    if options.neuronpedia is not None:
        check_name("--neuronpedia", options.neuronpedia)
    saes, hook = _saes_of_one_hook(options.sae or [], options.hook)
    made_from: dict[str, Any] = {"language_model": "bundled", "stories": "bundled"} | recorded_source(next(iter(saes.values())).config)
    model, stories = options.model or made_from["language_model"], options.stories or made_from["stories"]
    check_model(saes, model, stories)
    skip_first = made_from.get("skip_first", 1) if options.skip_first is None else options.skip_first
    what = Read(hook, held_out=True, n_ctx=options.n_ctx, skip_first=skip_first, n_tokens=options.n_tokens)
    lm, activations = read_source(model, stories, what)
    check_activations(saes, activations)
    if options.neuronpedia is not None:
        return _for_neuronpedia(Latents(saes, activations), lm, out, options)
    unlabelled = Explorer.from_saes(saes, activations, lm)
    explorer = unlabelled.with_labels(_labels_or_none(unlabelled, activations.str_tokens))
    pair = holed_look_alike(explorer.acts, explorer.labels)
    holes = hole_examples(*pair) if pair else {}
    opened = explorer.search(examples=EXAMPLES | holes).latent(*(pair or [explorer.open]))
    provenance = {"msae": __version__, "model": model, "stories": stories, "n_ctx": options.n_ctx, "n_tokens": len(activations)}
    page = opened.save(out, options.title, back=options.back, provenance=provenance)
    print(f"{sum(len(acts.latents) for acts in explorer.acts.values()):,} latents on {len(activations):,} tokens: open {page}")


def _for_neuronpedia(latents: Latents, lm: TransformerBridge, out: Path, options: argparse.Namespace) -> None:
    """Each SAE as a source of its own, the latents of concepts called by their names."""
    from msae.explore.neuronpedia import write_neuronpedia

    labels = _labels_or_none(latents, latents.vocabulary)
    for name in latents.saes:
        place = write_neuronpedia(latents, name, out, model_id=options.neuronpedia, creator=options.creator, labels=labels, lm=lm)
        print(f"{len(latents.acts[name].latents):,} latents on {latents.mask.sum():,} tokens: {place}")


def _out(options: argparse.Namespace) -> Path:
    """Where to write: --out, or the bare FOLDER of the release before."""
    if options.out is not None and options.folder is not None:
        raise ValueError(f"there are two folders to write into, {options.out} and {options.folder}: give --out alone")
    out: Path | None = options.folder if options.out is None else options.out
    if out is None:
        raise ValueError("the following arguments are required: --out; `python -m msae explore --help` lists what can be given")
    if (out.suffix and not out.is_dir()) or out.is_file():
        raise ValueError(f"expected a folder to write into, got {out}")
    return arguments.new_folder("--out", out)


def _saes_of_one_hook(given: list[str], read: str | None) -> tuple[dict[str, SAE], str]:
    """The SAEs that NAME=FOLDER name, those that ship where none is given; and the hook that all of them read, which --hook may say."""
    from msae.explore.checks import check_each
    from msae.family.shipped import load_saes

    pairs = [_name_and_folder(each) for each in given]
    folders = dict(pairs)
    if len(folders) < len(pairs):
        raise ValueError(f"two SAEs cannot have one name, got {', '.join(name for name, _ in pairs)}")
    saes = {name: read_folder(folder, read) for name, folder in folders.items()} if folders else load_saes(SHIPPED)
    check_each(saes)
    hooks = sorted({str(sae.hook_name) for sae in saes.values()})
    if len(hooks) > 1 or hooks == ["None"]:
        hint = "write one folder for each; --hook says what files do not"
        raise ValueError(f"the SAEs must all read one hook of a language model, got {', '.join(hooks)}: {hint}")
    return saes, hooks[0]


def _labels_or_none(shown: Explorer | Latents, str_tokens: list[str]) -> dict[str, str]:
    """As `_labels`: what helps to read the page must not be what keeps it from being written."""
    try:
        return _labels(shown, str_tokens)
    except Exception as error:
        warn(f"no latent is called by its concept's name: {one_line(error)}")
        return {}


def _labels(shown: Explorer | Latents, str_tokens: list[str]) -> dict[str, str]:
    """Which latents are good answers to the concepts of the bundled family, at the level of the table of results."""
    from msae.family.members import load_family
    from msae.firings.reading import CLEARLY
    from msae.latents.labels import concept_labels
    from msae.patterns.matching import match

    concepts = {
        name: match(pattern, shown.tokens, str_tokens, mask=shown.mask) for name, pattern in load_family("bundled").concepts.items()
    }
    return concept_labels(shown.acts, concepts, level=CLEARLY)


def _name_and_folder(given: str) -> tuple[str, str]:
    name, _, folder = given.partition("=")
    if not name or not folder:
        raise ValueError(f"--sae must be NAME=FOLDER, such as S/2=my-sae, got {given!r}")
    return name, folder
