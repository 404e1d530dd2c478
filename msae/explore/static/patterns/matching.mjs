/** @file Matching in the browser, by its own RegExp: each token becomes one character. msae/patterns/matching.py says how. */
import { PatternError } from "./errors.mjs";
import { characterClass, expression } from "./expressions.mjs";
import { FALSE, TRUE, asCondition, inside, one, test, testsOf } from "./nodes.mjs";
import { parse } from "./reading.mjs";
import { passes, signaturesOf } from "./signatures.mjs";

/** @import { Corpus } from "./corpus.mjs" */
/** @import { Condition, Node, Test } from "./nodes.mjs" */
/** @import { Latents } from "./signatures.mjs" */
/** @import { Ascending } from "../positions.mjs" */

/**
 * The tokens that a pattern marks, as 0 and 1. Throws PatternError.
 *
 * @param {string} query
 * @param {Corpus} given
 * @param {Latents} latents those of latentsIn(query); positions are places in the tokens given
 * @param {number} maxTests different tests that a pattern may have, at most 31: a token's answers are the bits of one number
 */
export function match(query, given, latents, maxTests) {
  const asked = parse(query), texts = asksForText(asked) ? given : given.every;
  const tree = placed(asked, texts, query);
  /** @type {Map<string, Test>} */
  const byKey = new Map();
  for (const each of testsOf(tree)) if (!byKey.has(each.key)) byKey.set(each.key, each);
  const tests = [...byKey.values()];
  if (tests.length > maxTests) {
    const reason = `more than ${maxTests} different tests; one /regular expression/ can stand for many`;
    throw new PatternError(reason, query, tests[maxTests].at);
  }
  const { signatures, code } = signaturesOf(tests, texts, latents, query);
  const number = new Map(tests.map((each, k) => [each.key, k]));
  /** @param {Condition} condition */
  const passing = (condition) => signatures.map((signature) => passes(condition, signature, number));
  return spread(marks(tree, passing, code, texts), texts);
}

/** Whether a pattern asks for more than what is known of each token by itself: which latents fire on it, and its id. @param {Node} tree */
function asksForText(tree) {
  const condition = asCondition(tree);
  return !condition || [...testsOf(condition)].some(({ name }) => name !== "latent" && name !== "id");
}

/**
 * The tree with each literal replaced by the stretches of tokens that have its text here.
 *
 * @param {Node} node
 * @param {Corpus} texts
 * @param {string} query
 * @returns {Node}
 */
function placed(node, texts, query) {
  if (node.kind === "literal") {
    const options = [...texts.occurrences(node.text).keys()].sort((a, b) => a - b).map((n) => stretch(node.text, n, node.at));
    return options.length ? { kind: "either", options } : one(FALSE);
  }
  if (node.kind === "focus") {
    for (const part of [node.item, ...inside(node.item)]) {
      if (part.kind !== "literal") continue;
      const found = texts.occurrences(part.text);
      if (found.size && Math.min(...found.keys()) > 1)
        throw new PatternError("@ marks one token, and here this text is always more", query, part.at);
    }
    return { ...node, item: one(asCondition(node.item) ?? FALSE) };
  }
  if (node.kind === "chain") return { ...node, items: node.items.map((item) => placed(item, texts, query)) };
  if (node.kind === "either") return { ...node, options: node.options.map((option) => placed(option, texts, query)) };
  return node.kind === "repeat" || node.kind === "look" ? { ...node, item: placed(node.item, texts, query) } : node;
}

/** n tokens that have this text together. @param {string} text @param {number} n @param {number} at @returns {Node} */
function stretch(text, n, at) {
  const begin = one(test({ name: "literal", args: [text, n] }, at));
  return n === 1 ? begin : { kind: "chain", items: [begin, { kind: "repeat", item: one(TRUE), low: n - 1, high: n - 1, at }] };
}

/**
 * @param {Node} tree
 * @param {(condition: Condition) => boolean[]} passing which signatures pass
 * @param {Uint32Array} code of each token, its signature
 * @param {Corpus} texts
 */
function marks(tree, passing, code, texts) {
  const marked = new Uint8Array(texts.n), single = asCondition(tree);
  if (single) { // a single token needs no search
    const pass = passing(single);
    for (let p = 0; p < texts.n; p++) marked[p] = +pass[code[p]];
    return marked;
  }
  const { text, placeOf } = encoded(code, texts.start);
  for (const run of text.matchAll(expression(tree, (condition) => characterClass(passing(condition)))))
    for (let c = run.index; c < run.index + run[0].length; c++) marked[placeOf[c]] = 1;
  return marked;
}

/** Marks on all tokens, of those on tokens whose letters are whole. @param {Uint8Array} marked @param {Corpus} texts */
function spread(marked, { where, every }) {
  if (!where) return marked;
  const out = new Uint8Array(every.n);
  for (let k = 0; k < marked.length; k++) out[where[k]] = marked[k];
  return out;
}

/**
 * The texts as characters: a token is its code and 1, the separator before, between and behind texts is 0.
 *
 * @param {Uint32Array} code
 * @param {Ascending} start
 */
function encoded(code, start) {
  const units = new Uint16Array(code.length + start.length), placeOf = new Uint32Array(units.length);
  let at = 0;
  for (let t = 0; t + 1 < start.length; t++) {
    at++;
    for (let p = start[t]; p < start[t + 1]; p++, at++) {
      units[at] = code[p] + 1;
      placeOf[at] = p;
    }
  }
  return { text: new TextDecoder("utf-16le").decode(units), placeOf };
}

