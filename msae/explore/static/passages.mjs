/** @file Passages of texts as elements: a span for each token, coloured by one latent and underlined by a second one. */
import { amount, element, visible } from "./dom.mjs";

/** @import { Bundle } from "./bundle.mjs" */
/** @import { Passage } from "./examples.mjs" */

/** @typedef {HTMLSpanElement & { position: number }} Token the place of a token in the bundle is kept at its element */

/**
 * @typedef {object} Drawn
 * @property {number} from
 * @property {number} to
 * @property {HTMLElement} row
 * @property {Token[]} spans
 * @property {Float32Array} base strengths of the first latent
 * @property {Float32Array | null} over strengths of the second one
 */

/**
 * @typedef {object} Marks
 * @property {Uint8Array} [hits] a byte per position: tokens to underline
 * @property {boolean} [missed] those of them on which the latent is silent are holes
 * @property {Set<number>} [drawn] positions that the texts were chosen for: they are framed
 */

/**
 * @param {Bundle} bundle
 * @param {Passage & { k: number }} passage k: which of those that are shown
 * @param {number} latent
 * @param {Float32Array} base strengths of the latent
 * @param {Marks} marks
 * @returns {Drawn}
 */
export function drawPassage(bundle, { from, to, cut, k }, latent, base, { hits, missed, drawn }) {
  const row = element("div", { className: "text", "data-text": k }, cut ? "… " : "");
  /** @type {Token[]} */
  const spans = [];
  for (let position = from; position < to; position++) {
    const { letter, later, word, space } = written(bundle, position, from);
    if (space && position > from) row.append(space); // outside the colour: no coloured sliver at the end of a line
    const span = /** @type {Token} */ (document.createElement("span")); // thousands at once: too many for `element`
    span.position = position;
    span.className = later ? "t part" : "t"; // a letter of several tokens stands in the first, the others are bars beside it
    const gap = word === " " && bundle.letter(position + 1)?.part === 1; // the space before a word, which its first letter keeps apart
    span.textContent = later ? "" : gap ? word : visible(word.slice(space.length));
    const strength = base[position - from];
    if (strength) paint(span, bundle.activation(latent, strength), strength);
    if (hits?.[position]) {
      span.classList.add("hit");
      if (letter) spans.slice(Math.max(0, spans.length + 1 - letter.part)).forEach((each) => each.classList.add("of-hit"));
      if (missed && !strength) span.classList.add("hole");
    }
    if (drawn?.has(position)) span.classList.add("drawn");
    spans.push(span);
    row.append(span);
    if (word.includes("\n")) row.append("\n");
  }
  return { from, to, row, spans, base, over: null };
}

/** What stands for a token, its leading space apart. @param {Bundle} bundle @param {number} position @param {number} from */
function written(bundle, position, from) {
  const letter = bundle.letter(position), later = letter !== undefined && letter.part > 1 && position > from;
  const word = letter && !later ? letter.text : bundle.word(position);
  return { letter, later, word, space: word.length > 1 && word[0] === " " ? " " : "" };
}

/** @param {HTMLElement} span @param {number} activation @param {number} strength 1 … 255 */
function paint(span, activation, strength) {
  span.dataset.value = amount(activation);
  span.style.setProperty("--a", (0.12 + (0.48 * Math.min(255, strength)) / 255).toFixed(3));
}

/**
 * Lays a second latent over a passage; returns the spans that it changed. Where the first fires and the second is silent there is a hole,
 * marked only if `holes`.
 *
 * @param {Drawn} passage
 * @param {Float32Array} strengths of the second
 * @param {boolean} holes
 */
export function layOver(passage, strengths, holes) {
  /** @type {Token[]} */
  const touched = [];
  passage.over = strengths;
  strengths.forEach((strength, k) => {
    if (!strength && !(holes && passage.base[k])) return;
    const span = passage.spans[k];
    if (strength) {
      span.classList.add("over");
      span.style.setProperty("--b", (0.35 + (0.65 * Math.min(255, strength)) / 255).toFixed(3));
    } else span.classList.add("hole");
    touched.push(span);
  });
  return touched;
}

/** @param {HTMLElement[]} touched */
export function takeAway(touched) {
  for (const span of touched) {
    span.classList.remove("over", "hole");
    span.style.removeProperty("--b");
  }
}
