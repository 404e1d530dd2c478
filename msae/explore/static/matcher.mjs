/** @file Which tokens a pattern marks, asked of a worker: a pattern that takes too long is stopped, and the page stays alive. */

/** @import { Bundle } from "./bundle.mjs" */
/** @import { Answered } from "./patterns/answer.mjs" */
/** @import { Texts } from "./patterns/corpus.mjs" */
/** @import { Latents } from "./patterns/signatures.mjs" */

/**
 * @typedef {object} Waiting
 * @property {(found: any) => void} resolve
 * @property {(error: Error) => void} reject
 * @property {ReturnType<typeof setTimeout>} [timer]
 */

const SECONDS = 5;
const SUPERSEDED = "another pattern was asked for";

/**
 * The search for patterns in a bundle. `marked` says for each position whether the pattern matches, as 0 and 1; it throws an Error whose
 * message is for the reader. The last pattern asked for is the one that is answered.
 *
 * @param {Bundle} bundle
 * @param {string} source of the worker
 */
export function patternSearch(bundle, source) {
  const { tokens, starts: start, vocab, manifest: { vocab_ids: ids, vocab_parts: parts } } = bundle;
  const asking = matcher(source, { tokens, start, vocab, ids, parts }, bundle.terms.max_tests, SECONDS);
  let last = 0;

  /** @param {string} query */
  async function marked(query) {
    const mine = ++last;
    asking.drop();
    /** @type {Latents} */
    const latents = {};
    await Promise.all((await asking.latentsIn(query)).map(async (id) => {
      const latent = bundle.index.get(id);
      if (latent === undefined) return; // the matcher tells its place
      const { positions, q } = await bundle.firings(latent);
      latents[id] = { positions, values: Float64Array.from(q, (strength) => bundle.activation(latent, strength)), max: bundle.max[latent] };
    }));
    if (mine !== last) throw new Error(SUPERSEDED);
    return asking.match(query, latents);
  }

  return { marked, close: asking.close };
}

/**
 * A matcher in a worker of its own. A question that takes longer than `seconds` is ended with an error; the next one gets a new worker.
 *
 * @param {string} source the text of patterns/answer.mjs and all that it imports, as a script that begins to answer
 * @param {Texts} texts
 * @param {number} maxTests
 * @param {number} seconds
 */
export function matcher(source, texts, maxTests, seconds) {
  const address = URL.createObjectURL(new Blob([source], { type: "text/javascript" })); // under file: no worker may be a module
  /** @type {Map<number, Waiting>} */
  const waiting = new Map();
  /** @type {Worker | null} */
  let worker = null;
  let asked = 0;

  function begin() {
    const begun = new Worker(address);
    begun.postMessage({ texts, maxTests });
    begun.onmessage = ({ data }) => hear(data);
    begun.onerror = (event) => end(event.message || "the worker could not start");
    return begun;
  }

  /** @param {Answered} answered */
  function hear({ id, begun, found, error }) {
    const question = waiting.get(id);
    if (!question) return;
    if (begun) { // the clock is for the matching: on a busy machine the worker may take as long to start
      question.timer = setTimeout(stop, seconds * 1000);
      return;
    }
    waiting.delete(id);
    clearTimeout(question.timer);
    if (error) question.reject(Object.assign(new Error(error.message), error));
    else question.resolve(found);
  }

  /** @param {string} reason */
  function end(reason) {
    worker?.terminate();
    worker = null;
    for (const { reject, timer } of waiting.values()) {
      clearTimeout(timer);
      reject(new Error(reason));
    }
    waiting.clear();
  }

  function stop() {
    const advice = "give its repetitions an upper end, such as {0,8} for *, or split it into two patterns";
    end(`stopped after ${seconds} s: this pattern can match in too many ways; ${advice}`);
  }

  /** @param {string} query @param {Latents} [latents] @returns {Promise<any>} */
  function ask(query, latents) {
    worker ??= begin();
    const to = worker, id = ++asked;
    return new Promise((resolve, reject) => {
      waiting.set(id, { resolve, reject });
      to.postMessage({ id, query, latents });
    });
  }

  return {
    /** The ids of the latents that a pattern asks about. @type {(query: string) => Promise<string[]>} */
    latentsIn: ask,
    /** The tokens that it marks, as 0 and 1. @type {(query: string, latents?: Latents) => Promise<Uint8Array>} */
    match: (query, latents = {}) => ask(query, latents),
    /** Gives up what is still being matched. */
    drop() {
      if (waiting.size) end(SUPERSEDED);
    },
    close() {
      end("closed");
      URL.revokeObjectURL(address);
    },
  };
}
