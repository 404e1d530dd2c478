"""Train the small language model of the book on TinyStories: stories → byte-pair tokens → a four-layer transformer.

python -m msae language-model train --stories train.jsonl.zst --valid valid.jsonl.zst --out language_model
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from msae.lm.transformer import Transformer, TransformerConfig
from msae.support.arguments import device as judged_device
from msae.support.arguments import number, path, shown, whole
from msae.support.checkpoints import load_checkpoint, of_this_version, save_checkpoint
from msae.support.files import write_file
from msae.support.interrupts import uninterrupted
from msae.support.origin import check_origin, sha256_of_json
from msae.support.schedules import trapezoid
from msae.texts.given import check_stories

if TYPE_CHECKING:
    from tokenizers import Tokenizer

BEGIN = "[BEGIN]"
"""Stands before every story, as in the article's model; token 0."""


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


def train_tokenizer(stories: Sequence[str], d_vocab: int) -> Tokenizer:
    """Byte-level byte-pair encoding with [BEGIN] as token 0; every text can be encoded and decoded without loss.

    Args:
        d_vocab: tokens to have, at least [BEGIN] and the 256 bytes; few stories give fewer.

    Raises:
        ValueError: stories that are no texts, or a smaller d_vocab.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    stories, d_vocab = check_stories(stories), whole("d_vocab", d_vocab, 257, hint="[BEGIN] and the 256 bytes")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=d_vocab, special_tokens=[BEGIN], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(stories, trainer)
    return tokenizer


def epoch_rows(stories_tokens: Sequence[np.ndarray], n_ctx: int, generator: np.random.Generator) -> np.ndarray:
    """All stories in random order, each after its [BEGIN], cut into rows of n_ctx + 1 tokens.

    A row that starts within a story has its first token replaced by [BEGIN], so that the model has always seen one:
    the activations we harvest later start with it too.

    Raises:
        ValueError: the stories do not fill one row, whatever token it starts at.
    """
    _check_length(stories_tokens, n_ctx)
    order = generator.permutation(len(stories_tokens))
    stream = np.concatenate([part for i in order for part in (np.zeros(1, np.int64), stories_tokens[i])])
    offset = int(generator.integers(n_ctx))
    n_rows = (len(stream) - n_ctx - 1) // n_ctx
    starts = offset + n_ctx * np.arange(n_rows)
    rows = stream[np.minimum(starts[:, None] + np.arange(n_ctx + 1), len(stream) - 1)]
    rows[:, 0] = 0
    return generator.permutation(rows)


def _check_length(stories_tokens: Sequence[np.ndarray], n_ctx: int) -> None:
    n_tokens = sum(len(part) + 1 for part in stories_tokens)
    if n_tokens < 2 * n_ctx + 1:
        raise ValueError(f"stories have {n_tokens:,} tokens: expected at least {2 * n_ctx + 1:,}, give more stories or a smaller n_ctx")


def batches(stories_tokens: Sequence[np.ndarray], n_ctx: int, batch_size: int, seed: int) -> Iterator[Tensor]:
    """Rows (batch_size, n_ctx + 1), epoch after epoch, without end. The same seed gives the same batches."""
    n_ctx, batch_size, seed = whole("n_ctx", n_ctx, 2), whole("batch_size", batch_size, 1), whole("seed", seed)
    generator = np.random.default_rng(seed)
    left = np.empty((0, n_ctx + 1), np.int64)
    while True:
        while len(left) < batch_size:
            left = np.concatenate([left, epoch_rows(stories_tokens, n_ctx, generator)])
        yield torch.from_numpy(left[:batch_size])
        left = left[batch_size:]


def optimizers(model: Transformer, config: PretrainConfig) -> list[torch.optim.Optimizer]:
    """Muon (Jordan et al. 2024) for the matrices inside the layers, AdamW for all else."""
    matrices = [p for name, p in model.named_parameters() if "layers" in name and p.ndim == 2]
    chosen = {id(p) for p in matrices}
    others = [p for p in model.parameters() if id(p) not in chosen]
    return [
        torch.optim.Muon(matrices, lr=config.matrix_lr, weight_decay=config.weight_decay, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, lr=config.other_lr, betas=(0.9, 0.98), weight_decay=0.01),
    ]


@torch.no_grad()
def bits_per_character(
    model: Callable[[Tensor], Tensor], stories: Sequence[str], tokenizer: Tokenizer, n_ctx: int, device: str = "cpu"
) -> float:
    """How well the model predicts whole stories: total bits over total characters.

    A story longer than the context is read in windows that overlap by half; every token is scored once, with as much context as its
    window gives. Comparable between tokenizers, which a loss per token is not.

    Args:
        model: tokens (batch, position) to logits (batch, position, d_vocab).
        stories: texts the model was not trained on.

    Raises:
        ValueError: stories that are no texts, or hold no character; an impossible n_ctx; a device that is not there.
    """
    stories, n_ctx, device = check_stories(stories), whole("n_ctx", n_ctx, 2), str(judged_device("device", device))
    if not callable(model) or not hasattr(tokenizer, "encode_batch"):
        raise ValueError(f"expected a model and its tokenizer, of load_transformer, got {shown(model)} and {shown(tokenizer)}")
    if not any(stories):
        raise ValueError("stories must hold at least one character to measure on")
    bits, characters = 0.0, 0
    windows, first_scored = [], []
    for story, encoding in zip(stories, tokenizer.encode_batch(list(stories)), strict=True):
        characters += len(story)
        ids, done, start = encoding.ids, 0, 0
        while done < len(ids):
            window = ids[start : start + n_ctx]
            windows.append([0, *window])
            first_scored.append(done - start)
            done = start + len(window)
            start = done - n_ctx // 2
    order = sorted(range(len(windows)), key=lambda i: len(windows[i]))
    for chunk in range(0, len(order), 32):
        chosen = order[chunk : chunk + 32]
        rows = torch.zeros(len(chosen), max(len(windows[i]) for i in chosen), dtype=torch.long)
        scored = torch.zeros(rows.shape, dtype=torch.bool)
        for row, i in enumerate(chosen):
            rows[row, : len(windows[i])] = torch.tensor(windows[i])
            scored[row, first_scored[i] + 1 : len(windows[i])] = True
        logits = model(rows[:, :-1].to(device)).float().cpu()
        losses = F.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten(), reduction="none")
        bits += losses[scored[:, 1:].flatten()].double().sum().item() / math.log(2)
    return bits / characters


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
        log: called with a line now and then.

    Returns:
        the model, its tokenizer, and a report of what was measured; without "bits_per_character_valid" where that failed.

    Raises:
        ValueError: before any step, for too few stories, a checkpoint of other stories or settings, or a folder of a packed model.
        FloatingPointError: the loss is not finite. The last checkpoint stays.
        KeyboardInterrupt: after writing the checkpoint, when stopped by hand.
    """
    from tqdm.auto import tqdm

    stories, valid, out = check_stories(stories), check_stories(valid, "valid"), path("out", out)
    if not stories or not any(valid):
        raise ValueError(f"expected stories to train on and stories to measure on (valid), got {len(stories)} and {len(valid)}")
    for name, value, kind in (("shape", shape, TransformerConfig), ("config", config, PretrainConfig)):
        if not isinstance(value, kind):
            raise ValueError(f"{name} must be a {kind.__name__}, got {shown(value)}")
    if not callable(log):
        raise ValueError(f"log must be a function of a line, got {shown(log)}")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    checkpoint_path = out / "checkpoint.safetensors"
    settings = {"shape": asdict(shape), "config": asdict(config), "n_stories": len(stories), "stories": sha256_of_json(stories)}
    state = _read_checkpoint(checkpoint_path, settings)
    if state is None and (out / "manifest.json").exists():
        fix = f"choose another folder, or delete {out / 'manifest.json'} to write over what is there"
        raise ValueError(f"{out} is packed already, and holds no checkpoint to go on from: {fix}")
    tokenizer = _tokenizer(out / "tokenizer.json", stories, shape.d_vocab, state)
    settings["tokenizer"] = sha256_of_json(tokenizer.to_str())
    tokens = [np.array(encoding.ids, np.int64) for encoding in tokenizer.encode_batch(stories)]
    stream = batches(tokens, shape.n_ctx, config.batch_size, config.seed)
    _check_length(tokens, shape.n_ctx)
    if state is None:
        write_file(out / "tokenizer.json", tokenizer.to_str())

    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(config.seed)
        model = Transformer(shape).to(device)
    both = optimizers(model, config)
    first_step, seconds = 0, 0.0
    if state is not None:
        with of_this_version(checkpoint_path):
            first_step, seconds = int(state["step"]), float(state["seconds"])
            model.load_state_dict(state["model"])
            for optimizer, saved in zip(both, state["optimizers"], strict=True):
                optimizer.load_state_dict(saved)
        for _ in range(first_step):
            next(stream)
    start = time.monotonic()

    def checkpoint(step: int) -> None:
        state = {"settings": settings, "step": step, "seconds": seconds + time.monotonic() - start}
        try:
            save_checkpoint(checkpoint_path, state | {"model": model.state_dict(), "optimizers": [o.state_dict() for o in both]})
        except OSError as error:
            warnings.warn(f"the checkpoint of step {step} could not be written: {error}", stacklevel=3)

    done: int | None = first_step  # steps that model and optimizers have behind them; None within one, when they fit no number of steps
    progress = tqdm(total=config.n_steps, initial=first_step, unit="step", desc="language model", mininterval=2)
    try:
        for step in range(first_step, config.n_steps):
            rows = next(stream).to(device)
            with uninterrupted():
                done = None
                loss = _step(model, both, rows, config, step)
                done = step + 1
            progress.update()
            if step % 20 == 0:
                progress.set_postfix(loss=f"{loss.item():.3f}")
            if done % config.checkpoint_every == 0 or done == config.n_steps:
                checkpoint(done)
            if done % (5 * config.checkpoint_every) == 0:
                bits = bits_per_character(model, valid[:200], tokenizer, shape.n_ctx, device)
                log(f"step {done}: {bits:.4f} bits per character on {len(valid[:200])} stories")
    except KeyboardInterrupt:
        if done is not None:
            checkpoint(done)
        raise
    finally:
        progress.close()
    try:
        measured = {"bits_per_character_valid": bits_per_character(model, valid, tokenizer, shape.n_ctx, device)}
    except Exception as error:  # what is trained is worth more than its measure
        measured = {}
        log(f"the model is trained, but measuring it failed ({error}): `language-model evaluate` measures it on other stories")
    report = measured | {
        "step": config.n_steps,
        "valid_stories": len(valid),
        "train_stories": len(stories),
        "train_tokens_seen": config.n_steps * config.batch_size * shape.n_ctx,
        "tokens_per_epoch": sum(map(len, tokens)) + len(tokens),
        "seconds": seconds + time.monotonic() - start,
    }
    return model, tokenizer, report | settings


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


def _tokenizer(place: Path, stories: Sequence[str], d_vocab: int, state: Mapping[str, Any] | None) -> Tokenizer:
    """The one that belongs to the checkpoint; where there is none, a new one."""
    from tokenizers import Tokenizer

    if state is not None:
        fix = f"its run cannot go on: choose another folder, or delete {place.parent / 'checkpoint.safetensors'}"
        if not place.is_file():
            raise FileNotFoundError(f"{place.parent} holds a checkpoint and no tokenizer.json: {fix}")
        try:
            tokenizer = Tokenizer.from_file(str(place))
        except Exception as error:  # the library raises no other kind
            raise ValueError(f"{place} is no tokenizer ({error}): {fix}") from error
        if sha256_of_json(tokenizer.to_str()) != state["settings"].get("tokenizer"):
            raise ValueError(f"{place} is not the tokenizer of the checkpoint beside it: {fix}")
        return tokenizer
    tokenizer = train_tokenizer(stories, d_vocab)
    if tokenizer.get_vocab_size() != d_vocab:
        raise ValueError(
            f"the tokenizer has {tokenizer.get_vocab_size()} tokens, the model expects {d_vocab}: "
            f"give more stories, or d_vocab={tokenizer.get_vocab_size()}"
        )
    return tokenizer
