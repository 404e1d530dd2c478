/** @file Small tools for the page: elements, and how tokens and numbers are written. */

/**
 * An element with properties (or attributes, where there is no such property) and children; text is always text, never markup.
 *
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, unknown>} [properties]
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [key, value] of Object.entries(properties)) {
    if (key in made && key !== "role") Reflect.set(made, key, value);
    else made.setAttribute(key, String(value));
  }
  made.append(...children);
  return made;
}

/**
 * @param {string} tag
 * @param {Record<string, string | number>} [attributes]
 * @param {...(Node | string)} children
 */
export function svgElement(tag, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, String(value));
  made.append(...children);
  return made;
}

/** @param {string} value @param {string} text */
export const option = (value, text) => element("option", { value }, text);

/** @param {string} text @param {() => void} onclick */
export const press = (text, onclick) => element("button", { type: "button", onclick }, text);

/**
 * Where an event came from, seen from below: the nearest element that the selector fits, or null.
 *
 * @param {Event} event
 * @param {string} selector
 */
export const origin = (event, selector) =>
  event.target instanceof Element ? /** @type {HTMLElement | null} */ (event.target.closest(selector)) : null;

/** What was thrown, in words. @param {unknown} error */
export const inWords = (error) => (error instanceof Error ? error.message : String(error));

/**
 * Signs without a picture, the same as _UNSEEN in support/drawn.py. The joiners between letters and between emoji, and what varies the sign
 * before it, belong to these and stay.
 */
const UNSEEN = new RegExp(
  "[\\u0000-\\u001f\\u007f-\\u009f\\u00ad\\u034f\\u061c\\u115f\\u1160\\u17b4\\u17b5\\u180e\\u200b\\u200e\\u200f\\u2028-\\u202e" +
    "\\u2060-\\u206f\\u2800\\u3164\\ufdd0-\\ufdef\\ufeff\\uffa0\\ufff0-\\ufffb\\ufffe\\uffff\\u{e0000}-\\u{e007f}]|\\p{Cs}" +
    "|(?<!\\S)[\\u200c\\u200d\\ufe00-\\ufe0f]|[\\u200c\\u200d](?!\\S)",
  "gu");

/** A vocabulary is small beside the tokens that are drawn. @type {Map<string, string>} */
const seenBefore = new Map();

/** A token as one sees it: a newline is an arrow, a lone space a dot, a sign without a picture its number. @param {string} text */
export function visible(text) {
  let seen = seenBefore.get(text);
  if (seen === undefined) {
    seen = text.replace(/\r?\n/g, "↵").replace(/\t/g, "⇥").replace(UNSEEN, (sign) => `⟨${sign.codePointAt(0)?.toString(16)}⟩`) || "(empty)";
    if (/^\s+$/.test(seen)) seen = "·".repeat(seen.length);
    seenBefore.set(text, seen);
  }
  return seen;
}

/** The same, its leading space a dot: for tables and sentences. @param {string} text */
export const dotted = (text) => visible(text).replace(/^ /, "·");

const whole = new Intl.NumberFormat("en");
const twoDigits = new Intl.NumberFormat("en", { maximumSignificantDigits: 2 });

/** @param {number} x */
export const amount = (x) => x.toFixed(2);

/** @param {number} n */
export const count = (n) => whole.format(n);

/** @param {number} share */
export const percent = (share) => `${twoDigits.format(100 * share)} %`;

/** @param {number} n @param {string} one @param {string} [many] */
export const plural = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;

/** Words in a sentence: “a, b and c”. @param {string[]} words */
export const list = (words) => (words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`);
