/** @file What is known of a latent beside its texts: numbers, strongest tokens, effect on the next token, relatives. */
import { chip } from "./chips.mjs";
import { amount, count, dotted, element, percent } from "./dom.mjs";

/** @import { Bundle } from "./bundle.mjs" */
/** @import { Details } from "./manifest.mjs" */

/** @param {Bundle} bundle @param {number} latent */
export function inNumbers(bundle, latent) {
  const of = `${count(bundle.saeOf(latent).n_tokens)} tokens`;
  if (!bundle.scanned[latent]) return `Silent on all ${of}.`;
  const often = `${count(bundle.scanned[latent])} of ${of} (${percent(bundle.density(latent))})`;
  return `Fires on ${often}, with at most ${amount(bundle.max[latent])}.`;
}

/** @param {Bundle} bundle @param {Details} details */
export function tokenTable(bundle, { tokens }) {
  const names = ["token", "fires on", "mean", "max"].map((name) => element("th", { scope: "col" }, name));
  const head = element("thead", {}, element("tr", {}, ...names));
  const rows = tokens.map(([kind, firing, occurring, mean, max]) => element("tr", {},
    element("th", { scope: "row" }, token(bundle, kind)),
    ...[`${count(firing)} of ${count(occurring)}`, amount(mean), amount(max)].map((text) => element("td", {}, text))));
  const table = element("table", { className: "tokens" }, head, element("tbody", {}, ...rows));
  return element("section", {}, element("h4", {}, "Strongest tokens"), table);
}

/** @param {Bundle} bundle @param {number} kind */
function token(bundle, kind) {
  const letter = bundle.parts.get(kind);
  const made = element("span", { className: "token" }, dotted(letter ? letter.text : bundle.vocab[kind]));
  return letter ? element("span", {}, made, element("small", {}, ` ${letter.part} of ${letter.of}`)) : made;
}

/** The tokens that a latent's direction makes likelier, and those it makes less likely. @param {Bundle} bundle @param {Details} details */
export function effects(bundle, { logits = [] }) {
  if (!logits.length) return [];
  /** @param {number} effect */
  const signed = (effect) => ` ${effect > 0 ? "+" : "−"}${amount(Math.abs(effect))}  `;
  /** @param {typeof logits} some @param {string} name */
  const rows = (some, name) => element("tr", {}, element("th", { scope: "row" }, name),
    element("td", { className: "words" }, ...some.flatMap(([kind, effect]) => [token(bundle, kind), signed(effect)])));
  const likelier = logits.filter(([, effect]) => effect > 0), lessLikely = logits.filter(([, effect]) => effect <= 0);
  const body = element("tbody", {}, rows(likelier, "likelier"), rows(lessLikely, "less likely"));
  const heading = element("h4", {}, "Effect on the next token, logits per unit");
  return [element("section", { className: "logits" }, heading, element("table", {}, body))];
}

/** Chips of the latents around one. @param {Bundle} bundle @param {number} latent @param {Details} details */
export function familyOf(bundle, latent, { cofiring = [], cosine = [] }) {
  const parents = bundle.parents.get(latent) ?? [];
  const best = new Set(bundle.ownChildren(latent).map(([child]) => child));
  const alike = bundle.manifest.cosine_of === "directions" ? "direction" : "activations";
  return [
    ...group(bundle, "Parents", parents, amount, (other) => other !== parents[0][0]),
    ...group(bundle, "Children", bundle.children.get(latent) ?? [], amount, (other) => !best.has(other)),
    ...group(bundle, "Fire together", cofiring, percent),
    ...group(bundle, `Alike in ${alike}`, cosine, amount),
  ];
}

/**
 * @param {Bundle} bundle
 * @param {string} name
 * @param {[latent: number, value: number][]} pairs
 * @param {(value: number) => string} note what a chip says of the value
 * @param {(latent: number) => boolean} [isSecond] whether a chip is dotted: the child has a better parent
 */
function group(bundle, name, pairs, note, isSecond = () => false) {
  const chips = pairs.map(([other, value]) => {
    const made = chip(bundle, other, note(value));
    made.classList.toggle("second", isSecond(other));
    return made;
  });
  const heading = element("span", { className: "quiet" }, name);
  return chips.length ? [element("div", { className: "group", role: "group", "aria-label": name }, heading, ...chips)] : [];
}
