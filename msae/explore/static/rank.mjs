/** @file How well each latent fits a set of tokens, and how many latents of an SAE that set is spread over. On the unbiased sample only. */
import { sameDraws } from "./draws.mjs";
import { lowerBound } from "./positions.mjs";

/** @import { Bundle } from "./bundle.mjs" */
/** @import { Terms } from "./manifest.mjs" */
/** @import { Firings } from "./shards.mjs" */

/**
 * @typedef {object} Row of a latent, at the level with the best F1
 * @property {number} latent
 * @property {number} f1
 * @property {number} precision
 * @property {number} recall
 * @property {number} level share of its maximum above which its firings count
 * @property {number} cosine
 * @property {number | null} precise the lowest level with the least precision of `terms`
 * @property {number} reach the recall there
 *
 * @typedef {object} Ranked
 * @property {number} hits marked positions
 * @property {Row[]} rows
 * @property {Map<string, number>} floor the best F1 of each SAE against the same marks, shifted along the texts: what luck alone reaches
 *
 * @typedef {object} Spread
 * @property {number[]} latents those that are needed
 * @property {number} recall of all of them together
 * @property {boolean} complete false where not even all of them reach the share
 */

const AHEAD = 8; // shards that are asked for before their turn

/**
 * For every latent the level with the best F1 against the marked positions; null if aborted.
 *
 * @param {Bundle} bundle
 * @param {Uint8Array} mask one byte per position
 * @param {(done: number) => void} onProgress
 * @param {{ aborted: boolean }} signal
 * @returns {Promise<Ranked | null>}
 */
export async function rank(bundle, mask, onProgress, signal) {
  const marked = mask.subarray(0, bundle.sampleEnd), elsewhere = shifted(marked);
  const hits = marked.reduce((sum, bit) => sum + bit, 0);
  const levelOf = Uint8Array.from({ length: 256 }, (_, q) => bundle.terms.levels.filter((share) => q > 255 * share).length);
  const rows = [], floor = new Map();
  const end = bundle.id.length, perBlock = bundle.manifest.latents_per_shard || end;
  for (let low = 0; low < end && hits; low += perBlock) {
    for (let next = low; next < Math.min(low + AHEAD * perBlock, end); next += perBlock) bundle.block(bundle.blockOf(next));
    const block = await bundle.block(bundle.blockOf(low));
    if (signal.aborted) return null;
    for (let latent = low; latent < Math.min(low + perBlock, end); latent++) {
      const counts = counted(bundle.decode(block, latent), levelOf, bundle.terms.levels.length, marked, elsewhere);
      const { best, chance } = score(counts, hits, bundle.terms);
      if (best.f1) rows.push({ latent, ...best });
      const sae = bundle.sae(latent);
      if (chance > (floor.get(sae) ?? 0)) floor.set(sae, chance);
    }
    onProgress(Math.min(low + perBlock, end));
  }
  return { hits, rows, floor };
}

/** The same marks, moved along the texts. @param {Uint8Array} marked */
function shifted(marked) {
  const shift = Math.floor(marked.length * 0.381966); // far from any text's own length
  const elsewhere = new Uint8Array(marked.length);
  elsewhere.set(marked.subarray(0, marked.length - shift), shift);
  elsewhere.set(marked.subarray(marked.length - shift));
  return elsewhere;
}

/**
 * How many firings reach each level and no higher one, how many of them are on marks, and how many on the moved marks.
 *
 * @param {Firings} firings
 * @param {Uint8Array} levelOf each strength
 * @param {number} n levels
 * @param {Uint8Array} marked
 * @param {Uint8Array} elsewhere
 */
function counted({ positions, q }, levelOf, n, marked, elsewhere) {
  const fires = new Uint32Array(n + 1), both = new Uint32Array(n + 1), lucky = new Uint32Array(n + 1);
  let dot = 0, squares = 0;
  for (let j = 0; j < positions.length; j++) {
    const position = positions[j];
    if (position >= marked.length) break;
    const level = levelOf[q[j]];
    fires[level]++;
    lucky[level] += elsewhere[position];
    squares += q[j] * q[j];
    if (marked[position]) {
      both[level]++;
      dot += q[j];
    }
  }
  return { fires, both, lucky, dot, squares };
}

/** @param {ReturnType<typeof counted>} counts @param {number} hits @param {Terms} terms */
function score({ fires, both, lucky, dot, squares }, hits, { levels, min_precision: least }) {
  /** @type {Omit<Row, "latent">} */
  const best = { f1: 0, precision: 0, recall: 0, level: 0, cosine: dot / Math.sqrt(squares * hits || 1), precise: null, reach: 0 };
  let chance = 0, above = 0, right = 0, luck = 0;
  for (let k = levels.length; k > 0; k--) {
    above += fires[k];
    right += both[k];
    luck += lucky[k];
    const f1 = (2 * right) / (above + hits), level = levels[k - 1];
    if (f1 >= best.f1 && right) Object.assign(best, { f1, precision: right / above, recall: right / hits, level });
    if (right && right >= least * above) Object.assign(best, { precise: level, reach: right / hits });
    chance = Math.max(chance, (2 * luck) / (above + hits));
  }
  return { best, chance };
}

/**
 * The fragmentation of a pattern in an SAE: how many of its latents, each with the least precision, are needed to catch the share of the
 * marked tokens. Greedy: the latent that adds most comes next. What a latent adds only shrinks as others are taken, so what it added when
 * last looked at is a bound, and few have to be looked at again.
 *
 * @param {Bundle} bundle
 * @param {Uint8Array} mask
 * @param {number} hits
 * @param {Row[]} rows
 * @returns {Promise<Spread>}
 */
export async function fragmentation(bundle, mask, hits, rows) {
  const waiting = rows.flatMap(({ latent, precise, reach }) => {
    return precise === null ? [] : [{ latent, precise, adds: Math.round(reach * hits) }];
  });
  const covered = new Set(), latents = [], wanted = bundle.terms.share * hits;
  /** @param {{ latent: number, precise: number }} each */
  const missing = async ({ latent, precise }) => {
    const { positions, q } = await bundle.firings(latent);
    const sampled = positions.subarray(0, lowerBound(positions, bundle.sampleEnd));
    return sampled.filter((position, j) => mask[position] && q[j] > 255 * precise && !covered.has(position));
  };
  while (covered.size < wanted) {
    let best = null, found = new Uint32Array();
    waiting.sort((a, b) => b.adds - a.adds || a.latent - b.latent);
    for (const each of waiting) {
      if (!each.adds || (best && each.adds < best.adds)) break;
      const fresh = await missing(each);
      each.adds = fresh.length;
      if (!each.adds) continue;
      if (!best || each.adds > best.adds || (each.adds === best.adds && each.latent < best.latent)) [best, found] = [each, fresh];
    }
    if (!best) break;
    found.forEach((position) => covered.add(position));
    latents.push(best.latent);
    waiting.splice(waiting.indexOf(best), 1);
  }
  return { latents, recall: hits ? covered.size / hits : 0, complete: hits > 0 && covered.size >= wanted };
}

/**
 * An interval of F1 for some rows, by drawing whole texts with replacement. Firings within a text are not independent.
 *
 * @param {Bundle} bundle
 * @param {Uint8Array} mask
 * @param {Row[]} rows
 * @param {number} [draws]
 */
export async function f1Intervals(bundle, mask, rows, draws = 200) {
  const nTexts = bundle.manifest.n_sample;
  const marked = new Uint32Array(nTexts);
  for (let position = 0; position < bundle.sampleEnd; position++) if (mask[position]) marked[bundle.textOf(position)]++;
  const counts = await Promise.all(rows.map((row) => textByText(bundle, mask, row)));
  const values = rows.map(() => new Float64Array(draws));
  const draw = sameDraws();
  for (let k = 0; k < draws; k++) {
    const above = new Float64Array(rows.length), right = new Float64Array(rows.length);
    let present = 0;
    for (let i = 0; i < nTexts; i++) {
      const text = draw(nTexts);
      present += marked[text];
      counts.forEach(({ fires, both }, row) => {
        above[row] += fires[text];
        right[row] += both[text];
      });
    }
    values.forEach((drawn, row) => (drawn[k] = (2 * right[row]) / (above[row] + present || 1)));
  }
  const left = Math.round((draws * (1 - bundle.terms.confidence)) / 2);
  return values.map((drawn) => {
    drawn.sort();
    return { low: drawn[left], high: drawn[draws - 1 - left] };
  });
}

/** How often a latent fires in each text, and how often on marks. @param {Bundle} bundle @param {Uint8Array} mask @param {Row} row */
async function textByText(bundle, mask, { latent, level }) {
  const { positions, q } = await bundle.firings(latent), nTexts = bundle.manifest.n_sample;
  const fires = new Uint32Array(nTexts), both = new Uint32Array(nTexts);
  for (let j = 0; j < positions.length && positions[j] < bundle.sampleEnd; j++) {
    if (q[j] <= 255 * level) continue;
    const text = bundle.textOf(positions[j]);
    fires[text]++;
    both[text] += mask[positions[j]];
  }
  return { fires, both };
}
