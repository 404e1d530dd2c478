// The data behind the page: texts, and where each latent fires on them. The format msae-explorer/1 is described in _bundle.py.

const CACHED_FIRINGS = 5_000_000; // decoded firings that are kept, 5 bytes each
const FEW_SHARDS = 17; // that are loaded to look at every latent of an SAE

export class Bundle {
  constructor(manifest, payload, base) {
    if (manifest.schema !== "msae-explorer/1") throw new Error(`cannot read explorer data of the form ${manifest.schema}`);
    const { latents, n_tokens: nTokens, vocab } = manifest;
    const wide = vocab.length > 65_536;
    const tokenBytes = nTokens * (wide ? 4 : 2);
    const tokens = payload.slice(0, tokenBytes).buffer;
    Object.assign(this, { manifest, vocab, nTokens, base, id: latents.id, label: latents.label, max: latents.max, n: latents.n });
    this.scanned = latents.n_scanned ?? latents.n;
    this.tokens = wide ? new Uint32Array(tokens) : new Uint16Array(tokens);
    this.starts = Uint32Array.from(manifest.text_starts ?? { length: nTokens / manifest.text_length + 1 }, (at, i) => at ?? i * manifest.text_length);
    this.nTexts = this.starts.length - 1;
    this.sampleEnd = this.starts[manifest.n_sample];
    this.index = new Map(this.id.map((id, i) => [id, i]));
    this.saes = new Map(manifest.saes.map((sae) => [sae.id, sae]));
    this.blocks = manifest.shards.length ? new Map() : new Map([[0, Promise.resolve(openBlock(payload.subarray(tokenBytes)))]]);
    this.cache = new Map();
    this.cached = 0;
    this.typed = { words: [], parts: new Map(), firings: new Map() };
    // kind → { part, of, text } of those that are part of a letter: in the vocabulary the first has the text, the others have none
    this.parts = partsOf(manifest.vocab_parts ?? []);
    this.parents = new Map();
    this.children = new Map();
    for (const [parent, child, score] of manifest.edges) {
      push(this.parents, child, [parent, score]);
      push(this.children, parent, [child, score]);
    }
    for (const of of this.children.values()) of.sort((a, b) => b[1] - a[1]);
  }

  // ------------------------------------------------------------- names

  sae(latent) {
    return this.id[latent].slice(0, this.id[latent].lastIndexOf("/"));
  }

  latentsOf(sae) {
    return this.id.flatMap((_, i) => (this.sae(i) === sae ? [i] : []));
  }

  // The label, or the tokens with the most activation.
  name(latent, show) {
    return this.label[latent] || this.topTokens(latent, show) || "never fires";
  }

  topTokens(latent, show) {
    return this.manifest.latents.top[latent].map((kind) => this.named(kind, show)).join(" ");
  }

  // A kind of token for tables and sentences: é₂ is the second part of é.
  named(kind, show) {
    const letter = this.parts.get(kind);
    return letter ? show(letter.text) + String(letter.part).replace(/\d/g, (digit) => "₀₁₂₃₄₅₆₇₈₉"[digit]) : show(this.vocab[kind]);
  }

  density(latent) {
    return this.scanned[latent] / Math.max(1, this.saes.get(this.sae(latent)).n_tokens);
  }

  bestParent(latent) {
    return this.parents.get(latent)?.[0][0];
  }

  // The children for which this latent is the best parent; those of which it is the second or third come in `children` too.
  ownChildren(latent) {
    return (this.children.get(latent) ?? []).filter(([child]) => this.bestParent(child) === latent);
  }

  // ------------------------------------------------------------- texts

  word(position) {
    return position < this.nTokens ? this.vocab[this.tokens[position]] : this.typed.words[position - this.nTokens];
  }

  // The letter that the token here is part of, as { part, of, text }; undefined for a token with a text of its own.
  letter(position) {
    return position < this.nTokens ? this.parts.get(this.tokens[position]) : this.typed.parts.get(position - this.nTokens);
  }

  textOf(position) {
    return upperBound(this.starts, position) - 1;
  }

  number(text) {
    return this.manifest.text_number?.[text] ?? text;
  }

  // Where a token stands, for people: the number of the text in the corpus, and the place in it.
  place(position) {
    if (position >= this.nTokens) return { text: "you typed", place: position - this.nTokens };
    const text = this.textOf(position);
    return { text: this.number(text), place: position - this.starts[text] + (this.manifest.text_first?.[text] ?? 0) };
  }

  // ------------------------------------------------------------- firings

  // A promise of a block; whoever asks ahead need not wait for it, nor hear of its failure.
  block(k) {
    if (!this.blocks.has(k)) {
      const block = loadShard(k, new URL(this.manifest.shards[k], this.base)).then(openBlock);
      block.catch(() => this.blocks.delete(k)); // asked for again next time
      this.blocks.set(k, block);
      block.catch(() => this.blocks.delete(k)); // it is asked for again the next time
    }
    return this.blocks.get(k);
  }

  blockOf(latent) {
    return this.manifest.shards.length ? Math.floor(latent / this.manifest.latents_per_shard) : 0;
  }

  decode(block, latent) {
    return decode(block.firings, this.manifest.latents.off[latent], this.n[latent]);
  }

  // { positions: Uint32Array, ascending; q: Uint8Array } of all firings of a latent; the activation is q / 255 · max.
  async firings(latent) {
    let found = this.cache.get(latent);
    if (found) this.cache.delete(latent); // and set again below: the map's order is that of last use
    else {
      found = this.decode(await this.block(this.blockOf(latent)), latent);
      if (!this.cache.has(latent)) this.cached += found.q.length;
    }
    this.cache.set(latent, found);
    while (this.cached > CACHED_FIRINGS && this.cache.size > 1) {
      const [oldest, { q }] = this.cache.entries().next().value;
      this.cache.delete(oldest);
      this.cached -= q.length;
    }
    return found;
  }

  async details(latent) {
    const k = this.blockOf(latent);
    return (await this.block(k)).details[latent - k * this.manifest.latents_per_shard];
  }

  activation(latent, q) {
    return (q / 255) * this.max[latent];
  }

  // Strengths 0 … 255 on the positions from … to - 1; 0 where silent. `firings` are those of `latent`.
  strengths(latent, firings, from, to) {
    const out = new Float32Array(to - from);
    if (from >= this.nTokens) {
      for (const [place, activation] of this.typed.firings.get(latent) ?? []) out[place] = (255 * activation) / (this.max[latent] || activation);
      return out;
    }
    const { positions, q } = firings;
    for (let j = lowerBound(positions, from); j < positions.length && positions[j] < to; j++) out[positions[j] - from] = q[j];
    return out;
  }

  // ------------------------------------------------------------- choosing texts

  // Up to k texts of a latent, as { text, position, q } with its peak there. "strongest" looks at all texts; "spread" (one per quantile of
  // the peaks) and "random" (random firings) at the unbiased sample only, since the other texts were added for being strong.
  examples(firings, k, how = "strongest", low = 0, high = 255) {
    const inside = ({ q }) => q >= low && q <= high;
    if (how === "random") return this.randomFirings(firings, k, inside);
    const peaks = this.peaks(firings, how === "strongest" ? this.nTokens : this.sampleEnd).filter(inside).sort((a, b) => b.q - a.q || a.position - b.position);
    if (how === "strongest" || peaks.length <= k) return peaks.slice(0, k);
    return Array.from({ length: k }, (_, i) => peaks[Math.floor((i * peaks.length) / k)]);
  }

  // The strongest firing in each text. Parts of one text of the corpus count as one text.
  peaks({ positions, q }, end) {
    const best = new Map();
    let text = -1;
    for (let j = 0; j < positions.length && positions[j] < end; j++) {
      if (text < 0 || positions[j] >= this.starts[text + 1]) text = this.textOf(positions[j]);
      const number = this.number(text);
      const peak = best.get(number);
      if (!peak || q[j] > peak.q) best.set(number, { text, position: positions[j], q: q[j] });
    }
    return [...best.values()];
  }

  randomFirings({ positions, q }, k, inside) {
    const within = Array.from({ length: lowerBound(positions, this.sampleEnd) }, (_, j) => j).filter((j) => inside({ q: q[j] }));
    const found = new Map();
    for (let tries = 0, seed = 1; tries < 200 * k && found.size < k && within.length; tries++) {
      seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0; // the same "random" texts at every visit
      const j = within[Math.floor((seed / 2 ** 32) * within.length)];
      const text = this.textOf(positions[j]);
      if (!found.has(text)) found.set(text, { text, position: positions[j], q: q[j] });
    }
    return [...found.values()];
  }

  // Of ascending positions the first in each text, at most k of them.
  firstOfTexts(positions, k) {
    const found = [];
    for (const position of positions) {
      if (found.length === k) break;
      if (!found.length || this.textOf(position) !== this.textOf(found.at(-1))) found.push(position);
    }
    return found;
  }

  // From … to - 1: the whole text of a position, or a window with two thirds of it before the position.
  passage(position, width = Infinity) {
    const text = this.textOf(position);
    const [begin, end] = [this.starts[text], this.starts[text + 1]];
    const size = Math.min(width, end - begin);
    const from = Math.min(Math.max(begin, position - Math.floor((2 * size) / 3)), end - size);
    return { from, to: from + size, cut: from > begin };
  }

  // ------------------------------------------------------------- holes

  // Where the parent fires in the sample and the child is silent, on which tokens, and who fires there instead. `nearest`: of the latents
  // that are no siblings only the nearest were looked at.
  async holes(parent, child) {
    const [whole, part] = await Promise.all([this.firings(parent), this.firings(child)]);
    const present = whole.positions.subarray(0, lowerBound(whole.positions, this.sampleEnd));
    const positions = without(present, part.positions);
    const others = this.ownChildren(parent).map(([latent]) => latent).filter((latent) => latent !== child);
    const siblings = new Set(others.filter((latent) => this.sae(latent) === this.sae(child)));
    const filled = [];
    let unexplained = positions;
    const { candidates, nearest } = await this.candidates(parent, child, siblings);
    candidates.forEach((latent) => this.block(this.blockOf(latent))); // all at once, not one after another
    for (const latent of candidates) {
      const other = await this.firings(latent);
      const n = shared(positions, other.positions);
      if (n) filled.push({ latent, n, share: n / positions.length, sibling: siblings.has(latent) });
      if (siblings.has(latent)) unexplained = without(unexplained, other.positions);
    }
    filled.sort((a, b) => b.n - a.n);
    return { parent, child, positions, present: present.length, tokens: this.commonTokens(positions), filled, unexplained, nearest };
  }

  // Latents of the child's SAE that might fill holes: all of them if they lie in few files, else the siblings and the nearest latents.
  async candidates(parent, child, siblings) {
    const other = (latent) => latent !== child && latent !== parent;
    const sae = this.sae(child), all = this.latentsOf(sae);
    if (this.blockOf(all.at(-1)) - this.blockOf(all[0]) < FEW_SHARDS) return { candidates: all.filter(other), nearest: false };
    const near = (await Promise.all([this.details(parent), this.details(child)])).flatMap((each) => [...(each.cofiring ?? []), ...(each.cosine ?? [])]);
    const mine = near.map(([latent]) => latent).filter((latent) => this.sae(latent) === sae && other(latent));
    return { candidates: new Set([...siblings, ...mine]), nearest: true };
  }

  // [kind, how often] of the tokens at these positions, the most frequent first.
  commonTokens(positions) {
    const counts = new Map();
    for (const position of positions) counts.set(this.tokens[position], (counts.get(this.tokens[position]) ?? 0) + 1);
    return [...counts].sort((a, b) => b[1] - a[1]);
  }
}

// ---------------------------------------------------------------- opening

// A bundle from what the host page holds: manifest as JSON, payload as bytes or base64, and the address of the shards.
export async function openBundle(manifest, payload, base) {
  const packed = typeof payload === "string" ? fromBase64(payload) : new Uint8Array(payload.buffer, payload.byteOffset, payload.byteLength);
  return new Bundle(JSON.parse(manifest), await gunzip(packed), base);
}

function fromBase64(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const signs = atob(text);
  const bytes = new Uint8Array(signs.length);
  for (let i = 0; i < signs.length; i++) bytes[i] = signs.charCodeAt(i);
  return bytes;
}

async function gunzip(bytes) {
  return new Uint8Array(await new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer());
}

async function loadShard(k, url) {
  if (url.protocol !== "file:") {
    const answer = await fetch(url);
    if (!answer.ok) throw new Error(`cannot load ${url}: ${answer.status}`);
    return gunzip(new Uint8Array(await answer.arrayBuffer()));
  }
  // A page from a disk may fetch nothing, but it may run a script: that hands over the shard as base64.
  globalThis.msaeShard = (_, text) => document.currentScript.receive(text);
  const script = document.createElement("script");
  const text = await new Promise((resolve, reject) => {
    script.receive = resolve;
    script.onerror = () => reject(new Error(`cannot load ${script.src}`));
    script.src = url.href.replace(/\.bin$/, ".js");
    document.head.append(script);
  });
  script.remove();
  return gunzip(fromBase64(text));
}

function openBlock(bytes) {
  const size = bytes.length ? new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true) : 0;
  const details = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + size)) || "[]");
  return { details, firings: bytes.subarray(4 + size) };
}

function decode(bytes, at, n) {
  const positions = new Uint32Array(n);
  for (let i = 0, position = 0; i < n; i++) {
    let step = 0, shift = 0, byte;
    do {
      byte = bytes[at++];
      step |= (byte & 127) << shift;
      shift += 7;
    } while (byte & 128);
    position += step;
    positions[i] = position;
  }
  return { positions, q: bytes.subarray(at, at + n) };
}

// ---------------------------------------------------------------- ascending positions

export function lowerBound(sorted, x) {
  let low = 0, high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (sorted[middle] < x) low = middle + 1;
    else high = middle;
  }
  return low;
}

const upperBound = (sorted, x) => lowerBound(sorted, x + 1); // whole numbers

// The positions of a that are not in b.
export function without(a, b) {
  const out = new Uint32Array(a.length);
  let n = 0, j = 0;
  for (const position of a) {
    while (j < b.length && b[j] < position) j++;
    if (b[j] !== position) out[n++] = position;
  }
  return out.subarray(0, n);
}

// How many positions a and b share.
export const shared = (a, b) => a.length - without(a, b).length;

export const partsOf = (list) => new Map(list.map(([at, part, of, text]) => [at, { part, of, text }]));

function push(map, key, value) {
  if (map.has(key)) map.get(key).push(value);
  else map.set(key, [value]);
}
