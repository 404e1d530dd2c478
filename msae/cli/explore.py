"""`python -m msae explore`: the explorer of some SAEs as a folder that opens from a disk."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msae.cli.base import add_command, add_source, check_activations, check_model, one_line, path, read_source, warn, whole
from msae.support import arguments

if TYPE_CHECKING:
    from msae.explore import Explorer

SHIPPED = ["S/0", "S/1", "S/2", "S/3", "S/4", "S/5", "vanilla-30", "matryoshka-30"]
GOOD = 0.6
"""Least F1, at the level of the table of results, of a latent that is called by its concept's name."""


def add_explore_command(commands: Any) -> None:
    explore = add_command(commands, "explore", explore_saes, "write a folder in which a browser shows where latents fire, without a server")
    explore.add_argument("out", type=path, metavar="FOLDER", help="index.html and the data beside it")
    explore.add_argument(
        "--sae", action="append", metavar="NAME=FOLDER", help="an SAE to show, from small to large; those that ship where none is given"
    )
    add_source(explore, default=None)
    explore.add_argument("--n-ctx", type=whole(2), default=128, help="tokens in a text, [BEGIN] included")
    explore.add_argument("--n-tokens", type=whole(1), help="show this many tokens of the held-out stories; all by default")
    explore.add_argument("--title", default="Latents")
    explore.add_argument("--back", metavar="ADDRESS", help="a link on the page, for example to the book around it")


def explore_saes(options: argparse.Namespace) -> None:
    from msae import __version__
    from msae.explore import Explorer
    from msae.explore.checks import check_each
    from msae.family.shipped import load_saes
    from msae.lm.sources import recorded_source
    from msae.patterns import EXAMPLES
    from msae.sae.sae import SAE

    if (options.out.suffix and not options.out.is_dir()) or options.out.is_file():
        raise ValueError(f"expected a folder to write into, got {options.out}")
    arguments.new_folder("FOLDER", options.out)
    pairs = [_name_and_folder(each) for each in options.sae or []]
    given = dict(pairs)
    if len(given) < len(pairs):
        raise ValueError(f"two SAEs cannot have one name, got {', '.join(name for name, _ in pairs)}")
    saes = {name: SAE.load(folder) for name, folder in given.items()} if given else load_saes(SHIPPED)
    check_each(saes)
    hooks = sorted({str(sae.hook_name) for sae in saes.values()})
    if len(hooks) > 1 or hooks == ["None"]:
        raise ValueError(f"the SAEs must all read one hook of a language model, got {', '.join(hooks)}: write one folder for each")
    made_from: dict[str, Any] = {"language_model": "bundled", "stories": "bundled"} | recorded_source(next(iter(saes.values())).config)
    model, stories = options.model or made_from["language_model"], options.stories or made_from["stories"]
    check_model(saes, model, stories)
    lm, activations = read_source(model, stories, hooks[0], options.n_ctx, options.n_tokens, held_out=True)
    check_activations(saes, activations)
    unlabelled = Explorer.from_saes(saes, activations, lm)
    explorer = unlabelled.with_labels(_or_nothing(lambda: concept_labels(unlabelled), "no latent is called by its concept's name"))
    holes = _or_nothing(lambda: holes_to_search(explorer), "no pattern for a hole is offered")
    opened = explorer.search(examples=EXAMPLES | holes).latent(explorer.open)
    provenance = {"msae": __version__, "model": model, "stories": stories, "n_ctx": options.n_ctx, "n_tokens": len(activations)}
    page = opened.save(options.out, options.title, back=options.back, provenance=provenance)
    print(f"{sum(len(acts.latents) for acts in explorer.acts.values()):,} latents on {len(activations):,} tokens: open {page}")


def _or_nothing(make: Callable[[], dict[str, str]], without: str) -> dict[str, str]:
    """What helps to read the page must not be what keeps it from being written."""
    try:
        return make()
    except Exception as error:
        warn(f"{without}: {one_line(error)}")
        return {}


def concept_labels(explorer: Explorer) -> dict[str, str]:
    """ "name/number" → the concept of the bundled family that this latent is its SAE's best answer to, if it is a good one."""
    from msae.family.members import load_family
    from msae.metrics.concepts import CLEARLY, concept_scores
    from msae.patterns.matching import match

    labels: dict[str, str] = {}
    for concept, pattern in load_family("bundled").concepts.items():
        marked = match(pattern, explorer.tokens, explorer.str_tokens, mask=explorer.mask)
        if not marked.any():
            continue
        for name, acts in explorer.acts.items():
            scores = concept_scores(acts, marked, level=CLEARLY)
            if scores.f1[scores.best] >= GOOD:
                labels.setdefault(f"{name}/{scores.best}", concept)
    return labels


def holes_to_search(explorer: Explorer) -> dict[str, str]:
    """Patterns for the holes under the first labelled latent that has children: those of the child that covers most of it."""
    from msae.patterns import hole_examples
    from msae.patterns.matching import MAX_TESTS

    for parent in explorer.labels:
        if children := [below for above, below, _ in explorer.edges if above == parent]:
            fires = explorer.dense(parent) > 0
            child = max(children, key=lambda latent: int((explorer.dense(latent)[fires] > 0).sum()))
            of_same_sae = child.rpartition("/")[0] + "/"
            siblings = [each for each in children if each != child and each.startswith(of_same_sae)]
            return hole_examples(parent, child, siblings[: MAX_TESTS - 2])
    return {}


def _name_and_folder(given: str) -> tuple[str, Path]:
    name, _, folder = given.partition("=")
    if not name or not folder:
        raise ValueError(f"--sae must be NAME=FOLDER, such as S/2=my-sae, got {given!r}")
    return name, Path(folder)
