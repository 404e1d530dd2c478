// How well each latent fits a set of tokens, and how many latents of an SAE that set is spread over. On the unbiased sample only.
import { lowerBound } from "./bundle.mjs";

export const THRESHOLDS = [0, 0.1, 0.25, 0.5, 0.75]; // shares of a latent's maximum; a firing counts above one of them
const LEVEL = Uint8Array.from({ length: 256 }, (_, q) => THRESHOLDS.filter((share) => q > 255 * share).length);
const PRECISE = 0.8, COVERED = 0.9;
const AHEAD = 8; // shards that are asked for before their turn

// For every latent the threshold with the best F1 against the marked positions.
// mask: one byte per position. Returns { hits, rows: [{ latent, f1, precision, recall, threshold, cosine, precise, reach }], floor }, where
// `precise` is the lowest threshold with a precision of at least 0.8 and `reach` the recall there, and `floor` says for each SAE the best
// F1 of any latent against the same mask, shifted along the texts: what luck alone reaches.
export async function rank(bundle, mask, onProgress = () => {}, signal = {}) {
  const end = bundle.sampleEnd;
  const marked = mask.subarray(0, end);
  const hits = marked.reduce((sum, bit) => sum + bit, 0);
  const shift = Math.floor(end * 0.381966); // far from any text's own length
  const elsewhere = new Uint8Array(end);
  elsewhere.set(marked.subarray(0, end - shift), shift);
  elsewhere.set(marked.subarray(end - shift));
  const rows = [], floor = new Map();
  const perBlock = bundle.manifest.latents_per_shard || bundle.id.length;
  for (let low = 0; low < bundle.id.length && hits; low += perBlock) {
    for (let next = low; next < Math.min(low + AHEAD * perBlock, bundle.id.length); next += perBlock) bundle.block(bundle.blockOf(next));
    const block = await bundle.block(bundle.blockOf(low));
    if (signal.aborted) return null;
    for (let latent = low; latent < Math.min(low + perBlock, bundle.id.length); latent++) {
      const { positions, q } = bundle.decode(block, latent);
      const { best, chance } = score(positions, q, marked, elsewhere, hits);
      if (best.f1) rows.push({ latent, ...best });
      const sae = bundle.sae(latent);
      if (chance > (floor.get(sae) ?? 0)) floor.set(sae, chance);
    }
    onProgress(Math.min(low + perBlock, bundle.id.length));
  }
  return { hits, rows, floor };
}

function score(positions, q, marked, elsewhere, hits) {
  const n = THRESHOLDS.length;
  const fires = new Uint32Array(n + 1), both = new Uint32Array(n + 1), lucky = new Uint32Array(n + 1);
  let dot = 0, squares = 0;
  for (let j = 0; j < positions.length; j++) {
    const position = positions[j];
    if (position >= marked.length) break;
    const level = LEVEL[q[j]];
    fires[level]++;
    lucky[level] += elsewhere[position];
    squares += q[j] * q[j];
    if (marked[position]) {
      both[level]++;
      dot += q[j];
    }
  }
  const best = { f1: 0, precision: 0, recall: 0, threshold: 0, cosine: dot / Math.sqrt(squares * hits || 1), precise: null, reach: 0 };
  let chance = 0, above = 0, right = 0, luck = 0;
  for (let level = n; level > 0; level--) {
    above += fires[level];
    right += both[level];
    luck += lucky[level];
    const f1 = (2 * right) / (above + hits);
    if (f1 >= best.f1 && right) Object.assign(best, { f1, precision: right / above, recall: right / hits, threshold: THRESHOLDS[level - 1] });
    if (right && right >= PRECISE * above) Object.assign(best, { precise: THRESHOLDS[level - 1], reach: right / hits });
    chance = Math.max(chance, (2 * luck) / (above + hits));
  }
  return { best, chance };
}

// The strict fragmentation of a pattern in an SAE: how many of its latents, each with a precision of at least 0.8 from a level of its own,
// are needed to catch 90 % of the marked tokens (that of the book's tables asks for 0.5 at one level). Greedy: the latent that adds most comes next. What a latent adds only shrinks as others are taken, so what it added
// when last looked at is a bound, and few have to be looked at again.
// Returns { latents, recall, complete }; where not even all of them reach 90 %, `complete` is false.
export async function fragmentation(bundle, mask, hits, rows) {
  const waiting = rows.filter((row) => row.precise !== null).map(({ latent, precise, reach }) => ({ latent, precise, adds: Math.round(reach * hits) }));
  const covered = new Set();
  const latents = [];
  const missing = async ({ latent, precise }) => {
    const { positions, q } = await bundle.firings(latent);
    return positions.subarray(0, lowerBound(positions, bundle.sampleEnd)).filter((position, j) => mask[position] && q[j] > 255 * precise && !covered.has(position));
  };
  while (covered.size < COVERED * hits) {
    let best = null, found;
    waiting.sort((a, b) => b.adds - a.adds || a.latent - b.latent);
    for (const each of waiting) {
      if (!each.adds || each.adds < best?.adds) break;
      const fresh = await missing(each);
      each.adds = fresh.length;
      if (each.adds > (best?.adds ?? 0) || (each.adds && each.adds === best?.adds && each.latent < best.latent)) [best, found] = [each, fresh];
    }
    if (!best) break;
    found.forEach((position) => covered.add(position));
    latents.push(best.latent);
    waiting.splice(waiting.indexOf(best), 1);
  }
  return { latents, recall: hits ? covered.size / hits : 0, complete: hits > 0 && covered.size >= COVERED * hits };
}

// A 90 % interval of F1 for some rows, by drawing whole texts with replacement. Firings within a text are not independent.
export async function f1Intervals(bundle, mask, rows, draws = 200) {
  const nTexts = bundle.manifest.n_sample;
  const textOf = (position) => bundle.textOf(position);
  const marked = new Uint32Array(nTexts);
  for (let position = 0; position < bundle.sampleEnd; position++) if (mask[position]) marked[textOf(position)]++;
  const counts = await Promise.all(rows.map(async ({ latent, threshold }) => {
    const { positions, q } = await bundle.firings(latent);
    const fires = new Uint32Array(nTexts), both = new Uint32Array(nTexts);
    for (let j = 0; j < positions.length && positions[j] < bundle.sampleEnd; j++) {
      if (q[j] <= 255 * threshold) continue;
      const text = textOf(positions[j]);
      fires[text]++;
      both[text] += mask[positions[j]];
    }
    return { fires, both };
  }));
  const values = rows.map(() => new Float64Array(draws));
  let seed = 1;
  for (let draw = 0; draw < draws; draw++) {
    const total = rows.map(() => [0, 0]);
    let present = 0;
    for (let k = 0; k < nTexts; k++) {
      seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
      const text = Math.floor((seed / 2 ** 32) * nTexts);
      present += marked[text];
      counts.forEach(({ fires, both }, row) => {
        total[row][0] += fires[text];
        total[row][1] += both[text];
      });
    }
    total.forEach(([above, right], row) => (values[row][draw] = (2 * right) / (above + present || 1)));
  }
  return values.map((each) => [each.sort()[Math.floor(0.05 * draws)], each[Math.ceil(0.95 * draws) - 1]]);
}
