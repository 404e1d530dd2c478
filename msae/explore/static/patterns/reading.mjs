/** @file From the text of a pattern to a tree of nodes: the language of msae/patterns/grammar.lark, read by hand. */
import { check, gaps } from "./checks.mjs";
import { PatternError } from "./errors.mjs";
import { TRUE, asCondition, one, plainId, test, testsOf } from "./nodes.mjs";
import { Scanner } from "./scanner.mjs";
import { ESCAPES, NotARegex, translate } from "./token_regex.mjs";

/** @import { Comparison, Condition, Node } from "./nodes.mjs" */

const MAX_COUNT = 1000;

/** Tests that ask for the place of a token. @type {readonly ("quoted" | "seen" | "first")[]} */
const PLACE_FLAGS = ["quoted", "seen", "first"];

/** @type {Record<string, string>} */
const FLAGS = {
  space: String.raw` .*`,
  cap: String.raw`\s*\p{Lu}.*`,
  upper: String.raw`\s*\p{Lu}[\p{Lu}\p{M}]*\s*`,
  alpha: String.raw`\s*\p{L}[\p{L}\p{M}]*\s*`,
  digit: String.raw`\s*\d+\s*`,
  punct: String.raw`\s*[^\p{L}\p{M}\p{N}\s][^\p{L}\p{N}]*`,
  newline: String.raw`.*\n.*`,
};

/** The tree of a pattern, definitions put where they are used. Throws PatternError. @param {string} query */
export function parse(query) {
  try {
    const tree = new Reader(query).whole();
    check(tree, query);
    return tree;
  } catch (error) {
    if (error instanceof RangeError) throw new PatternError("this pattern is nested too deeply", query, 0);
    throw error;
  }
}

/** The ids of the latents that a pattern asks about. @param {string} query */
export function latentsIn(query) {
  return [...new Set([...testsOf(parse(query))].flatMap((each) => (each.name === "latent" ? [plainId(each.args[0])] : [])))];
}

/** Each method reads one rule of the grammar, named as there. */
class Reader extends Scanner {
  /** @type {Map<string, Node>} */
  definitions = new Map();

  whole() {
    while (this.take("let")) this.definition();
    const tree = this.pattern();
    if (this.skip()) this.unreadable();
    if (this.refused) throw this.refused;
    return tree;
  }

  definition() {
    const found = this.need("name"), name = found[0];
    if (!this.sign("=")) this.unreadable();
    const node = this.closed(this.pattern(), ";");
    if (this.definitions.has(name)) this.refuse(`$${name} is defined twice`, found.index);
    this.definitions.set(name, node);
  }

  /** @returns {Node} */
  pattern() {
    const options = [this.sequence()];
    while (this.sign("|")) options.push(this.sequence());
    return options.length === 1 ? options[0] : { kind: "either", options };
  }

  /** @returns {Node} */
  sequence() {
    const items = [this.item()];
    while (this.skip() && !"|);".includes(this.query[this.place])) items.push(this.item());
    return items.length === 1 ? items[0] : { kind: "chain", items };
  }

  /** @returns {Node} */
  item() {
    if (!this.sign("@")) return this.repeated();
    const at = this.place - 1, node = this.repeated(), run = node.kind === "repeat", item = run ? node.item : node;
    if (!asCondition(item) || (run && (node.low > 1 || node.high !== null)))
      this.refuse("@ marks one token, or a run of them with + or *; this is something else", at);
    return { kind: "focus", item, run, at };
  }

  /** @returns {Node} */
  repeated() {
    const item = this.atom(), found = this.take("quantifier");
    if (!found) return item;
    const text = found[0], at = found.index, { low, high } = quantity(text);
    if (high !== null && high < low) this.refuse(`${text} asks for at least ${low} and at most ${high}`, at);
    else if (Math.max(low, high ?? 0) > MAX_COUNT) this.refuse(`${text} counts beyond ${MAX_COUNT}`, at);
    else if (high === 0) this.refuse(`${text} repeats nothing`, at);
    else if (high === null && gaps(item).length)
      this.refuse("a repetition without an end inside another; give one of them an upper end, such as {0,8}", at);
    return { kind: "repeat", item, low, high, at };
  }

  /** @returns {Node} */
  atom() {
    const look = this.take("look");
    if (look) return { kind: "look", opening: look[0], item: this.closed(this.pattern(), ")") };
    if (this.sign("(")) return this.closed(this.pattern(), ")");
    if (this.sign("[")) return this.sign("]") ? one(TRUE) : one(this.closed(this.condition(), "]"));
    if (this.sign(".")) return one(TRUE);
    if (this.sign("^")) return { kind: "edge", end: false };
    if (this.sign("\\z")) return { kind: "edge", end: true };
    if (this.sign("$")) return this.reference().node;
    const string = this.take("string");
    if (string) {
      const text = this.unquoted(string);
      if (!text) this.refuse('"" is no text', string.index);
      return { kind: "literal", text, at: string.index };
    }
    const regex = this.take("regex");
    if (regex) return one(this.regexCondition(regex));
    const word = this.need("word"), body = word[0].replace(/['’-]/g, "\\$&");
    return one(test({ name: "regex", args: [translate(`\\s*${body}\\s*`, true), true] }, word.index));
  }

  reference() {
    const found = this.need("name"), name = found[0], where = found.index - 1, node = this.definitions.get(name);
    if (!node) {
      const known = [...this.definitions.keys()].map((each) => "$" + each).join(", ") || "none";
      this.refuse(`$${name} is not defined before this place; defined are: ${known}`, where);
    }
    return { node: node ?? one(TRUE), name, where };
  }

  /** @returns {Condition} */
  condition() {
    const parts = [this.conjunction()];
    while (this.sign("|")) parts.push(this.conjunction());
    return parts.length === 1 ? parts[0] : { kind: "any", parts };
  }

  /** @returns {Condition} */
  conjunction() {
    const parts = [this.negation()];
    while (this.sign("&")) parts.push(this.negation());
    return parts.length === 1 ? parts[0] : { kind: "all", parts };
  }

  /** @returns {Condition} */
  negation() {
    if (this.sign("!")) return { kind: "not", part: this.negation() };
    return this.sign("(") ? this.closed(this.condition(), ")") : this.basic();
  }

  /** @returns {Condition} */
  basic() {
    const latent = this.take("latent");
    if (latent) return this.latent(latent);
    if (this.sign("$")) {
      const { node, name, where } = this.reference(), condition = asCondition(node);
      if (!condition) this.refuse(`$${name} is more than a choice of single tokens, so it cannot stand between [ and ]`, where);
      return condition ?? TRUE;
    }
    const flag = this.take("flag");
    return flag ? this.flag(flag) : this.text();
  }

  /** @param {RegExpExecArray} found */
  latent(found) {
    const comparison = /** @type {Comparison | undefined} */ (this.take("comparison")?.[0]);
    if (!comparison) return test({ name: "latent", args: [found[0], ">", 0, false] }, found.index);
    const number = +this.need("number")[0];
    return test({ name: "latent", args: [found[0], comparison, number, this.sign("%")] }, found.index);
  }

  /** @param {RegExpExecArray} found @returns {Condition} */
  flag(found) {
    const name = found[0];
    if (name === "text" || name === "id") {
      const negated = this.need("is")[0] === "!=", asked = name === "text" ? this.text() : this.id();
      return negated ? { kind: "not", part: asked } : asked;
    }
    if (name === "pos") {
      const comparison = /** @type {Comparison} */ (this.need("comparison")[0]), number = this.need("int");
      return test({ name: "pos", args: [comparison, +number[0]] }, number.index);
    }
    if (Object.hasOwn(FLAGS, name)) return test({ name: "regex", args: [translate(FLAGS[name], false), false] }, found.index);
    const place = PLACE_FLAGS.find((each) => each === name);
    if (place) return test({ name: place, args: [] }, found.index);
    const known = [...Object.keys(FLAGS), ...PLACE_FLAGS].join(", ");
    this.refuse(`there is no test ${name}; there are ${known}; a text stands in quotes: "${name}"`, found.index);
    return TRUE;
  }

  id() {
    const number = this.need("int");
    return test({ name: "id", args: [+number[0]] }, number.index);
  }

  /** @returns {Condition} */
  text() {
    const string = this.take("string");
    if (string) return test({ name: "text", args: [this.unquoted(string)] }, string.index);
    const regex = this.take("regex");
    return regex ? this.regexCondition(regex) : this.unreadable();
  }

  /** @param {RegExpExecArray} found @returns {Condition} */
  regexCondition(found) {
    const body = found[1], ignoreCase = found[2] === "i";
    try {
      const translated = translate(body, ignoreCase);
      new RegExp(translated, "su");
      return test({ name: "regex", args: [translated, ignoreCase] }, found.index);
    } catch (error) {
      if (error instanceof NotARegex) this.refuse(error.message, found.index + 1 + error.at);
      else this.refuse("this is no regular expression", found.index);
      return TRUE;
    }
  }

  /** @param {RegExpExecArray} found */
  unquoted(found) {
    return found[0].slice(1, -1).replace(/\\(.)/gsu, (escape, char, offset) => {
      const reason = `${escape} means nothing in a text; there are \\" \\\\ \\n \\r \\t`;
      if (!'nrt"\\'.includes(char)) this.refuse(reason, found.index + 1 + offset);
      return ESCAPES[char] ?? char;
    });
  }
}

/** How often, of ?, *, + or {…}. @param {string} text @returns {{ low: number, high: number | null }} */
function quantity(text) {
  if (text[0] !== "{") return { low: text === "+" ? 1 : 0, high: text === "?" ? 1 : null };
  const [first, last] = text.slice(1, -1).split(",");
  const low = +first;
  return { low, high: last === undefined ? low : last.trim() ? +last : null };
}
