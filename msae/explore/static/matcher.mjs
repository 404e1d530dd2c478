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
  const asking = new Matcher(source, { tokens, start, vocab, ids, parts }, bundle.terms.max_tests, SECONDS);
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

  return { marked, close: () => asking.close() };
}

/** A matcher in a worker of its own. A question that takes too long is ended with an error; the next one gets a new worker. */
export class Matcher {
  /** @type {Map<number, Waiting>} */
  #waiting = new Map();

  /** @type {Worker | null} */
  #worker = null;

  #asked = 0;

  /**
   * @param {string} source the text of patterns/answer.mjs and all that it imports, as a script that begins to answer
   * @param {Texts} texts
   * @param {number} maxTests
   * @param {number} seconds
   */
  constructor(source, texts, maxTests, seconds) {
    this.address = URL.createObjectURL(new Blob([source], { type: "text/javascript" })); // under file: no worker may be a module
    this.texts = texts;
    this.maxTests = maxTests;
    this.seconds = seconds;
  }

  /** The ids of the latents that a pattern asks about. @param {string} query @returns {Promise<string[]>} */
  latentsIn(query) {
    return this.#ask(query);
  }

  /** The tokens that it marks, as 0 and 1. @param {string} query @param {Latents} [latents] @returns {Promise<Uint8Array>} */
  match(query, latents = {}) {
    return this.#ask(query, latents);
  }

  /** Gives up what is still being matched. */
  drop() {
    if (this.#waiting.size) this.#end(SUPERSEDED);
  }

  close() {
    this.#end("closed");
    URL.revokeObjectURL(this.address);
  }

  /** @param {string} query @param {Latents} [latents] @returns {Promise<any>} */
  #ask(query, latents) {
    const worker = (this.#worker ??= this.#begin()), id = ++this.#asked;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      worker.postMessage({ id, query, latents });
    });
  }

  #begin() {
    const worker = new Worker(this.address);
    worker.postMessage({ texts: this.texts, maxTests: this.maxTests });
    worker.onmessage = ({ data }) => this.#hear(data);
    worker.onerror = (event) => this.#end(event.message || "the worker could not start");
    return worker;
  }

  /** @param {Answered} answered */
  #hear({ id, begun, found, error }) {
    const question = this.#waiting.get(id);
    if (!question) return;
    if (begun) { // the clock is for the matching: on a busy machine the worker may take as long to start
      question.timer = setTimeout(() => this.#stop(), this.seconds * 1000);
      return;
    }
    this.#waiting.delete(id);
    clearTimeout(question.timer);
    if (error) question.reject(Object.assign(new Error(error.message), error));
    else question.resolve(found);
  }

  #stop() {
    const advice = "give its repetitions an upper end, such as {0,8} for *, or split it into two patterns";
    this.#end(`stopped after ${this.seconds} s: this pattern can match in too many ways; ${advice}`);
  }

  /** @param {string} reason */
  #end(reason) {
    this.#worker?.terminate();
    this.#worker = null;
    for (const { reject, timer } of this.#waiting.values()) {
      clearTimeout(timer);
      reject(new Error(reason));
    }
    this.#waiting.clear();
  }
}
