/** @file Which texts are shown. */
import { sameDraws } from "./draws.mjs";
import { lowerBound } from "./positions.mjs";

/** @import { Bundle } from "./bundle.mjs" */
/** @import { Firings } from "./shards.mjs" */

/** @typedef {{ text: number, position: number, q: number }} Peak a firing, and its text */
/** @typedef {{ from: number, to: number, cut: boolean }} Passage positions from … to - 1; cut: the text begins before them */
/** Which texts of a latent are wanted; low, high: of its peaks, 0 … 255. @typedef {{ how: How, low: number, high: number }} Wanted */
/** @typedef {"strongest" | "spread" | "random"} How */

/**
 * Some texts of a latent, each with its peak there. "strongest" looks at all texts; "spread" (one per quantile of the peaks) and
 * "random" (random firings) at the unbiased sample only, since the other texts were added for being strong.
 *
 * @param {Bundle} bundle
 * @param {Firings} firings
 * @param {Wanted} [wanted]
 * @returns {Peak[]}
 */
export function examples(bundle, firings, { how, low, high } = { how: "strongest", low: 0, high: 255 }) {
  const k = bundle.nExamples;
  /** @param {number} q */
  const inside = (q) => q >= low && q <= high;
  if (how === "random") return randomFirings(bundle, firings, k, inside);
  const peaks = peaksOf(bundle, firings, how === "strongest" ? bundle.nTokens : bundle.sampleEnd).filter(({ q }) => inside(q));
  peaks.sort((a, b) => b.q - a.q || a.position - b.position);
  return how === "strongest" ? peaks.slice(0, k) : evenly(peaks, k);
}

/** k of some things, spread over all of them. @template Thing @param {Thing[]} all @param {number} k */
export const evenly = (all, k) => (all.length <= k ? all : Array.from({ length: k }, (_, i) => all[Math.floor((i * all.length) / k)]));

/**
 * The strongest firing in each text. Parts of one text of the corpus count as one text.
 *
 * @param {Bundle} bundle
 * @param {Firings} firings
 * @param {number} end
 */
function peaksOf(bundle, { positions, q }, end) {
  /** @type {Map<number, Peak>} */
  const best = new Map();
  let text = -1;
  for (let j = 0; j < positions.length && positions[j] < end; j++) {
    if (text < 0 || positions[j] >= bundle.starts[text + 1]) text = bundle.textOf(positions[j]);
    const number = bundle.number(text);
    const peak = best.get(number);
    if (!peak || q[j] > peak.q) best.set(number, { text, position: positions[j], q: q[j] });
  }
  return [...best.values()];
}

/** @param {Bundle} bundle @param {Firings} firings @param {number} k @param {(q: number) => boolean} inside */
function randomFirings(bundle, { positions, q }, k, inside) {
  const within = Array.from({ length: lowerBound(positions, bundle.sampleEnd) }, (_, j) => j).filter((j) => inside(q[j]));
  /** @type {Map<number, Peak>} */
  const found = new Map();
  const draw = sameDraws();
  for (let tries = 0; tries < 200 * k && found.size < k && within.length; tries++) {
    const j = within[draw(within.length)];
    const text = bundle.textOf(positions[j]);
    if (!found.has(text)) found.set(text, { text, position: positions[j], q: q[j] });
  }
  return [...found.values()];
}

/** Of ascending positions the first in each text, for some texts. @param {Bundle} bundle @param {Uint32Array} positions */
export function firstPlaces(bundle, positions) {
  /** @type {number[]} */
  const found = [];
  let end = -1;
  for (const position of positions) {
    if (found.length === bundle.nExamples) break;
    if (position < end) continue;
    found.push(position);
    end = bundle.starts[bundle.textOf(position) + 1];
  }
  return found;
}

/**
 * The whole text of a position, or a window with two thirds of it before the position.
 *
 * @param {Bundle} bundle
 * @param {number} position
 * @param {number} [width]
 * @returns {Passage}
 */
export function passage(bundle, position, width = Infinity) {
  const text = bundle.textOf(position);
  const [begin, end] = [bundle.starts[text], bundle.starts[text + 1]];
  const size = Math.min(width, end - begin);
  const from = Math.min(Math.max(begin, position - Math.floor((2 * size) / 3)), end - size);
  return { from, to: from + size, cut: from > begin };
}
