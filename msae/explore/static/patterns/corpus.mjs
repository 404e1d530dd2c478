/** @file What a pattern can ask about the text of its tokens. See msae/patterns/corpus.py. */
import { lowerBound } from "../positions.mjs";

/** @import { Ascending } from "../positions.mjs" */

/**
 * Some texts, as they are handed over.
 *
 * @typedef {object} Texts
 * @property {Uint16Array | Uint32Array} tokens ids into vocab, text after text
 * @property {Ascending} start where each text begins, and the end
 * @property {string[]} vocab the text of each id
 * @property {number[]} [ids] what [id=…] calls each token, where that is another number than its place in vocab
 * @property {[id: number, part: number, of: number, text: string][]} [parts] of each token that is one of several which make a letter
 */

/** @typedef {{ text: string, begins: Uint32Array, ends: Uint32Array, textOf: Uint32Array }} Joined */

/**
 * What can be asked about some texts; each answer is worked out once. Tokens that make a letter together count as one, at the place of the
 * last of them; `where` says which places those of all tokens are, and `every` has every token by itself.
 *
 * @param {Texts} texts
 */
export function corpus({ tokens, start, vocab, ids = Array.from(vocab.keys()), parts = [] }) {
  const every = new Corpus(tokens, start, vocab, ids, new Map());
  if (!parts.length) return every;
  const earlier = new Set(parts.flatMap(([id, part, of]) => (part < of ? [id] : [])));
  const letters = new Map(parts.map(([id, , , text]) => [id, text]));
  const where = Uint32Array.from(tokens.keys()).filter((place) => !earlier.has(tokens[place]));
  const whole = vocab.map((text, id) => letters.get(id) ?? text), begins = Array.from(start, (at) => lowerBound(where, at));
  const joined = new Corpus(tokens.filter((id) => !earlier.has(id)), begins, whole, ids, letters);
  return Object.assign(joined, { where, every });
}

export class Corpus {
  /** The places of these tokens among `every` token; undefined where they are all of them. @type {Uint32Array | undefined} */
  where = undefined;

  /** @type {Corpus} */
  every = this;

  /** Answers that are known. @type {{ seen?: Uint8Array, quoted?: Uint8Array, joined?: Joined }} */
  #known = {};

  /** @type {Map<string, Map<number, number[]>>} */
  #occurrences = new Map();

  /**
   * @param {Uint16Array | Uint32Array} tokens
   * @param {Ascending} start
   * @param {string[]} vocab
   * @param {number[]} ids
   * @param {Map<number, string>} letters the tokens that stand for a letter of several tokens
   */
  constructor(tokens, start, vocab, ids, letters) {
    this.tokens = tokens;
    this.start = start;
    this.vocab = vocab;
    this.ids = ids;
    this.letters = letters;
    this.n = tokens.length;
  }

  /**
   * An answer for every token, as 0 or 1.
   *
   * @param {(token: number, place: number, text: number) => boolean | number} ask place: in its text
   */
  each(ask) {
    const { tokens, start } = this, out = new Uint8Array(this.n);
    for (let t = 0; t + 1 < start.length; t++) for (let p = start[t]; p < start[t + 1]; p++) out[p] = +ask(tokens[p], p - start[t], t);
    return out;
  }

  /** Whether the token has been in its text before. */
  seen() {
    return (this.#known.seen ??= this.#askSeen());
  }

  #askSeen() {
    /** @type {Set<number>} */
    let before = new Set();
    let text = -1;
    return this.each((token, _, t) => {
      if (t !== text) [before, text] = [new Set(), t];
      return before.has(token) || !before.add(token);
    });
  }

  /** Whether it stands between quotation marks. */
  quoted() {
    return (this.#known.quoted ??= this.#askQuoted());
  }

  #askQuoted() {
    /** @param {string} text */
    const count = (text) => text.split('"').length - 1;
    const marks = this.vocab.map(count);
    const sinceNewline = this.vocab.map((text) => (text.includes("\n") ? count(text.slice(text.lastIndexOf("\n"))) : -1));
    let open = 0;
    return this.each((token, place) => {
      if (place === 0) open = 0;
      open = sinceNewline[token] >= 0 ? sinceNewline[token] : open + marks[token];
      return open % 2 > 0 && !marks[token];
    });
  }

  /** All texts as one string with a character between two of them, and where each token begins and ends in it. */
  joined() {
    return (this.#known.joined ??= this.#join());
  }

  /** @returns {Joined} */
  #join() {
    const { tokens, start, vocab, n } = this;
    const begins = new Uint32Array(n), ends = new Uint32Array(n), textOf = new Uint32Array(n), parts = [];
    let length = 0;
    for (let t = 0; t + 1 < start.length; t++) {
      let part = "";
      for (let p = start[t]; p < start[t + 1]; p++) {
        begins[p] = length + part.length;
        part += vocab[tokens[p]];
        ends[p] = length + part.length;
        textOf[p] = t;
      }
      parts.push(part);
      length += part.length + 1;
    }
    return { text: parts.join("\0"), begins, ends, textOf };
  }

  /**
   * Where whole tokens have this text together: number of tokens → the places where such a stretch begins. A stretch with a letter that
   * several tokens share may begin behind the white space of its first token.
   *
   * @param {string} literal
   * @returns {Map<number, number[]>}
   */
  occurrences(literal) {
    const known = this.#occurrences.get(literal);
    if (known) return known;
    const { text, begins, ends, textOf } = this.joined();
    /** @type {Map<number, number[]>} */
    const found = new Map();
    for (let begin = text.indexOf(literal); begin >= 0; begin = text.indexOf(literal, begin + 1)) {
      const end = begin + literal.length, first = lowerBound(begins, begin + 1) - 1, last = lowerBound(ends, end);
      if (ends[last] !== end || textOf[first] !== textOf[last]) continue;
      if (begins[first] !== begin && !this.#beginsBehindSpace(first, last, begin - begins[first])) continue;
      const length = last - first + 1, places = found.get(length);
      if (places) places.push(first);
      else found.set(length, [first]);
    }
    this.#occurrences.set(literal, found);
    return found;
  }

  /** @param {number} first @param {number} last @param {number} left of the first token's text, before the stretch */
  #beginsBehindSpace(first, last, left) {
    const { tokens, vocab, letters } = this, space = /^\p{White_Space}*/u.exec(vocab[tokens[first]])?.[0].length;
    return space === left && tokens.slice(first, last + 1).some((id) => letters.has(id));
  }
}
