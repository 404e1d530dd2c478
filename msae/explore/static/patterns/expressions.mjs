/** @file A tree as a regular expression of characters: each character stands for the tokens that pass the same tests. */
import { inside } from "./nodes.mjs";

/** @import { Chain, Condition, Focus, Node } from "./nodes.mjs" */

/** Any token, as a class of characters. */
const ANY = "[^\\x00]";

/** Matches the runs of marked tokens. @param {Node} tree @param {(condition: Condition) => string} characters */
export function expression(tree, characters) {
  /** @param {Node} node @returns {string} */
  const write = (node) => {
    if (node.kind === "one") return characters(node.condition);
    if (node.kind === "edge") return node.end ? "(?=\\x00)" : "(?<=\\x00)";
    if (node.kind === "chain") return node.items.map(write).join("");
    if (node.kind === "either") return `(?:${node.options.map(write).join("|")})`;
    if (node.kind === "look") return `${node.opening}${write(node.item)})`;
    if (node.kind === "repeat") return `(?:${write(node.item)}){${node.low},${node.high ?? ""}}`;
    throw new TypeError(`${node.kind} has no expression of its own`); // literals are placed, and the focus is split off
  };
  const parts = split(tree);
  if (!parts) return new RegExp(`(?:${ANY}(?<=${write(tree)}))+`, "g");
  const [before, focus, behind] = parts, token = write(focus.item), more = focus.run ? `${token}*` : "";
  return new RegExp(`(?:(?<=${write(before)}${more})(?=${token}${more}${write(behind)})${ANY})+`, "g");
}

/** The characters of the signatures that pass. @param {boolean[]} passing */
export function characterClass(passing) {
  const written = passing.map((pass, code) => (pass ? "\\u" + (code + 1).toString(16).padStart(4, "0") : "")).join("");
  return passing.every(Boolean) ? ANY : written ? `[${written}]` : "(?!)";
}

/** What is before the focus, the focus, what is behind it; null without one. @param {Node} node @returns {[Chain, Focus, Chain] | null} */
function split(node) {
  if (node.kind === "focus") return [chain(), node, chain()];
  for (const [k, item] of node.kind === "chain" ? node.items.entries() : []) {
    const found = split(item);
    if (found) return [chain(...inside(node).slice(0, k), found[0]), found[1], chain(found[2], ...inside(node).slice(k + 1))];
  }
  return null;
}

/** @param {...Node} items @returns {Chain} */
const chain = (...items) => ({ kind: "chain", items });
