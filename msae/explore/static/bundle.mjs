/** @file The data behind the page: texts, and where each latent fires on them. */
import { lettersOf, startsOf, termsOf } from "./manifest.mjs";
import { lowerBound, upperBound } from "./positions.mjs";
import { decode, fromBase64, gunzip, loadShard, openBlock } from "./shards.mjs";

/** @import { Details, Manifest } from "./manifest.mjs" */
/** @import { Block, Firings } from "./shards.mjs" */

/** @typedef {{ part: number, of: number, text: string }} Letter which part of which letter a token is */

/**
 * @typedef {object} Typed a text that was typed
 * @property {string} [text]
 * @property {string[]} words
 * @property {Map<number, Letter>} parts by place
 * @property {Map<number, [place: number, activation: number][]>} firings by latent
 */

const CACHED_FIRINGS = 5_000_000; // decoded firings that are kept, 5 bytes each

/**
 * A bundle from what the host page holds.
 *
 * @param {string} manifest JSON
 * @param {string | ArrayBufferView<ArrayBuffer>} payload base64 or bytes
 * @param {string} base the address of the shards
 */
export async function openBundle(manifest, payload, base) {
  const packed = typeof payload === "string" ? fromBase64(payload) : new Uint8Array(payload.buffer, payload.byteOffset, payload.byteLength);
  return new Bundle(JSON.parse(manifest), await gunzip(packed), base);
}

export class Bundle {
  /** @type {Map<number, Promise<Block>>} */
  #blocks = new Map();

  /** In the order of last use. @type {Map<number, Firings>} */
  #cache = new Map();

  #cached = 0;

  /** @type {Typed} */
  typed = { words: [], parts: new Map(), firings: new Map() };

  /** The parents of a latent and its children, the best first. @type {Map<number, [latent: number, score: number][]>} */
  parents = new Map();

  /** @type {Map<number, [latent: number, score: number][]>} */
  children = new Map();

  /** @param {Manifest} manifest @param {Uint8Array<ArrayBuffer>} payload @param {string} base */
  constructor(manifest, payload, base) {
    if (manifest.schema !== "msae-explorer/1") throw new Error(`cannot read explorer data of the form ${manifest.schema}`);
    const { latents, n_tokens: nTokens, vocab } = manifest;
    const wide = vocab.length > 65_536;
    const tokenBytes = nTokens * (wide ? 4 : 2);
    const tokens = payload.slice(0, tokenBytes).buffer;
    this.manifest = manifest;
    this.terms = termsOf(manifest);
    this.nExamples = manifest.n_examples ?? 10;
    this.vocab = vocab;
    this.nTokens = nTokens;
    this.base = base;
    this.id = latents.id;
    this.label = latents.label;
    this.max = latents.max;
    this.n = latents.n;
    this.scanned = latents.n_scanned ?? latents.n;
    this.tokens = wide ? new Uint32Array(tokens) : new Uint16Array(tokens);
    this.starts = startsOf(manifest);
    this.nTexts = this.starts.length - 1;
    this.sampleEnd = this.starts[manifest.n_sample];
    this.index = new Map(this.id.map((id, i) => [id, i]));
    this.saes = new Map(manifest.saes.map((sae) => [sae.id, sae]));
    /** By kind of token: in the vocabulary the first has the text, the others have none. @type {Map<number, Letter>} */
    this.parts = lettersOf(manifest.vocab_parts);
    if (!manifest.shards.length) this.#blocks.set(0, Promise.resolve(openBlock(payload.subarray(tokenBytes))));
    for (const [parent, child, score] of manifest.edges) {
      push(this.parents, child, [parent, score]);
      push(this.children, parent, [child, score]);
    }
    for (const of of this.children.values()) of.sort((a, b) => b[1] - a[1]);
  }

  // ------------------------------------------------------------- names

  /** @param {number} latent */
  sae(latent) {
    return this.id[latent].slice(0, this.id[latent].lastIndexOf("/"));
  }

  /** @param {string} sae */
  latentsOf(sae) {
    return this.id.flatMap((_, i) => (this.sae(i) === sae ? [i] : []));
  }

  /** What is known of the SAE of a latent. @param {number} latent */
  saeOf(latent) {
    const sae = this.saes.get(this.sae(latent));
    if (!sae) throw new Error(`no SAE of the name ${this.sae(latent)}`);
    return sae;
  }

  /** The label, or the tokens with the most activation. @param {number} latent @param {(text: string) => string} show */
  name(latent, show) {
    return this.label[latent] || this.topTokens(latent, show) || "never fires";
  }

  /** @param {number} latent @param {(text: string) => string} show */
  topTokens(latent, show) {
    return this.manifest.latents.top[latent].map((kind) => this.named(kind, show)).join(" ");
  }

  /** A kind of token for tables and sentences: é₂ is the second part of é. @param {number} kind @param {(text: string) => string} show */
  named(kind, show) {
    const letter = this.parts.get(kind);
    return letter ? show(letter.text) + String(letter.part).replace(/\d/g, (digit) => "₀₁₂₃₄₅₆₇₈₉"[+digit]) : show(this.vocab[kind]);
  }

  /** @param {number} latent */
  density(latent) {
    return this.scanned[latent] / Math.max(1, this.saeOf(latent).n_tokens);
  }

  /** @param {number} latent @returns {number | undefined} */
  bestParent(latent) {
    return this.parents.get(latent)?.[0][0];
  }

  /**
   * The children for which this latent is the best parent; those of which it is the second or third come in `children` too.
   *
   * @param {number} latent
   */
  ownChildren(latent) {
    return (this.children.get(latent) ?? []).filter(([child]) => this.bestParent(child) === latent);
  }

  // ------------------------------------------------------------- texts

  /** @param {number} position */
  word(position) {
    return position < this.nTokens ? this.vocab[this.tokens[position]] : this.typed.words[position - this.nTokens];
  }

  /** The letter that the token here is part of; undefined for a token with a text of its own. @param {number} position */
  letter(position) {
    return position < this.nTokens ? this.parts.get(this.tokens[position]) : this.typed.parts.get(position - this.nTokens);
  }

  /** @param {number} position */
  textOf(position) {
    return upperBound(this.starts, position) - 1;
  }

  /** The number of a text in the corpus. @param {number} text */
  number(text) {
    return this.manifest.text_number?.[text] ?? text;
  }

  /** Where a token stands, for people: the number of the text in the corpus, and the place in it. @param {number} position */
  place(position) {
    if (position >= this.nTokens) return { text: "you typed", place: position - this.nTokens };
    const text = this.textOf(position);
    return { text: this.number(text), place: position - this.starts[text] + (this.manifest.text_first?.[text] ?? 0) };
  }

  // ------------------------------------------------------------- firings

  /** A promise of a block; whoever asks ahead need not wait for it, nor hear of its failure. @param {number} k @returns {Promise<Block>} */
  block(k) {
    const known = this.#blocks.get(k);
    if (known) return known;
    const block = loadShard(new URL(this.manifest.shards[k], this.base)).then(openBlock);
    this.#blocks.set(k, block);
    block.catch(() => this.#blocks.delete(k)); // it is asked for again the next time
    return block;
  }

  /** @param {number} latent */
  blockOf(latent) {
    return this.manifest.shards.length ? Math.floor(latent / this.manifest.latents_per_shard) : 0;
  }

  /** @param {Block} block @param {number} latent */
  decode(block, latent) {
    return decode(block.firings, this.manifest.latents.off[latent], this.n[latent]);
  }

  /** All firings of a latent. @param {number} latent @returns {Promise<Firings>} */
  async firings(latent) {
    let found = this.#cache.get(latent);
    if (found) this.#cache.delete(latent); // and set again below: the map's order is that of last use
    else {
      found = this.decode(await this.block(this.blockOf(latent)), latent);
      if (!this.#cache.has(latent)) this.#cached += found.q.length;
    }
    this.#cache.set(latent, found);
    for (const [oldest, { q }] of this.#cache) {
      if (this.#cached <= CACHED_FIRINGS || this.#cache.size === 1) break;
      this.#cache.delete(oldest);
      this.#cached -= q.length;
    }
    return found;
  }

  /** @param {number} latent @returns {Promise<Details>} */
  async details(latent) {
    const k = this.blockOf(latent);
    return (await this.block(k)).details[latent - k * this.manifest.latents_per_shard];
  }

  /** @param {number} latent @param {number} q */
  activation(latent, q) {
    return (q / 255) * this.max[latent];
  }

  /**
   * Strengths 0 … 255 on the positions from … to - 1; 0 where silent.
   *
   * @param {number} latent
   * @param {Firings} firings those of `latent`
   * @param {number} from
   * @param {number} to
   */
  strengths(latent, { positions, q }, from, to) {
    const out = new Float32Array(to - from);
    if (from >= this.nTokens) {
      const most = this.max[latent];
      for (const [place, activation] of this.typed.firings.get(latent) ?? []) out[place] = (255 * activation) / (most || activation);
      return out;
    }
    for (let j = lowerBound(positions, from); j < positions.length && positions[j] < to; j++) out[positions[j] - from] = q[j];
    return out;
  }
}

/** @template Value @param {Map<number, Value[]>} map @param {number} key @param {Value} value */
function push(map, key, value) {
  const values = map.get(key);
  if (values) values.push(value);
  else map.set(key, [value]);
}
