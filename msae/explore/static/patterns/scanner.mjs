/** @file A pattern's text, read word by word. */
import { PatternError } from "./errors.mjs";
import { matchAt } from "./token_regex.mjs";

const WORDS = {
  blank: /(?:[ \t\r\n\u00a0]+|#[^\n]*)*/y,
  let: /let(?=[ \t\r\n]+[a-z_][a-z0-9_]*[ \t\r\n]*=)/y,
  name: /[a-z_][a-z0-9_]*/y,
  quantifier: /[?*+]|\{[ ]*[0-9]+[ ]*(,[ ]*([0-9]+[ ]*)?)?\}/y,
  look: /\(\?(?:<=|<!|=|!)/y,
  string: /"(\\[^\n]|[^"\\])*"/uy,
  regex: /\/((?:\\[^\n]|[^/\\])*)\/(i?)/uy,
  word: /\p{L}[\p{L}\p{M}'’-]*/uy,
  latent: /[A-Za-z][A-Za-z0-9_.-]*(\/[A-Za-z0-9_.-]+)*\/[0-9]+(?![A-Za-z0-9_./-])/y,
  flag: /[A-Za-z][A-Za-z0-9_]*/y,
  comparison: />=|<=|>|<|=/y,
  is: /!=|=/y,
  number: /[0-9]+(\.[0-9]+)?/y,
  int: /[0-9]+/y,
};

export class Scanner {
  /** @param {string} query */
  constructor(query) {
    this.query = query;
    this.place = 0;
    /** What can be read but not meant: told only if all of the query can be read. @type {PatternError | null} */
    this.refused = null;
  }

  /** What cannot be read stops at once. @returns {never} */
  unreadable() {
    throw new PatternError(unexpected(this.query.slice(this.place)), this.query, this.place);
  }

  /** @param {string} reason @param {number} where */
  refuse(reason, where) {
    this.refused ??= new PatternError(reason, this.query, where);
  }

  /** Goes over what means nothing; whether more follows. */
  skip() {
    this.place += matchAt(WORDS.blank, this.query, this.place)?.[0].length ?? 0;
    return this.place < this.query.length;
  }

  /** The next word if it is of this kind. @param {keyof typeof WORDS} kind */
  take(kind) {
    this.skip();
    const found = matchAt(WORDS[kind], this.query, this.place);
    if (found) this.place += found[0].length;
    return found;
  }

  /** Whether this sign comes next; it is read then. @param {string} text */
  sign(text) {
    this.skip();
    if (!this.query.startsWith(text, this.place)) return false;
    this.place += text.length;
    return true;
  }

  /** The next word, which has to be of this kind. @param {keyof typeof WORDS} kind */
  need(kind) {
    return this.take(kind) ?? this.unreadable();
  }

  /** What has been read, if this sign closes it. @template T @param {T} read @param {string} bracket @returns {T} */
  closed(read, bracket) {
    return this.sign(bracket) ? read : this.unreadable();
  }
}

/** @param {string} rest */
function unexpected(rest) {
  const char = rest[0];
  if (char === undefined) return "the pattern ends too early";
  if (char === '"' && !matchAt(WORDS.string, rest, 0)) return "this quotation mark is never closed";
  if (char === "/" && !matchAt(WORDS.regex, rest, 0)) return "this / is never closed; a slash as text stands in quotes";
  if (char === "=") return "unexpected =; a definition is let name = pattern; with small letters for the name";
  if ("()[]{}|&;?*+@$%!<>^".includes(char)) return `unexpected ${char}`;
  return `unexpected ${[...rest][0]}; text that is no word stands in quotes`;
}
