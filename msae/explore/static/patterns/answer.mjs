/** @file The worker's side: first the texts, then what is asked about them. */
import { corpus } from "./corpus.mjs";
import { match } from "./matching.mjs";
import { latentsIn } from "./reading.mjs";

/** @import { Corpus, Texts } from "./corpus.mjs" */
/** @import { Latents } from "./signatures.mjs" */

/**
 * @typedef {object} Asked
 * @property {number} id of the question; the answer has the same
 * @property {string} query
 * @property {Latents} [latents] what fires where; without it the question is which latents are needed
 *
 * @typedef {{ name: string, message: string, reason?: string, line?: number, column?: number }} Failure
 * @typedef {{ id: number, begun?: true, found?: Uint8Array | string[], error?: Failure }} Answered
 */

/**
 * Answers the messages of a page. The first is { texts, maxTests }, all others are questions.
 *
 * @param {{ onmessage: unknown, postMessage: (message: Answered, transfer?: Transferable[]) => void }} scope
 */
export function answer(scope) {
  /** @type {Corpus} */
  let texts;
  let maxTests = 0;
  /** @param {{ data: Asked | { id?: undefined, texts: Texts, maxTests: number } }} message */
  scope.onmessage = ({ data }) => {
    if (data.id === undefined) {
      texts = corpus(data.texts);
      maxTests = data.maxTests;
      return;
    }
    const { id, query, latents } = data;
    scope.postMessage({ id, begun: true });
    try {
      const found = latents ? match(query, texts, latents, maxTests) : latentsIn(query);
      scope.postMessage({ id, found }, found instanceof Uint8Array ? [found.buffer] : []);
    } catch (thrown) {
      const { name, message, reason, line, column } = /** @type {Failure} */ (thrown);
      scope.postMessage({ id, error: { name, message, reason, line, column } });
    }
  };
}
