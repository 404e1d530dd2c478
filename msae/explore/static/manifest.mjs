/** @file What the manifest of a bundle says. The format msae-explorer/1 is described in msae/explore/bundle.py and its JSON schema. */

/**
 * A part of a letter: which kind of token, which part it is from 1, of how many, and what they make together.
 *
 * @typedef {[at: number, part: number, of: number, text: string]} Part
 */

/**
 * @typedef {object} Terms what a search counts with
 * @property {number} max_tests different tests of a pattern
 * @property {number[]} levels shares of a latent's maximum; its firings count above one of them
 * @property {number} min_precision of the latents that together catch a pattern
 * @property {number} share of the pattern that they have to catch
 * @property {number} confidence of the intervals
 */

/**
 * @typedef {object} Sae
 * @property {string} id
 * @property {number} n_latents
 * @property {number} n_tokens
 * @property {number} [l0]
 */

/**
 * @typedef {object} Columns of equal length, one entry per latent
 * @property {string[]} id
 * @property {string[]} label
 * @property {number[]} max
 * @property {number[]} n
 * @property {number[]} [n_scanned]
 * @property {number[]} off
 * @property {number[][]} top
 */

/**
 * @typedef {object} Manifest
 * @property {string} schema
 * @property {string[]} vocab
 * @property {number[]} vocab_ids
 * @property {Part[]} [vocab_parts]
 * @property {number} n_tokens
 * @property {number} [text_length]
 * @property {number[]} [text_starts]
 * @property {number} n_sample
 * @property {number[]} [text_number]
 * @property {number[]} [text_first]
 * @property {Sae[]} saes
 * @property {Columns} latents
 * @property {[parent: number, child: number, score: number][]} edges
 * @property {number} latents_per_shard
 * @property {string[]} shards
 * @property {Partial<Terms>} [search]
 * @property {number} [window]
 * @property {number} [n_examples]
 * @property {"activations" | "directions"} [cosine_of]
 */

/**
 * @typedef {object} Details of one latent; the strongest first
 * @property {[kind: number, firing: number, occurring: number, mean: number, max: number][]} tokens
 * @property {[latent: number, share: number][]} [cofiring]
 * @property {[latent: number, cosine: number][]} [cosine]
 * @property {[kind: number, effect: number][]} [logits]
 */

/** What folders were written with that do not say it. @type {Terms} */
const BEFORE = { max_tests: 24, levels: [0, 0.1, 0.25, 0.5, 0.75], min_precision: 0.8, share: 0.9, confidence: 0.9 };

/** @param {Manifest} manifest @returns {Terms} */
export const termsOf = (manifest) => ({ ...BEFORE, ...manifest.search });

/** Where each text begins, and the end. @param {Manifest} manifest */
export function startsOf({ text_starts: starts, n_tokens: n, text_length: length = n }) {
  return Uint32Array.from(starts ?? Array.from({ length: n / length + 1 }, (_, i) => i * length));
}

/** What each kind of token, or each place of a typed text, is a part of. @param {Part[]} [parts] */
export const lettersOf = (parts = []) => new Map(parts.map(([at, part, of, text]) => [at, { part, of, text }]));
