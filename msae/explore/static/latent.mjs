/** @file One latent: its numbers, its strongest tokens, its relatives, and texts chosen from its firings. */
import { latentsIn, overlay } from "./chips.mjs";
import { textChoice } from "./choice.mjs";
import { element, press } from "./dom.mjs";
import { examples, passage } from "./examples.mjs";
import { effects, familyOf, inNumbers, tokenTable } from "./facts.mjs";
import { histogram } from "./histogram.mjs";
import { lowerBound } from "./positions.mjs";
import { textsPanel } from "./texts.mjs";
import { typedText } from "./typed.mjs";

/** @import { App, View } from "./explorer.mjs" */

/** @param {App} app @returns {View} */
export function latentView(app) {
  const { bundle, say } = app;
  const page = element("div", { className: "page" });
  const title = element("h3", { tabIndex: -1 });
  const numbers = element("p", { className: "quiet" });
  const facts = element("div", { className: "facts" });
  const relatives = element("div", { className: "relatives" });
  const heading = element("h4", {}, "Strongest texts");
  const hint = element("p", { className: "quiet" },
    "Point at a token, or step through them with the arrow keys; with Shift from one firing to the next.");
  const panel = textsPanel(app, "Texts");
  const choice = textChoice(panel, async () => {
    await showExamples();
    say(heading.textContent);
  });
  const width = () => choice.width(bundle.manifest.window);
  const over = overlay(app, panel, page, width, () => (heading.textContent = "Texts with these holes"));
  const typed = typedText(app, showTyped);
  const skip = press("Skip to the texts", () => panel.element.focus());
  skip.className = "skip"; // seen when the keyboard comes to it
  page.append(title, skip, numbers, facts, relatives, over.element, typed.element, heading, choice.element, hint, panel.element);
  const load = waiting(400, () => latentsIn(relatives).forEach((each) => bundle.firings(Number(each.dataset.latent))));

  /** Drawn again only when it changes. @type {number | null} */
  let drawn = null;

  /** @type {View["show"]} */
  async function show({ latent, pinned }) {
    if (drawn !== latent) await draw(latent);
    else if (panel.holesOf >= 0 && panel.holesOf !== pinned) await showExamples(); // the texts chosen for another latent's holes go
    if (app.state.latent === latent) await over.pin(pinned);
  }

  /** @param {number} latent */
  async function draw(latent) {
    const [firings, details] = await Promise.all([bundle.firings(latent), bundle.details(latent)]);
    if (app.state.latent !== latent) return; // another one was chosen meanwhile
    drawn = latent;
    title.textContent = `Latent ${bundle.id[latent]}` + (bundle.label[latent] ? `: ${bundle.label[latent]}` : "");
    numbers.textContent = inNumbers(bundle, latent);
    const sampled = firings.q.subarray(0, lowerBound(firings.positions, bundle.sampleEnd)); // the other texts were added for being strong
    const strengths = sampled.length ? [histogram(sampled, bundle.max[latent])] : [];
    facts.replaceChildren(...(firings.q.length ? [tokenTable(bundle, details), ...strengths, ...effects(bundle, details)] : []));
    relatives.replaceChildren(...familyOf(bundle, latent, details));
    skip.hidden = choice.element.hidden = hint.hidden = heading.hidden = !bundle.n[latent];
    choice.reset();
    await showExamples();
    load(); // before anybody points at them, but not while latents are leafed through
  }

  async function showExamples() {
    const latent = app.state.latent;
    const firings = await bundle.firings(latent);
    const { how, low, high } = choice.now();
    heading.textContent = { strongest: "Strongest texts", spread: "One text per quantile of the peaks", random: "Random firings" }[how];
    const found = examples(bundle, firings, bundle.nExamples, how, low, high);
    await panel.show(found.map(({ position }) => passage(bundle, position, width())), latent);
    if (app.state.pinned >= 0) await over.lay(app.state.pinned);
  }

  async function showTyped() {
    heading.textContent = "The text you typed";
    await panel.show([{ from: bundle.nTokens, to: bundle.nTokens + bundle.typed.words.length, cut: false }], app.state.latent);
    if (app.state.pinned >= 0) await over.lay(app.state.pinned);
  }

  return { element: page, show, focus: () => title.focus(), describe: () => `${title.textContent}. ${numbers.textContent}` };
}

/** Does something once it has not been asked for again for a while. @param {number} milliseconds @param {() => void} act */
function waiting(milliseconds, act) {
  let timer = 0;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(act, milliseconds);
  };
}
