/** @file Which tests each token passes: its *signature*. A corpus has few different ones. */
import { PatternError } from "./errors.mjs";
import { plainId } from "./nodes.mjs";
import { fold } from "./token_regex.mjs";

/** @import { Corpus } from "./corpus.mjs" */
/** @import { Comparison, Condition, Test } from "./nodes.mjs" */
/** @import { Ascending } from "../positions.mjs" */

/** Where a latent fires, and how strongly. @typedef {{ positions: Ascending, values: ArrayLike<number>, max: number }} Firings */
/** By id, without leading zeros. @typedef {Record<string, Firings>} Latents */

/** Signatures have a character each, before the surrogates. */
const MAX_SIGNATURES = 0xd7fe;

/**
 * Bit k of a signature: the token passes test k. `code` says which signature each token has.
 *
 * @param {Test[]} tests
 * @param {Corpus} texts
 * @param {Latents} latents
 * @param {string} query
 */
export function signaturesOf(tests, texts, latents, query) {
  const ofKind = new Uint32Array(texts.vocab.length);
  /** @type {[Uint8Array, number][]} */
  const inPlace = [];
  tests.forEach((each, k) => {
    const ask = byItself(each, texts);
    if (ask) for (let v = 0; v < ofKind.length; v++) ofKind[v] |= +ask(v) << k;
    else inPlace.push([passesInPlace(each, texts, latents, query), k]);
  });
  /** @type {Map<number, number>} */
  const known = new Map();
  const code = new Uint32Array(texts.n);
  for (let p = 0; p < texts.n; p++) {
    let signature = ofKind[texts.tokens[p]];
    for (const [passing, k] of inPlace) signature |= passing[p] << k;
    let number = known.get(signature);
    if (number === undefined) known.set(signature, (number = known.size));
    code[p] = number;
  }
  if (known.size > MAX_SIGNATURES) {
    const reason = `more than ${MAX_SIGNATURES.toLocaleString("en")} groups of tokens to keep apart; use fewer tests`;
    throw new PatternError(reason, query, 0);
  }
  return { signatures: [...known.keys()], code };
}

/**
 * A question to a kind of token, or null where the answer depends on its place.
 *
 * @param {Test} asked
 * @param {Corpus} texts
 * @returns {((kind: number) => boolean) | null}
 */
function byItself({ name, args }, { vocab, ids }) {
  if (name === "id") return (v) => ids[v] === args[0];
  if (name === "text") return (v) => vocab[v] === args[0];
  if (name !== "regex") return null;
  const whole = new RegExp(`^(?:${args[0]})$`, "su");
  return (v) => whole.test(args[1] ? fold(vocab[v]) : vocab[v]);
}

/** @type {Record<Comparison, (a: number, b: number) => boolean>} */
const COMPARE = { ">": (a, b) => a > b, ">=": (a, b) => a >= b, "<": (a, b) => a < b, "<=": (a, b) => a <= b, "=": (a, b) => a === b };

/**
 * The answer for every token, where it depends on its place.
 *
 * @param {Test} asked
 * @param {Corpus} texts
 * @param {Latents} latents
 * @param {string} query
 */
function passesInPlace({ name, args, at }, texts, latents, query) {
  if (name === "quoted") return texts.quoted();
  if (name === "seen") return texts.seen();
  if (name === "pos") return texts.each((_, place) => COMPARE[args[0]](place, args[1]));
  if (name === "literal") {
    const passing = new Uint8Array(texts.n);
    for (const p of texts.occurrences(args[0]).get(args[1]) ?? []) passing[p] = 1;
    return passing;
  }
  if (name !== "latent") return texts.each((_, place) => place === 0); // first
  const passing = new Uint8Array(texts.every.n);
  const [written, comparison, value, percent] = args, id = plainId(written);
  if (!Object.hasOwn(latents, id)) throw new PatternError(`there is no latent ${written} here`, query, at);
  const { positions, values, max } = latents[id], threshold = percent ? (value / 100) * max : value, compare = COMPARE[comparison];
  if (!comparison.startsWith(">") && compare(0, threshold)) passing.fill(1); // silence is above nothing, not even a latent that never fires
  for (let j = 0; j < positions.length; j++) passing[positions[j]] = +compare(values[j], threshold);
  return texts.where ? Uint8Array.from(texts.where, (p) => passing[p]) : passing;
}

/** @param {Condition} condition @param {number} signature @param {Map<string, number>} number of each test @returns {boolean} */
export function passes(condition, signature, number) {
  if (condition.kind === "test") return ((signature >> (number.get(condition.key) ?? 0)) & 1) === 1;
  if (condition.kind === "not") return !passes(condition.part, signature, number);
  if (condition.kind === "all") return condition.parts.every((part) => passes(part, signature, number));
  return condition.parts.some((part) => passes(part, signature, number));
}
