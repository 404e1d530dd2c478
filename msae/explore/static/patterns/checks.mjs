/** @file What is refused since it could not be matched well: patterns of nothing, of too many endless repetitions, of an @ out of place. */
import { PatternError } from "./errors.mjs";
import { inside } from "./nodes.mjs";

/** @import { Focus, Node } from "./nodes.mjs" */

/** Repetitions without an upper end that one stretch may go through; with three the time grows with the cube of a text's length. */
const MAX_GAPS = 2;

/** @param {Node} node @returns {boolean} */
function canBeEmpty(node) {
  if (node.kind === "edge" || node.kind === "look") return true;
  if (node.kind === "repeat") return node.low === 0 || canBeEmpty(node.item);
  if (node.kind === "either") return node.options.some(canBeEmpty);
  return node.kind === "chain" && node.items.every(canBeEmpty);
}

/** Where the repetitions without an upper end stand that one stretch can go through. @param {Node} node @returns {number[]} */
export function gaps(node) {
  if (node.kind === "repeat") {
    const inner = gaps(node.item);
    return node.high === null ? [...inner, node.at] : Array(Math.min(node.high, MAX_GAPS + 1)).fill(inner).flat();
  }
  if (node.kind === "either") return node.options.map(gaps).reduce((most, each) => (each.length > most.length ? each : most));
  if (node.kind === "focus" && node.run) return [node.at];
  return inside(node).flatMap(gaps);
}

/**
 * Each @ of a tree, and whether it stands where every match goes through.
 *
 * @param {Node} node
 * @param {boolean} [reachable]
 * @returns {Generator<[Focus, boolean]>}
 */
function* focuses(node, reachable = true) {
  if (node.kind === "focus") yield [node, reachable];
  for (const part of inside(node)) yield* focuses(part, reachable && node.kind === "chain");
}

/** @param {Node} tree @param {string} query */
export function check(tree, query) {
  if (canBeEmpty(tree)) throw new PatternError("this pattern can match without any token, so it would mark every place", query, 0);
  const stretching = gaps(tree), found = [...focuses(tree)];
  if (stretching.length > MAX_GAPS) {
    const reason = `more than ${MAX_GAPS} repetitions without an upper end; give one an end, such as {0,8}`;
    throw new PatternError(reason, query, stretching[MAX_GAPS]);
  }
  if (found.length > 1) throw new PatternError("a second @: one place is marked", query, found[1][0].at);
  for (const [focus, reachable] of found)
    if (!reachable) throw new PatternError("@ cannot stand in a choice, a repetition or a lookaround", query, focus.at);
}
