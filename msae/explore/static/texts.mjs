/** @file Texts whose tokens are coloured by one latent, with a second one laid over them. */
import { element } from "./dom.mjs";
import { drawPassage, layOver, takeAway } from "./passages.mjs";
import { TokenReader } from "./reader.mjs";

/** @import { Passage } from "./examples.mjs" */
/** @import { App } from "./explorer.mjs" */
/** @import { Drawn, Marks, Token } from "./passages.mjs" */
/** @import { Firings } from "./shards.mjs" */

/** @typedef {ReturnType<typeof textsPanel>} TextsPanel */

/**
 * @typedef {object} Shown
 * @property {HTMLElement} element
 * @property {Drawn[]} passages
 * @property {number} latent that colours them
 * @property {number} over the second latent; -1 if there is none
 * @property {number} holesOf the second latent whose holes these texts were chosen for; -1 if they were not
 */

/** What colours the texts; holes: those of the second are framed. @typedef {{ latent: number, over: number, holes: boolean }} Laid */

/**
 * @param {Pick<App, "bundle" | "say" | "tip">} app
 * @param {string} name what a screen reader calls the group
 * @param {(laid: Laid) => void} [onLaid] told when the colours change
 */
export function textsPanel(app, name, onLaid = () => {}) {
  const { bundle } = app;
  const box = element("div", { className: "texts", role: "group", tabIndex: 0, "aria-label": `${name}: arrow keys move between tokens` });
  /** @type {Shown} */
  const shown = { element: box, passages: [], latent: -1, over: -1, holesOf: -1 };
  const reader = new TokenReader(app, shown);
  /** Spans that the second latent changed. @type {Token[]} */
  let touched = [];

  /**
   * Draws passages coloured by a latent.
   *
   * @param {Passage[]} wanted
   * @param {number} of the latent
   * @param {Marks & { chosenFor?: number }} [marks] chosenFor: the second latent whose holes these texts were chosen for
   */
  async function show(wanted, of, { chosenFor = -1, ...marks } = {}) {
    const firings = await bundle.firings(of);
    touched = [];
    reader.still();
    /** @param {Passage} passage @param {number} k */
    const draw = (passage, k) => drawPassage(bundle, { ...passage, k }, of, bundle.strengths(of, firings, passage.from, passage.to), marks);
    Object.assign(shown, { latent: of, over: -1, holesOf: chosenFor, passages: wanted.map(draw) });
    box.replaceChildren(...shown.passages.map(({ row }) => row));
    box.hidden = !shown.passages.length;
    onLaid({ latent: of, over: -1, holes: false });
  }

  /**
   * Lays a second latent over the texts.
   *
   * @param {number} second
   * @param {Firings} firings
   * @param {boolean} holes marked only where the second covers enough of the first, else almost every token would be one
   */
  function lay(second, firings, holes) {
    takeAway(touched);
    shown.over = second;
    touched = shown.passages.flatMap((each) => layOver(each, bundle.strengths(second, firings, each.from, each.to), holes));
    onLaid({ latent: shown.latent, over: second, holes });
    reader.again();
  }

  /** Takes the second latent away. */
  function clear() {
    takeAway(touched);
    [shown.over, touched] = [-1, []];
    for (const passage of shown.passages) passage.over = null;
    onLaid({ latent: shown.latent, over: -1, holes: false });
    reader.again();
  }

  return { element: box, show, lay, clear, get latent() { return shown.latent; }, get holesOf() { return shown.holesOf; } };
}
