/** @file The tree of a pattern: what its nodes are, and what can be asked about it. */

/**
 * A place in the query counts UTF-16 units from its start.
 *
 * @typedef {">" | ">=" | "<" | "<=" | "="} Comparison
 * @typedef {{ name: "latent", args: [string, Comparison, number, boolean] } | { name: "id", args: [number] }
 *   | { name: "text", args: [string] } | { name: "regex", args: [string, boolean] } | { name: "pos", args: [Comparison, number] }
 *   | { name: "literal", args: [string, number] } | { name: "quoted" | "seen" | "first", args: [] }} Question
 * @typedef {Question & { kind: "test", key: string, at: number }} Test one question to a token; equal keys, equal answers
 * @typedef {Test | { kind: "not", part: Condition } | { kind: "all" | "any", parts: Condition[] }} Condition
 * @typedef {{ kind: "one", condition: Condition }} One
 * @typedef {{ kind: "literal", text: string, at: number }} Literal
 * @typedef {{ kind: "chain", items: Node[] }} Chain
 * @typedef {{ kind: "focus", item: Node, run: boolean, at: number }} Focus
 * @typedef {One | Literal | Chain | Focus | { kind: "edge", end: boolean } | { kind: "either", options: Node[] }
 *   | { kind: "repeat", item: Node, low: number, high: number | null, at: number }
 *   | { kind: "look", opening: string, item: Node }} Node
 */

/** @type {Condition} */
export const TRUE = { kind: "all", parts: [] };

/** @type {Condition} */
export const FALSE = { kind: "any", parts: [] };

/** @param {Condition} condition @returns {One} */
export const one = (condition) => ({ kind: "one", condition });

/** @param {Question} question @param {number} at @returns {Test} */
export const test = (question, at) => ({ kind: "test", ...question, key: JSON.stringify([question.name, ...question.args]), at });

/** @param {Node} node @returns {Node[]} */
export function inside(node) {
  if (node.kind === "chain") return node.items;
  if (node.kind === "either") return node.options;
  return node.kind === "repeat" || node.kind === "look" || node.kind === "focus" ? [node.item] : [];
}

/** The tests of a node or a condition, as they are written. @param {Node | Condition} part @returns {Generator<Test>} */
export function* testsOf(part) {
  if (part.kind === "test") yield part;
  else if (part.kind === "not") yield* testsOf(part.part);
  else for (const each of part.kind === "one" ? [part.condition] : "parts" in part ? part.parts : inside(part)) yield* testsOf(each);
}

/** A node as a condition on one token, or null. @param {Node} node @returns {Condition | null} */
export function asCondition(node) {
  if (node.kind === "one") return node.condition;
  if (node.kind === "literal") return test({ name: "text", args: [node.text] }, node.at);
  if (node.kind !== "either") return null;
  const parts = node.options.map(asCondition).filter((part) => part !== null);
  return parts.length === node.options.length ? { kind: "any", parts } : null;
}

/** "S/7" of "S/007". @param {string} latent */
export const plainId = (latent) => latent.replace(/\/0+(?=[0-9]+$)/, "/");
