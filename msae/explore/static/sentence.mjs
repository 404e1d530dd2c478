/** @file Holes in words: “S/3/66 is silent on 724 of the 5,508 tokens (13 %) where S/2/65 fires, mostly ·Sue 238, …” */
import { count, dotted, list, percent, plural } from "./dom.mjs";

/** @import { Bundle } from "./bundle.mjs" */
/** @import { Holes } from "./holes.mjs" */

const MOSTLY = 6; // tokens and latents named in a sentence
const RELEVANT = 0.05; // share of the holes that a latent must fill to be named

/** @param {Bundle} bundle @param {Holes} holes */
export function sentenceOf(bundle, { parent, child, positions, present, tokens, filled, unexplained, nearest }) {
  const [whole, part] = [bundle.id[parent], bundle.id[child]];
  if (!present) return `${whole} does not fire on the sample of texts here, so holes cannot be counted.`;
  const silent = `${part} is silent on ${count(positions.length)} of the ${plural(present, "token")} where ${whole} fires`;
  if (!positions.length) return `${silent}: no holes.`;
  const mostly = tokens.slice(0, MOSTLY).map(([kind, n]) => `${bundle.named(kind, dotted)} ${count(n)}`);
  /** @param {Holes["filled"][number]} each */
  const share = (each) => `${bundle.id[each.latent]} ${percent(each.share)}`;
  const siblings = filled.filter((each) => each.sibling);
  const others = filled.filter((each) => !each.sibling && each.share >= RELEVANT).slice(0, MOSTLY).map(share);
  const sentences = [`${silent} (${percent(positions.length / present)}), mostly ${list(mostly)}.`];
  if (siblings.length) sentences.push(`Other children of ${whole} fill them: ${list(siblings.slice(0, MOSTLY).map(share))}.`);
  if (others.length) {
    sentences.push(`${siblings.length ? "Also firing" : "Firing"} there${nearest ? ", of the nearest latents" : ""}: ${list(others)}.`);
  }
  if (siblings.length) {
    const unfilled = `${count(unexplained.length)} (${percent(unexplained.length / positions.length)})`;
    sentences.push(`${unfilled} stay unexplained: no other child fires there.`);
  }
  return sentences.join(" ");
}
