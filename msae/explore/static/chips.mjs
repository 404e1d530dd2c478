/** @file Other latents beside the one that is shown: hover or focus lays a latent over the texts, a click pins it and tells its holes. */
import { dotted, element, origin, plural, press } from "./dom.mjs";
import { firstPlaces, passage } from "./examples.mjs";
import { holesOf } from "./holes.mjs";
import { shared } from "./positions.mjs";
import { sentenceOf } from "./sentence.mjs";

/** @import { Bundle } from "./bundle.mjs" */
/** @import { App } from "./explorer.mjs" */
/** @import { Holes } from "./holes.mjs" */
/** @import { TextsPanel } from "./texts.mjs" */

/** @param {Bundle} bundle @param {number} latent @param {string} [note] */
export function chip(bundle, latent, note = "") {
  const name = bundle.name(latent, dotted);
  return element("button", {
    type: "button", className: "chip", "data-latent": latent, "aria-pressed": "false",
    "aria-label": `${bundle.id[latent]}, ${name}${note ? `, ${note}` : ""}: lay over the text; press to pin`,
  }, element("b", {}, bundle.id[latent]), " ", element("span", { className: "name" }, name), " ", element("small", {}, note));
}

/**
 * Lays latents over a panel of texts and tells what is found when one is pinned.
 *
 * @param {App} app
 * @param {TextsPanel} panel
 * @param {HTMLElement} within where the latents are that can be pointed at, by their data-latent
 * @param {() => number | undefined} width of the passages in tokens
 * @param {() => void} [onPlaces] when other texts are shown, those with holes
 */
export function overlay(app, panel, within, width, onPlaces = () => {}) {
  const { bundle, say } = app;
  const finding = element("div", { className: "finding", hidden: true });
  let wanted = -1;

  /** @param {number} latent -1: none */
  async function lay(latent) {
    wanted = latent;
    if (latent < 0) return panel.clear();
    const [whole, part] = await Promise.all([bundle.firings(panel.latent), bundle.firings(latent)]);
    if (wanted !== latent) return undefined; // the pointer has moved on
    const covered = shared(whole.positions, part.positions);
    const asked = [panel.holesOf, app.state.pinned].includes(latent); // then its holes are marked in any case
    const marked = asked || covered >= whole.positions.length / 2;
    return panel.lay(latent, part, latent !== panel.latent && marked);
  }

  /** Pins a latent (-1: none): it stays over the texts, and its holes are put into words. @param {number} latent */
  async function pin(latent) {
    for (const each of latentsIn(within)) {
      const state = each.matches("[role=treeitem]") ? "aria-selected" : "aria-pressed";
      each.setAttribute(state, String(Number(each.dataset.latent) === latent));
    }
    await lay(latent);
    finding.hidden = latent < 0 || latent === panel.latent;
    finding.replaceChildren();
    if (finding.hidden) return;
    const parent = panel.latent, found = await holesOf(bundle, parent, latent);
    if (app.state.pinned !== latent || panel.latent !== parent) return;
    const sentence = sentenceOf(bundle, found);
    finding.replaceChildren(element("p", { className: "sentence" }, sentence), ...actions(app, found, showPlaces));
    say(sentence);
  }

  /** The texts around some positions, one passage per text. @param {Uint32Array} positions */
  async function showPlaces(positions) {
    const found = firstPlaces(bundle, positions).map((position) => passage(bundle, position, width()));
    onPlaces();
    await panel.show(found, panel.latent, { chosenFor: app.state.pinned });
    await lay(app.state.pinned);
    say(`${found.length} texts with these holes`);
    panel.element.focus();
  }

  listen(app, within, lay);
  return { element: finding, lay, pin };
}

/** @param {HTMLElement} within @returns {NodeListOf<HTMLElement>} */
export const latentsIn = (within) => within.querySelectorAll("[data-latent]");

/**
 * What is hovered or focused goes over the texts, and gives way to the pinned one again.
 *
 * @param {App} app
 * @param {HTMLElement} within
 * @param {(latent: number) => void} lay
 */
function listen(app, within, lay) {
  /** @param {Event} event */
  const latentOf = (event) => {
    const at = origin(event, "[data-latent]");
    return at && within.contains(at) ? Number(at.dataset.latent) : undefined;
  };
  for (const kind of ["pointerover", "focusin"]) {
    within.addEventListener(kind, (event) => {
      const latent = latentOf(event);
      if (latent !== undefined) lay(latent);
    });
  }
  within.addEventListener("pointerout", (event) => {
    const at = origin(event, "[data-latent]");
    if (at && !(event.relatedTarget instanceof Node && at.contains(event.relatedTarget))) lay(app.state.pinned);
  });
  within.addEventListener("focusout", (event) => {
    if (latentOf(event) !== undefined) lay(app.state.pinned);
  });
  within.addEventListener("click", (event) => {
    const latent = latentOf(event);
    if (latent === undefined) return;
    if (event.detail === 2) app.go({ latent, pinned: -1, view: "latent" }, { focus: true });
    else app.go({ pinned: app.state.pinned === latent ? -1 : latent });
  });
}

/**
 * What can be done with the holes that were found.
 *
 * @param {App} app
 * @param {Holes} holes
 * @param {(positions: Uint32Array) => void} places shows the texts around these positions
 */
function actions({ bundle, go }, { parent, child, filled, unexplained, positions }, places) {
  const [whole, part] = [bundle.id[parent], bundle.id[child]];
  const siblings = filled.filter((each) => each.sibling).map((each) => bundle.id[each.latent]);
  /** @param {string} query */
  const search = (query) => go({ view: "search", query }, { focus: true });
  const out = [press(`Open ${part}`, () => go({ latent: child, pinned: -1, view: "latent" }, { focus: true }))];
  if (positions.length) out.push(press("Search for these holes", () => search(`[${whole} & !${part}]`)));
  if (unexplained.length && siblings.length) {
    out.push(press(`Show ${plural(unexplained.length, "unexplained hole")}`, () => places(unexplained)));
    const query = `[${[whole, part, ...siblings].join(" & !")}]`;
    if (siblings.length <= bundle.terms.max_tests - 2) out.push(press("Search for those", () => search(query)));
  } else if (positions.length) out.push(press("Show the holes", () => places(positions)));
  return out;
}
