"""How large an explorer is and how fast, in a real browser, from a disk: run by hand, since timings are no tests.

    python tools/bench_explore.py [--latents 25000] [--texts 4000] [--folder FOLDER]

The firings are synthetic: words drawn by Zipf's law, latents with log-normal densities that fire on a few words each, 40 per token.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np

from msae.explore import Explorer, LatentActivations

N_VOCAB, N_CTX, L0 = 8000, 128, 40


def synthetic(n_latents: int, n_texts: int, seed: int = 0) -> tuple[np.ndarray, list[str], LatentActivations]:
    rng = np.random.default_rng(seed)
    weight = 1 / np.arange(2, N_VOCAB + 2) ** 1.05
    tokens = rng.choice(N_VOCAB, (n_texts, N_CTX), p=weight / weight.sum())
    flat = tokens.ravel()
    places = np.split(np.argsort(flat, kind="stable"), np.cumsum(np.bincount(flat, minlength=N_VOCAB))[:-1])
    density = rng.lognormal(0, 1.3, n_latents)
    wanted = np.minimum(density * L0 / density.sum(), 0.3) * flat.size
    positions, values = [], []
    for n in wanted:
        words, there = [], 0
        while there < 1.3 * n and len(words) < 60:
            words.append(int(min(rng.exponential(900), N_VOCAB - 1)))
            there += len(places[words[-1]])
        at = np.concatenate([places[word] for word in set(words)])
        at = np.sort(at[rng.random(len(at)) < n / max(1, len(at))])
        positions.append(at)
        values.append((2 + 6 * rng.random()) * (0.2 + 0.8 * rng.random(len(at)) ** 2))
    start = np.concatenate([[0], np.cumsum([len(at) for at in positions])])
    acts = LatentActivations(
        np.arange(n_latents), start, np.concatenate(positions), np.concatenate(values).astype(np.float32), np.ones(tokens.shape, bool)
    )
    return tokens, [f" word{i}" for i in range(N_VOCAB)], acts


def measure(address: str) -> dict[str, float]:
    """Milliseconds, medians unless said otherwise."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = os.environ.get("MSAE_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        ready, paint = [], []
        for _ in range(5):
            page = browser.new_page(viewport={"width": 1100, "height": 800})
            page.route("http*://**/*", lambda route: route.continue_() if "127.0.0.1" in route.request.url else route.abort())
            page.goto(address)
            page.wait_for_selector(".msae-explorer[data-ready='1']", timeout=60_000)
            ready.append(page.evaluate("performance.getEntriesByName('msae-explorer-ready')[0].startTime"))
            page.wait_for_function("performance.getEntriesByName('first-contentful-paint').length > 0")
            paint.append(page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime"))
        choose = page.evaluate(CHOOSE)
        hover = page.evaluate(HOVER)
        heap = page.evaluate("performance.memory.usedJSHeapSize / 1e6")
        browser.close()
    return {
        "ready": np.median(ready),
        "ready, worst": max(ready),
        "first paint": np.median(paint),
        "choose a latent": np.median(choose),
        "choose a latent, 95th percentile": np.quantile(choose, 0.95),
        "hover, frames until seen (worst)": max(frames for _, frames in hover),
        "hover, ms until seen": np.median([ms for ms, _ in hover]),
        "heap, MB": heap,
    }


# The list is moved by real key presses' handlers; a latent is chosen when its title and its texts are in the page and laid out.
CHOOSE = """async () => {
  const soon = () => new Promise((done) => {
    const channel = new MessageChannel();
    channel.port1.onmessage = done;
    channel.port2.postMessage(0);
  });
  const root = document.querySelector('.msae-explorer').shadowRoot;
  const find = root.querySelector('input[type=search]'), times = [];
  for (let k = 0; k < 40; k++) {
    const list = root.querySelector('.list');
    list.scrollTop = ((k * 617 * 44) % (list.scrollHeight - list.clientHeight));
    await new Promise(requestAnimationFrame); await new Promise(requestAnimationFrame);
    const row = [...root.querySelectorAll('.row')].slice(6).find((each) => !each.textContent.includes('never fires'));
    if (!row) continue;
    const id = row.querySelector('b').textContent, began = performance.now();
    row.click();
    const there = () => root.querySelector('h3').textContent === `Latent ${id}` && root.querySelector('.text');
    while (!there()) await soon();
    root.host.offsetHeight;
    times.push(performance.now() - began);
  }
  return times;
}"""
HOVER = """async () => {
  const root = document.querySelector('.msae-explorer').shadowRoot, out = [];
  await new Promise((done) => setTimeout(done, 1500));
  for (const chip of [...root.querySelectorAll('.chip')].slice(0, 12)) {
    let frames = 0;
    const began = performance.now();
    chip.dispatchEvent(new PointerEvent('pointerover', { bubbles: true, composed: true }));
    while (!root.querySelector('.over, .hole') && frames < 30) { await new Promise(requestAnimationFrame); frames++; }
    if (frames < 30) out.push([performance.now() - began, frames]);
    chip.dispatchEvent(new PointerEvent('pointerout', { bubbles: true, composed: true }));
    await new Promise((done) => setTimeout(done, 60));
  }
  return out;
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--latents", type=int, default=25_000)
    parser.add_argument("--texts", type=int, default=4_000)
    parser.add_argument("--folder", type=Path, help="kept, and not written again if it is there")
    given = parser.parse_args()
    folder = given.folder or Path(tempfile.mkdtemp()) / "explorer"
    if not (folder / "index.html").exists():
        tokens, vocab, acts = synthetic(given.latents, given.texts)
        print(acts)
        began = time.perf_counter()
        Explorer({"S": acts}, tokens, vocab, window=128, n_examples=20).save(folder)
        print(f"written in {time.perf_counter() - began:.1f} s")
    shards = [path.stat().st_size for path in folder.glob("acts/*.bin")]
    page = (folder / "index.html").read_bytes()
    sizes = {
        "page, MB": len(page) / 1e6,
        "page gzipped, MB": len(gzip.compress(page)) / 1e6,
        "shards": len(shards),
        "shards in all, MB": sum(shards) / 1e6,
        "a shard, kB": np.mean(shards) / 1e3,
    }
    measured = sizes | measure((folder / "index.html").as_uri())
    print(json.dumps({name: round(float(value), 2) for name, value in measured.items()}, indent=2))


if __name__ == "__main__":
    main()
