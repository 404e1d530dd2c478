// Which tokens a pattern marks, asked of a worker: a pattern that takes too long is stopped, and the page stays alive.
// `patternsModule` is patterns.mjs as a function; _html.py puts it here.

export const { MAX_TESTS, latentsIn, matcher } = patternsModule();
const SECONDS = 5;
const searches = new Map(); // one worker per bundle

export function closeMatcher(bundle) {
  searches.get(bundle)?.close();
  searches.delete(bundle);
}

// Returns one byte per position of the bundle, 1 where the pattern matches. Throws an Error whose message is for the reader.
export async function matchPattern(bundle, query) {
  if (!searches.has(bundle)) {
    const source = `const { answer } = (${patternsModule})();`;
    const { tokens, starts: start, vocab, manifest: { vocab_ids: ids, vocab_parts: parts } } = bundle;
    searches.set(bundle, matcher(source, { tokens, start, vocab, ids, parts }, SECONDS));
  }
  const known = latentsIn(query).filter((id) => bundle.index.has(id)); // of an unknown one the matcher tells the place
  const latents = await Promise.all(known.map(async (id) => {
    const latent = bundle.index.get(id);
    const { positions, q } = await bundle.firings(latent);
    return [id, { positions, values: Float64Array.from(q, (strength) => bundle.activation(latent, strength)), max: bundle.max[latent] }];
  }));
  searches.get(bundle).drop(); // the last pattern asked for is the one that is shown
  return searches.get(bundle).match(query, Object.fromEntries(latents));
}
