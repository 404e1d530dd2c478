/** @file Ascending positions, such as where a latent fires. */

/** @typedef {ArrayLike<number>} Ascending */

/**
 * The first place in an ascending array whose value is not below `least`.
 *
 * @param {Ascending} ascending
 * @param {number} least
 */
export function lowerBound(ascending, least) {
  let low = 0, high = ascending.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (ascending[middle] < least) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The first place whose value is above `x`, a whole number. @param {Ascending} ascending @param {number} x */
export const upperBound = (ascending, x) => lowerBound(ascending, x + 1);

/** The positions of a that are not in b. @param {Uint32Array} a @param {Uint32Array} b */
export function without(a, b) {
  const out = new Uint32Array(a.length);
  let n = 0, j = 0;
  for (const position of a) {
    while (j < b.length && b[j] < position) j++;
    if (b[j] !== position) out[n++] = position;
  }
  return out.subarray(0, n);
}

/** How many positions a and b share. @param {Uint32Array} a @param {Uint32Array} b */
export const shared = (a, b) => a.length - without(a, b).length;
