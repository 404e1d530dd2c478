/** @file Random numbers that are the same at every visit. */

/**
 * A linear congruential generator: each call draws a whole number below `n`.
 *
 * Source: Press et al., Numerical Recipes, 2nd edition, section 7.1.
 *
 * @returns {(n: number) => number}
 */
export function sameDraws() {
  let seed = 1;
  return (n) => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return Math.floor((seed / 2 ** 32) * n);
  };
}
