"""Train the small language model of the book on TinyStories: the whole run, which an interruption at any moment does not change.

python -m msae language-model train --stories train.jsonl.zst --valid valid.jsonl.zst --out language_model
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from msae.lm import measuring
from msae.lm.rows import batches, check_length
from msae.lm.tokenizer import read_tokenizer, train_full_tokenizer
from msae.lm.transformer import Transformer, TransformerConfig
from msae.support.arguments import number, path, shown, whole
from msae.support.checkpoints import load_checkpoint, of_this_version, save_checkpoint
from msae.support.files import write_file
from msae.support.interrupts import uninterrupted
from msae.support.origin import check_origin, sha256_of_json
from msae.support.schedules import trapezoid
from msae.texts.given import check_stories

if TYPE_CHECKING:
    from tokenizers import Tokenizer


@dataclass(frozen=True)
class PretrainConfig:
    """One run of the language model."""

    n_steps: int = 3600
    batch_size: int = 16
    """Rows of n_ctx tokens per step."""

    matrix_lr: float = 4e-3
    """Peak rate of the layers' matrices (Muon, update scaled to the size of an AdamW step)."""

    other_lr: float = 4e-3
    """Peak rate of embedding, unembedding and biases (AdamW)."""

    weight_decay: float = 0.1
    warmup: float = 0.03
    decay: float = 0.95
    seed: int = 0
    checkpoint_every: int = 100

    def __post_init__(self) -> None:
        checked: dict[str, Any] = {name: whole(name, getattr(self, name), 1) for name in ("n_steps", "batch_size", "checkpoint_every")}
        checked |= {"seed": whole("seed", self.seed, 0, 2**63 - 1), "weight_decay": number("weight_decay", self.weight_decay, 0)}
        checked |= {name: number(name, getattr(self, name), above=0, below=1) for name in ("matrix_lr", "other_lr")}
        checked |= {name: number(name, getattr(self, name), 0, 1) for name in ("warmup", "decay")}
        for name, value in checked.items():
            object.__setattr__(self, name, value)  # plain numbers, which are the same when they come back from JSON


def optimizers(model: Transformer, config: PretrainConfig) -> list[torch.optim.Optimizer]:
    """Muon (Jordan et al. 2024) for the matrices inside the layers, AdamW for all else."""
    matrices = [p for name, p in model.named_parameters() if "layers" in name and p.ndim == 2]
    chosen = {id(p) for p in matrices}
    others = [p for p in model.parameters() if id(p) not in chosen]
    return [
        torch.optim.Muon(matrices, lr=config.matrix_lr, weight_decay=config.weight_decay, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, lr=config.other_lr, betas=(0.9, 0.98), weight_decay=0.01),
    ]


@torch.inference_mode(False)  # and with gradients, whatever the caller has switched off
def pretrain(
    stories: Sequence[str],
    valid: Sequence[str],
    out: Path,
    shape: TransformerConfig,
    config: PretrainConfig,
    log: Callable[[str], None] = print,
) -> tuple[Transformer, Tokenizer, dict[str, Any]]:
    """Train from scratch, or go on from `out/checkpoint.safetensors` where an earlier run of the same settings and stories stopped.

    A checkpoint that cannot be written, as on a full disk, is a warning: the training goes on.

    A run that was interrupted, at whatever moment and however often, ends where an unbroken one does, bit for bit.

    Args:
        stories: training texts.
        valid: texts for the reported bits per character; never trained on.
        out: folder for tokenizer and checkpoint.
        shape: the transformer; its d_vocab is also the tokenizer's.
        config: steps, rates and seed.
        log: called with a line now and then.

    Returns:
        the model, its tokenizer, and a report of what was measured; without "bits_per_character_valid" where that failed.

    Raises:
        ValueError: before any step, for too few stories, a checkpoint of other stories or settings, or a folder of a packed model.
        FloatingPointError: the loss is not finite. The last checkpoint stays.
        KeyboardInterrupt: after writing the checkpoint, when stopped by hand.
    """
    stories, valid, out = check_stories(stories), check_stories(valid, "valid"), path("out", out)
    if not stories or not any(valid):
        raise ValueError(f"expected stories to train on and stories to measure on (valid), got {len(stories)} and {len(valid)}")
    for name, value, kind in (("shape", shape, TransformerConfig), ("config", config, PretrainConfig)):
        if not isinstance(value, kind):
            raise ValueError(f"{name} must be a {kind.__name__}, got {shown(value)}")
    if not callable(log):
        raise ValueError(f"log must be a function of a line, got {shown(log)}")
    run = _Run(stories, out, shape, config)

    def bits(texts: Sequence[str]) -> float:
        return measuring.bits_per_character(run.model, texts, run.tokenizer, shape.n_ctx, run.device)

    run.train(lambda step: log(f"step {step}: {bits(valid[:200]):.4f} bits per character on {len(valid[:200])} stories"))
    measured = {}
    try:
        measured = {"bits_per_character_valid": bits(valid)}
    except Exception as error:  # what is trained is worth more than its measure
        log(f"the model is trained, but measuring it failed ({error}): `language-model evaluate` measures it on other stories")
    return run.model, run.tokenizer, measured | run.report(len(valid))


class _Run:
    """Model and optimizers on their way through the steps, with the checkpoint that another process goes on from."""

    def __init__(self, stories: list[str], out: Path, shape: TransformerConfig, config: PretrainConfig):
        self.config, self.place = config, out / "checkpoint.safetensors"
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.settings = {"shape": asdict(shape), "config": asdict(config), "n_stories": len(stories), "stories": sha256_of_json(stories)}
        state = _read_checkpoint(self.place, self.settings)
        if state is None and (out / "manifest.json").exists():
            fix = f"choose another folder, or delete {out / 'manifest.json'} to write over what is there"
            raise ValueError(f"{out} is packed already, and holds no checkpoint to go on from: {fix}")
        if state is None:
            self.tokenizer = train_full_tokenizer(stories, shape.d_vocab)
        else:
            self.tokenizer = read_tokenizer(out / "tokenizer.json", state["settings"].get("tokenizer"))
        self.settings["tokenizer"] = sha256_of_json(self.tokenizer.to_str())
        tokens = [np.array(encoding.ids, np.int64) for encoding in self.tokenizer.encode_batch(stories)]
        self.tokens_per_epoch = sum(map(len, tokens)) + len(tokens)
        self.stream = batches(tokens, shape.n_ctx, config.batch_size, config.seed)
        check_length(tokens, shape.n_ctx)
        if state is None:
            write_file(out / "tokenizer.json", self.tokenizer.to_str())
        with torch.random.fork_rng(devices=[]):
            torch.random.default_generator.manual_seed(config.seed)
            self.model = Transformer(shape).to(self.device)
        self.optimizers = optimizers(self.model, config)
        self.n_done: int | None = 0
        """Steps that model and optimizers have behind them; None within one, when they fit no number of steps."""

        seconds = 0.0 if state is None else self._take_over(state)
        self.started = time.monotonic() - seconds
        """When an unbroken run of as many seconds would have begun."""

    def _take_over(self, state: Mapping[str, Any]) -> float:
        """Go on where a checkpoint stands; returns the seconds that were spent before it."""
        with of_this_version(self.place):
            n_done, seconds = int(state["step"]), float(state["seconds"])
            self.model.load_state_dict(state["model"])
            for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
                optimizer.load_state_dict(saved)
        for _ in range(n_done):
            next(self.stream)
        self.n_done = n_done
        return seconds

    def train(self, tell: Callable[[int], None]) -> None:
        """Take all steps that are left; `tell` is called with their number now and then."""
        from tqdm.auto import tqdm

        config, first = self.config, self.n_done or 0
        progress = tqdm(total=config.n_steps, initial=first, unit="step", desc="language model", mininterval=2)
        try:
            for step in range(first, config.n_steps):
                rows = next(self.stream).to(self.device)
                with uninterrupted():
                    self.n_done = None
                    loss = _step(self.model, self.optimizers, rows, config, step)
                    self.n_done = done = step + 1
                progress.update()
                if step % 20 == 0:
                    progress.set_postfix(loss=f"{loss.item():.3f}")
                if done % config.checkpoint_every == 0 or done == config.n_steps:
                    self._checkpoint(done)
                if done % (5 * config.checkpoint_every) == 0:
                    tell(done)
        except KeyboardInterrupt:
            if self.n_done is not None:
                self._checkpoint(self.n_done)
            raise
        finally:
            progress.close()

    def _checkpoint(self, step: int) -> None:
        state = {"settings": self.settings, "step": step, "seconds": time.monotonic() - self.started}
        state |= {"model": self.model.state_dict(), "optimizers": [optimizer.state_dict() for optimizer in self.optimizers]}
        try:
            save_checkpoint(self.place, state)
        except OSError as error:
            warnings.warn(f"the checkpoint of step {step} could not be written: {error}", stacklevel=5)  # who called pretrain

    def report(self, n_valid: int) -> dict[str, Any]:
        """What is told of the run, but for the measure."""
        config = self.config
        return {
            "step": config.n_steps,
            "valid_stories": n_valid,
            "train_stories": self.settings["n_stories"],
            "train_tokens_seen": config.n_steps * config.batch_size * self.model.config.n_ctx,
            "tokens_per_epoch": self.tokens_per_epoch,
            "seconds": time.monotonic() - self.started,
        } | self.settings


def _step(model: Transformer, both: Sequence[torch.optim.Optimizer], rows: Tensor, config: PretrainConfig, step: int) -> Tensor:
    """One step of both optimizers; returns the loss before it."""
    factor = trapezoid(step, config.n_steps, config.warmup, config.decay)
    for optimizer, peak in zip(both, (config.matrix_lr, config.other_lr), strict=True):
        for group in optimizer.param_groups:
            group["lr"] = peak * factor
    with torch.autocast(rows.device.type, dtype=torch.bfloat16):
        logits = model(rows[:, :-1])
    loss = F.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten())
    if rows.device.type == "cpu" and not loss.isfinite():  # elsewhere a look costs a stall
        raise FloatingPointError(f"the loss is {loss.item()} at step {step}: lower matrix_lr ({config.matrix_lr}) and other_lr")
    for optimizer in both:
        optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for optimizer in both:
        optimizer.step()
    return loss.detach()


def _read_checkpoint(place: Path, settings: Mapping[str, Any]) -> dict[str, Any] | None:
    """The state an earlier run of the same settings left; None where there is none."""
    if not place.exists():
        return None
    state = load_checkpoint(place)
    if "settings" not in state or "optimizers" not in state:
        raise ValueError(f"{place} is of no language model: choose another folder")
    fix = "choose another folder, or delete it to start again"
    with of_this_version(place):
        config = {name: value for name, value in state["settings"]["config"].items() if name != "checkpoint_every"}  # changes no number
        check_origin(state["settings"] | {"config": config}, settings, f"{place} is of a run with other settings: it", fix)
    return state
