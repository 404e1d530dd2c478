// Other latents beside the one that is shown: hover or focus lays a latent over the texts, a click pins it, and a pinned one is put into words.
import { count, dotted, element, list, percent, plural } from "./dom.mjs";
import { shared } from "./bundle.mjs";
import { MAX_TESTS } from "./matcher.mjs";

const MOSTLY = 6; // tokens and latents named in a sentence
const RELEVANT = 0.05; // share of the holes that a latent must fill to be named

export function chip(bundle, latent, note = "") {
  const name = bundle.name(latent, dotted);
  return element("button", {
    type: "button", className: "chip", "data-latent": latent, "aria-pressed": "false",
    "aria-label": `${bundle.id[latent]}, ${name}${note ? `, ${note}` : ""}: lay over the text; press to pin`,
  }, element("b", {}, bundle.id[latent]), " ", element("span", { className: "name" }, name), " ", element("small", {}, note));
}

// Lays latents over a panel of texts and tells what is found when one is pinned.
// app: { bundle, say, go, state }; panel: a textsPanel; places(positions): shows the texts around these positions.
export function overlay(app, panel, within, places) {
  const { bundle, say } = app;
  const finding = element("div", { className: "finding", hidden: true });
  let wanted = -1;

  async function lay(latent) {
    wanted = latent;
    if (latent < 0) return panel.lay(-1);
    const [whole, part] = await Promise.all([bundle.firings(panel.latent), bundle.firings(latent)]);
    if (wanted !== latent) return undefined; // the pointer has moved on
    const covered = shared(whole.positions, part.positions);
    const marked = panel.holesOf === latent || covered >= whole.positions.length / 2; // holes that were asked for are marked in any case
    return panel.lay(latent, part, latent !== panel.latent && marked);
  }

  // Pins a latent (-1: none): it stays over the texts, and its holes are put into words.
  async function pin(latent) {
    for (const each of within.querySelectorAll("[data-latent]")) {
      const state = each.matches("[role=treeitem]") ? "aria-selected" : "aria-pressed";
      each.setAttribute(state, String(+each.dataset.latent === latent));
    }
    await lay(latent);
    finding.hidden = latent < 0 || latent === panel.latent;
    finding.replaceChildren();
    if (latent < 0 || latent === panel.latent) return;
    const parent = panel.latent, found = await bundle.holes(parent, latent);
    if (pinned() !== latent || panel.latent !== parent) return;
    const sentence = inWords(bundle, found);
    finding.replaceChildren(element("p", { className: "sentence" }, sentence), ...buttons(found));
    say(sentence);
  }

  function buttons({ parent, child, filled, unexplained, positions }) {
    const [whole, part] = [bundle.id[parent], bundle.id[child]];
    const siblings = filled.filter((each) => each.sibling).map((each) => bundle.id[each.latent]);
    const out = [press(`Open ${part}`, () => app.go({ latent: child, pinned: -1, view: "latent" }, { focus: true }))];
    if (positions.length) out.push(press("Search for these holes", () => app.go({ view: "search", query: `[${whole} & !${part}]` }, { focus: true })));
    if (unexplained.length && siblings.length) {
      const query = `[${[whole, part, ...siblings].join(" & !")}]`;
      out.push(press(`Show ${plural(unexplained.length, "unexplained hole")}`, () => places(unexplained)));
      if (siblings.length <= MAX_TESTS - 2) out.push(press("Search for those", () => app.go({ view: "search", query }, { focus: true })));
    } else if (positions.length) out.push(press("Show the holes", () => places(positions)));
    return out;
  }

  const pinned = () => app.state.pinned;
  const latentOf = (event) => {
    const at = event.target.closest("[data-latent]");
    return at && within.contains(at) ? +at.dataset.latent : undefined;
  };
  // What is hovered or focused goes over the texts, and gives way to the pinned one again.
  within.addEventListener("pointerover", (event) => {
    if (latentOf(event) !== undefined) lay(latentOf(event));
  });
  within.addEventListener("pointerout", (event) => {
    const at = event.target.closest("[data-latent]");
    if (at && !at.contains(event.relatedTarget)) lay(pinned());
  });
  within.addEventListener("focusin", (event) => {
    if (latentOf(event) !== undefined) lay(latentOf(event));
  });
  within.addEventListener("focusout", (event) => {
    if (latentOf(event) !== undefined) lay(pinned());
  });
  within.addEventListener("click", (event) => {
    const latent = latentOf(event);
    if (latent === undefined) return;
    if (event.detail === 2) app.go({ latent, pinned: -1, view: "latent" }, { focus: true });
    else app.go({ pinned: pinned() === latent ? -1 : latent });
  });
  return { element: finding, lay, pin };
}

export const press = (text, onclick) => element("button", { type: "button", onclick }, text);

// “S/3/66 is silent on 724 of the 5,508 tokens (13 %) where S/2/65 fires: mostly ·Sue 238, …”
export function inWords(bundle, { parent, child, positions, present, tokens, filled, unexplained, nearest }) {
  const [whole, part] = [bundle.id[parent], bundle.id[child]];
  if (!present) return `${whole} does not fire on the sample of texts here, so holes cannot be counted.`;
  const silent = `${part} is silent on ${count(positions.length)} of the ${plural(present, "token")} where ${whole} fires`;
  if (!positions.length) return `${silent}: no holes.`;
  const mostly = tokens.slice(0, MOSTLY).map(([kind, n]) => `${bundle.named(kind, dotted)} ${count(n)}`);
  const share = (each) => `${bundle.id[each.latent]} ${percent(each.share)}`;
  const named = (of) => list(of.filter((each) => each.share >= RELEVANT).slice(0, MOSTLY).map(share));
  const siblings = filled.filter((each) => each.sibling);
  const sentences = [`${silent} (${percent(positions.length / present)}), mostly ${list(mostly)}.`];
  if (siblings.length) sentences.push(`Other children of ${whole} fill them: ${list(siblings.slice(0, MOSTLY).map(share))}.`);
  const others = named(filled.filter((each) => !each.sibling));
  if (others) sentences.push(`${siblings.length ? "Also firing" : "Firing"} there${nearest ? ", of the nearest latents" : ""}: ${others}.`);
  if (siblings.length) sentences.push(`${count(unexplained.length)} (${percent(unexplained.length / positions.length)}) stay unexplained: no other child fires there.`);
  return sentences.join(" ");
}
