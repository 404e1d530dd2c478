/** @file One token's regular expression, /like this/: see msae/patterns/token_regex.py, which this follows line by line. */

/** @type {Record<string, string>} */
const CLASSES = { d: "\\p{Nd}", w: "\\p{L}\\p{M}\\p{N}_", s: "\\p{White_Space}" };

/** @type {Record<string, string>} */
export const ESCAPES = { n: "\n", r: "\r", t: "\t" };

const PIECE = new RegExp(
  String.raw`(?<open>\((?:\?[:=!])?)|(?<close>\))|(?<bar>\|)|(?<dot>\.)|(?<quantifier>[?*+]|\{[0-9]{1,3}(?:,[0-9]{0,3})?\})` +
    String.raw`|(?<set>\[(?!\^\])\^?(?:\\.|[^\]\\])+\])|(?<property>\\[pP]\{[A-Z][a-z]?\})|(?<class>\\[dwsDWS])` +
    String.raw`|(?<char>\\[nrt]|\\[^\p{L}\p{N}]|[^\\(){}\[\]^$])`,
  "suy");
const SET_ITEM = new RegExp(
  String.raw`(?<property>\\[pP]\{[A-Z][a-z]?\})|(?<class>\\[dws])` +
    String.raw`|(?<low>\\[nrt]|\\[^\p{L}\p{N}]|[^\\])(?:-(?<high>\\[nrt]|\\[^\p{L}\p{N}]|[^\\]))?`,
  "suy");

export class NotARegex extends Error {
  /** @param {string} reason @param {number} at UTF-16 units from the start of the expression */
  constructor(reason, at) {
    super(reason);
    this.at = at;
  }
}

/**
 * What a sticky expression finds at a place.
 *
 * @param {RegExp} expression
 * @param {string} text
 * @param {number} place
 */
export function matchAt(expression, text, place) {
  expression.lastIndex = place;
  return expression.exec(text);
}

/**
 * The expression in the words that Python and JavaScript share; folded throughout if `ignoreCase`. Throws NotARegex.
 *
 * @param {string} body
 * @param {boolean} ignoreCase
 */
export function translate(body, ignoreCase) {
  if (!body) throw new NotARegex("an empty regular expression", 0);
  let out = "", repeatable = false, place = 0;
  /** @type {{ place: number, look: boolean }[]} */
  const opened = [];
  while (place < body.length) {
    const piece = matchAt(PIECE, body, place);
    if (!piece) throw new NotARegex(whyNoPiece([...body.slice(place, place + 3)].slice(0, 2).join("")), place);
    const kind = Object.entries(piece.groups ?? {}).find(([, found]) => found !== undefined)?.[0] ?? "", text = piece[0];
    let look = false;
    if (kind === "open") opened.push({ place, look: text === "(?=" || text === "(?!" });
    else if (kind === "close") {
      const last = opened.pop();
      if (!last) throw new NotARegex("this ) closes nothing", place);
      look = last.look;
    } else if (kind === "quantifier" && !repeatable) throw new NotARegex(`${text} has nothing to repeat`, place);
    out += translatePiece(kind, text, ignoreCase, place);
    repeatable = !["open", "bar", "quantifier"].includes(kind) && !look;
    place += text.length;
  }
  const left = opened.at(-1);
  if (left) throw new NotARegex("this ( is never closed", left.place);
  return out;
}

/** @param {string} kind @param {string} text @param {boolean} ignoreCase @param {number} place */
function translatePiece(kind, text, ignoreCase, place) {
  if (kind === "open") return text === "(" ? "(?:" : text;
  if (kind === "set") return translateSet(text, ignoreCase, place);
  if (kind === "class") return `[${"DWS".includes(text[1]) ? "^" : ""}${CLASSES[text[1].toLowerCase()]}]`;
  if (kind === "char") return escaped(plain(text, ignoreCase));
  return text;
}

/** @param {string} text */
function whyNoPiece(text) {
  if ("^$".includes(text[0])) return `the whole token has to match, so ${text[0]} is not needed; the character itself is \\${text[0]}`;
  if (text[0] === "\\") return `${text} is not known here; known are \\d \\w \\s \\n \\r \\t, \\p{Lu} and its like, and escaped marks`;
  return `${text[0]} has a meaning of its own here; the character itself is \\${text[0]}`;
}

/** @param {string} text @param {boolean} ignoreCase @param {number} offset */
function translateSet(text, ignoreCase, offset) {
  let place = text.startsWith("[^") ? 2 : 1, out = text.slice(0, place);
  const inner = text.slice(0, -1);
  while (place < inner.length) {
    const item = matchAt(SET_ITEM, inner, place);
    if (!item) throw new NotARegex(`${[...inner.slice(place)].slice(0, 2).join("")} cannot stand between [ and ]`, offset + place);
    const { property, class: named, low, high = low } = item.groups ?? {};
    if (named) out += CLASSES[named[1]];
    else if (property) out += property;
    else {
      const [first, last] = [plain(low, ignoreCase), plain(high, ignoreCase)];
      if (codeOf(first) > codeOf(last)) throw new NotARegex(`${item[0]} runs backwards`, offset + place);
      out += item[0].length > low.length ? `${escaped(first)}-${escaped(last)}` : escaped(first);
    }
    place += item[0].length;
  }
  return out + "]";
}

/** @param {string} text @param {boolean} ignoreCase */
function plain(text, ignoreCase) {
  const char = text[0] === "\\" && text.length > 1 ? ESCAPES[text[1]] ?? text.slice(1) : text;
  return ignoreCase ? fold(char) : char;
}

/** In lower case, character by character: one whose lower case is two (İ) stays, and ς is σ wherever it stands. @param {string} text */
export function fold(text) {
  return Array.from(text, (char) => ([...char.toLowerCase()].length === 1 ? char.toLowerCase() : char)).join("").replaceAll("ς", "σ");
}

/** @param {string} char */
const codeOf = (char) => char.codePointAt(0) ?? 0;

/** @param {string} char */
const escaped = (char) => (/[\p{L}\p{N}]/u.test(char) || codeOf(char) > 127 ? char : "\\x" + codeOf(char).toString(16).padStart(2, "0"));
