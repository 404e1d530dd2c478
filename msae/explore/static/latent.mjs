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

/** @import { Bundle } from "./bundle.mjs" */
/** @import { How } from "./examples.mjs" */
/** @import { App, View } from "./explorer.mjs" */
/** @import { Details } from "./manifest.mjs" */
/** @import { Firings } from "./shards.mjs" */
/** @import { Laid } from "./texts.mjs" */

/** @type {Record<How, string>} */
const HEADINGS = { strongest: "Strongest texts", spread: "One text per quantile of the peaks", random: "Random firings, each framed" };

/** @param {App} app @returns {View} */
export function latentView(app) {
  const { bundle, say } = app;
  const page = element("div", { className: "page" });
  const colours = element("p", { className: "colours" });
  const panel = textsPanel(app, "Texts", (laid) => colours.replaceChildren(...legend(bundle, laid)));
  const head = latentHead(bundle, () => panel.element.focus());
  const heading = element("h4", {}, "Strongest texts");
  const hint = element("p", { className: "quiet" },
    "Point at a token, or step with the arrow keys, with Shift from one firing to the next.");
  const legendRow = element("div", { className: "legend" }, colours, hint);
  const choice = textChoice(panel, async () => {
    await showExamples();
    say(heading.textContent);
  });
  const width = () => choice.width(bundle.manifest.window);
  const over = overlay(app, panel, page, width, () => (heading.textContent = "Texts with these holes"));
  const typed = typedText(app, showTyped);
  page.append(...head.elements, over.element, typed.element, heading, choice.element, legendRow, panel.element);

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
    head.fill(latent, firings, details);
    choice.element.hidden = colours.hidden = hint.hidden = heading.hidden = !bundle.n[latent];
    choice.reset();
    await showExamples();
    head.load();
  }

  async function showExamples() {
    const latent = app.state.latent;
    const firings = await bundle.firings(latent), wanted = choice.now();
    heading.textContent = HEADINGS[wanted.how];
    const chosen = examples(bundle, firings, wanted).map(({ position }) => position);
    const drawn = new Set(wanted.how === "random" ? chosen : []);
    await panel.show(chosen.map((position) => passage(bundle, position, width())), latent, { drawn });
    if (app.state.pinned >= 0) await over.lay(app.state.pinned);
  }

  async function showTyped() {
    heading.textContent = "The text you typed";
    await panel.show([{ from: bundle.nTokens, to: bundle.nTokens + bundle.typed.words.length, cut: false }], app.state.latent);
    if (app.state.pinned >= 0) await over.lay(app.state.pinned);
  }

  return { element: page, show, focus: head.focus, describe: head.describe };
}

/** What the colours of the texts mean. @param {Bundle} bundle @param {Laid} laid */
function legend({ id }, { latent, over, holes }) {
  /** @param {string} name */
  const sample = (name) => element("span", { className: `sample ${name}` }, name);
  if (latent < 0) return [];
  const first = [sample("blue"), ` where ${id[latent]} fires`];
  if (over < 0) return [...first, ", the stronger the bluer."];
  const second = [", ", sample("underlined"), ` where ${id[over]} fires`];
  return [...first, ...second, ...(holes ? [", ", sample("framed"), ` where ${id[over]} has a hole: it is silent there.`] : ["."])];
}

/** What is told of a latent above its texts. @param {Bundle} bundle @param {() => void} toTexts leads the keyboard there */
function latentHead(bundle, toTexts) {
  const title = element("h3", { tabIndex: -1 });
  const numbers = element("p", { className: "quiet" });
  const facts = element("div", { className: "facts" });
  const relatives = element("div", { className: "relatives" });
  const skip = press("Skip to the texts", toTexts);
  skip.className = "skip"; // seen when the keyboard comes to it

  /** @param {number} latent @param {Firings} firings @param {Details} details */
  function fill(latent, firings, details) {
    title.textContent = `Latent ${bundle.id[latent]}` + (bundle.label[latent] ? `: ${bundle.label[latent]}` : "");
    numbers.textContent = inNumbers(bundle, latent);
    const sampled = firings.q.subarray(0, lowerBound(firings.positions, bundle.sampleEnd)); // the other texts were added for being strong
    const strengths = sampled.length ? [histogram(sampled, bundle.max[latent])] : [];
    facts.replaceChildren(...(firings.q.length ? [tokenTable(bundle, details), ...strengths, ...effects(bundle, details)] : []));
    relatives.replaceChildren(...familyOf(bundle, latent, details));
    skip.hidden = !bundle.n[latent];
  }

  return {
    elements: [title, skip, numbers, facts, relatives],
    fill,
    /** Loads the relatives' firings before anybody points at them, but not while latents are leafed through. */
    load: later(400, () => latentsIn(relatives).forEach((each) => bundle.firings(Number(each.dataset.latent)))),
    focus: () => title.focus(),
    describe: () => `${title.textContent}. ${numbers.textContent}`,
  };
}

/** Does something once it has not been asked for again for a while. @param {number} milliseconds @param {() => void} act */
function later(milliseconds, act) {
  let timer = 0;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(act, milliseconds);
  };
}
