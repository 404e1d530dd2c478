// Small tools for the page: elements, and how tokens and numbers are written.

// An element with properties (or attributes, where there is no such property) and children; text is always text, never markup.
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [key, value] of Object.entries(properties)) {
    if (key in made && key !== "role") made[key] = value;
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

export function svgElement(tag, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

export const option = (value, text) => element("option", { value }, text);

// Signs without a picture, the same as _UNSEEN in support/drawn.py. The joiners between letters and between emoji, and what varies the sign
// before it, belong to these and stay.
const UNSEEN = new RegExp(
    "[\\u0000-\\u001f\\u007f-\\u009f\\u00ad\\u034f\\u061c\\u115f\\u1160\\u17b4\\u17b5\\u180e\\u200b\\u200e\\u200f\\u2028-\\u202e\\u2060-\\u206f\\u2800" +
    "\\u3164\\ufdd0-\\ufdef\\ufeff\\uffa0\\ufff0-\\ufffb\\ufffe\\uffff\\u{e0000}-\\u{e007f}]|\\p{Cs}" +
    "|(?<!\\S)[\\u200c\\u200d\\ufe00-\\ufe0f]|[\\u200c\\u200d](?!\\S)",
  "gu");

const seenBefore = new Map(); // a vocabulary is small beside the tokens that are drawn

// A token as one sees it: a newline is an arrow, a lone space a dot, a sign without a picture its number.
export function visible(text) {
  let seen = seenBefore.get(text);
  if (seen === undefined) {
    seen = text.replace(/\r?\n/g, "↵").replace(/\t/g, "⇥").replace(UNSEEN, (sign) => `⟨${sign.codePointAt(0).toString(16)}⟩`) || "(empty)";
    if (/^\s+$/.test(seen)) seen = "·".repeat(seen.length);
    seenBefore.set(text, seen);
  }
  return seen;
}

// The same, its leading space a dot: for tables and sentences.
export const dotted = (text) => visible(text).replace(/^ /, "·");

const whole = new Intl.NumberFormat("en"), twoDigits = new Intl.NumberFormat("en", { maximumSignificantDigits: 2 });
export const amount = (x) => x.toFixed(2);
export const count = (n) => whole.format(n);
export const percent = (share) => `${twoDigits.format(100 * share)} %`;
export const plural = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;
export const list = (words) => (words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`);
