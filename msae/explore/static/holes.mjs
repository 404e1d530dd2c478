/** @file Holes: where a parent fires and its child is silent, and who fires there instead. */
import { lowerBound, shared, without } from "./positions.mjs";

/** @import { Bundle } from "./bundle.mjs" */

/**
 * @typedef {object} Holes on the unbiased sample
 * @property {number} parent
 * @property {number} child
 * @property {Uint32Array} positions the holes
 * @property {number} present how often the parent fires
 * @property {[kind: number, often: number][]} tokens on which they are, the most frequent first
 * @property {{ latent: number, n: number, share: number, sibling: boolean }[]} filled who fires there, the most often first
 * @property {Uint32Array} unexplained holes where no sibling fires
 * @property {boolean} nearest of the latents that are no siblings only the nearest were looked at
 */

const FEW_SHARDS = 17; // that are loaded to look at every latent of an SAE

/** @param {Bundle} bundle @param {number} parent @param {number} child @returns {Promise<Holes>} */
export async function holesOf(bundle, parent, child) {
  const [whole, part] = await Promise.all([bundle.firings(parent), bundle.firings(child)]);
  const present = whole.positions.subarray(0, lowerBound(whole.positions, bundle.sampleEnd));
  const positions = without(present, part.positions);
  const others = bundle.ownChildren(parent).map(([latent]) => latent).filter((latent) => latent !== child);
  const siblings = new Set(others.filter((latent) => bundle.sae(latent) === bundle.sae(child)));
  const filled = [];
  let unexplained = positions;
  const { candidates, nearest } = await candidatesOf(bundle, parent, child, siblings);
  candidates.forEach((latent) => bundle.block(bundle.blockOf(latent))); // all at once, not one after another
  for (const latent of candidates) {
    const other = await bundle.firings(latent);
    const n = shared(positions, other.positions);
    if (n) filled.push({ latent, n, share: n / positions.length, sibling: siblings.has(latent) });
    if (siblings.has(latent)) unexplained = without(unexplained, other.positions);
  }
  filled.sort((a, b) => b.n - a.n);
  return { parent, child, positions, present: present.length, tokens: commonTokens(bundle, positions), filled, unexplained, nearest };
}

/**
 * Latents of the child's SAE that might fill holes: all of them if they lie in few files, else the siblings and the nearest latents.
 *
 * @param {Bundle} bundle
 * @param {number} parent
 * @param {number} child
 * @param {Set<number>} siblings
 */
async function candidatesOf(bundle, parent, child, siblings) {
  /** @param {number} latent */
  const other = (latent) => latent !== child && latent !== parent;
  const sae = bundle.sae(child), all = bundle.latentsOf(sae);
  const few = bundle.blockOf(all[all.length - 1]) - bundle.blockOf(all[0]) < FEW_SHARDS;
  if (few) return { candidates: all.filter(other), nearest: false };
  const known = await Promise.all([bundle.details(parent), bundle.details(child)]);
  const near = known.flatMap((each) => [...(each.cofiring ?? []), ...(each.cosine ?? [])]);
  const mine = near.map(([latent]) => latent).filter((latent) => bundle.sae(latent) === sae && other(latent));
  return { candidates: [...new Set([...siblings, ...mine])], nearest: true };
}

/** @param {Bundle} bundle @param {Uint32Array} positions @returns {[kind: number, often: number][]} */
function commonTokens({ tokens }, positions) {
  /** @type {Map<number, number>} */
  const counts = new Map();
  for (const position of positions) counts.set(tokens[position], (counts.get(tokens[position]) ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1]);
}
