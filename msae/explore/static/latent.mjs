// One latent: its numbers, its strongest tokens, its relatives, and texts chosen from its firings.
import { amount, count, dotted, element, option, percent, svgElement } from "./dom.mjs";
import { lowerBound, partsOf } from "./bundle.mjs";
import { chip, overlay, press } from "./chips.mjs";
import { textsPanel } from "./texts.mjs";

const BARS = 24, TALL = 60; // of the histogram: how many, and pixels

export function latentView(app) {
  const { bundle, say } = app;
  const page = element("div", { className: "page" });
  const title = element("h3", { tabIndex: -1 });
  const numbers = element("p", { className: "quiet" });
  const facts = element("div", { className: "facts" });
  const relatives = element("div", { className: "relatives" });
  const panel = textsPanel(app, "Texts");
  const over = overlay(app, panel, page, showPlaces);
  const typed = typedText(app, showTyped);
  const hint = element("p", { className: "quiet" },
    "Point at a token, or step through them with the arrow keys; with Shift from one firing to the next.");
  const heading = element("h4", {}, "Strongest texts");
  const skip = press("Skip to the texts", () => panel.element.focus());
  skip.className = "skip"; // seen when the keyboard comes to it

  const how = element("select", { "aria-label": "Which texts" },
    option("strongest", "strongest"), option("spread", "one per quantile"), option("random", "random firings"));
  const low = slider("Lowest peak shown, percent of the maximum", 0);
  const high = slider("Highest peak shown, percent of the maximum", 100);
  const range = element("span", { className: "quiet range" });
  const wide = element("input", { type: "checkbox" });
  const swap = element("input", { type: "checkbox" });
  const controls = element("div", { className: "controls" }, how,
    element("span", { className: "pair" }, "peak ", low, high, range),
    element("label", {}, wide, " whole texts"), element("label", {}, swap, " hovering replaces the colour"));
  page.append(title, skip, numbers, facts, relatives, over.element, typed.element, heading, controls, hint, panel.element);

  let drawn = null; // "latent": drawn again only when it changes

  async function show({ latent, pinned }) {
    if (drawn !== latent) await draw(latent);
    else if (panel.holesOf >= 0 && panel.holesOf !== pinned) await showExamples(); // the texts chosen for another latent's holes go
    if (app.state.latent === latent) await over.pin(pinned);
  }

  async function draw(latent) {
    const [firings, details] = await Promise.all([bundle.firings(latent), bundle.details(latent)]);
    if (app.state.latent !== latent) return; // another one was chosen meanwhile
    drawn = latent;
    title.textContent = `Latent ${bundle.id[latent]}` + (bundle.label[latent] ? `: ${bundle.label[latent]}` : "");
    numbers.textContent = inNumbers(bundle, latent);
    const sampled = firings.q.subarray(0, lowerBound(firings.positions, bundle.sampleEnd)); // the other texts were added for being strong
    const strengths = sampled.length ? [histogram(sampled, bundle.max[latent])] : [];
    const shown = () => [tokenTable(bundle, details), ...strengths, ...logits(bundle, details)];
    facts.replaceChildren(...(firings.q.length ? shown() : []));
    relatives.replaceChildren(...family(bundle, latent, details));
    skip.hidden = controls.hidden = hint.hidden = heading.hidden = !bundle.n[latent];
    [low.value, high.value] = [0, 100];
    await showExamples();
    warm();
  }

  // Loads the relatives' firings before anybody points at them, but not while latents are leafed through.
  let warming = 0;
  function warm() {
    clearTimeout(warming);
    const load = () => relatives.querySelectorAll("[data-latent]").forEach((each) => bundle.firings(+each.dataset.latent));
    warming = setTimeout(load, 400);
  }

  async function showExamples() {
    const latent = app.state.latent;
    const firings = await bundle.firings(latent);
    const [least, most] = [+low.value, +high.value];
    range.textContent = `${least} – ${most} %`;
    heading.textContent = { strongest: "Strongest texts", spread: "One text per quantile of the peaks", random: "Random firings" }[how.value];
    const found = bundle.examples(firings, bundle.manifest.n_examples ?? 10, how.value, (least * 255) / 100, (most * 255) / 100);
    await panel.show(found.map(({ position }) => bundle.passage(position, width())), latent);
    if (app.state.pinned >= 0) await over.lay(app.state.pinned);
  }

  const width = () => (wide.checked ? Infinity : bundle.manifest.window ?? 64);

  // The texts around some positions, one passage per text.
  async function showPlaces(positions) {
    const found = bundle.firstOfTexts(positions, bundle.manifest.n_examples ?? 10).map((position) => bundle.passage(position, width()));
    heading.textContent = "Texts with these holes";
    await panel.show(found, app.state.latent, { chosenFor: app.state.pinned });
    await over.lay(app.state.pinned);
    say(`${found.length} texts with these holes`);
    panel.element.focus();
  }

  async function showTyped() {
    heading.textContent = "The text you typed";
    await panel.show([{ from: bundle.nTokens, to: bundle.nTokens + bundle.typed.words.length, cut: false }], app.state.latent);
    if (app.state.pinned >= 0) await over.lay(app.state.pinned);
  }

  async function change() {
    await showExamples();
    say(heading.textContent);
  }
  for (const control of [how, low, high, wide]) control.addEventListener("change", change);
  for (const [control, other, way] of [[low, high, 1], [high, low, -1]]) {
    control.addEventListener("input", () => {
      if (way * (control.value - other.value) > 0) other.value = control.value;
      range.textContent = `${low.value} – ${high.value} %`;
    });
  }
  swap.addEventListener("change", () => panel.element.classList.toggle("swap", swap.checked));

  return { element: page, show, focus: () => title.focus(), describe: () => `${title.textContent}. ${numbers.textContent}` };
}

const slider = (name, value) => element("input", { type: "range", min: 0, max: 100, value, "aria-label": name });

function inNumbers(bundle, latent) {
  const of = `${count(bundle.saes.get(bundle.sae(latent)).n_tokens)} tokens`;
  if (!bundle.scanned[latent]) return `Silent on all ${of}.`;
  return `Fires on ${count(bundle.scanned[latent])} of ${of} (${percent(bundle.density(latent))}), with at most ${amount(bundle.max[latent])}.`;
}

function tokenTable(bundle, { tokens }) {
  const names = ["token", "fires on", "mean", "max"].map((name) => element("th", { scope: "col" }, name));
  const head = element("thead", {}, element("tr", {}, ...names));
  const rows = tokens.map(([kind, firing, occurring, mean, max]) => element("tr", {},
    element("th", { scope: "row" }, token(bundle, kind)),
    ...[`${count(firing)} of ${count(occurring)}`, amount(mean), amount(max)].map((text) => element("td", {}, text))));
  return element("section", {}, element("h4", {}, "Strongest tokens"), element("table", { className: "tokens" }, head, element("tbody", {}, ...rows)));
}

const token = (bundle, kind) => {
  const letter = bundle.parts.get(kind), made = element("span", { className: "token" }, dotted(letter ? letter.text : bundle.vocab[kind]));
  return letter ? element("span", {}, made, element("small", {}, ` ${letter.part} of ${letter.of}`)) : made;
};

// How strong the firings are, from weak to strong. Heights are logarithmic; a screen reader is told the axes and the quartiles.
function histogram(q, max) {
  const bars = new Uint32Array(BARS);
  for (const strength of q) bars[Math.floor((strength * BARS) / 256)]++;
  const most = Math.max(...bars);
  const sorted = q.slice().sort();
  const quartile = (share) => `${Math.round(sorted[Math.floor(share * (sorted.length - 1))] / 2.55)} %`;
  const words = `A quarter of the firings lie below ${quartile(0.25)} of the maximum, half below ${quartile(0.5)}, three quarters below ${quartile(0.75)}.`;
  const [up, along] = ["tokens, log scale", `activation, in % of the maximum of ${amount(max)}`];
  const axes = `Histogram. Upwards: ${up}, at most ${count(most)} in a bar. Along: ${along}, in ${BARS} bars.`;
  const drawing = svgElement("svg", { viewBox: "0 0 286 112", role: "img", "aria-label": `${axes} ${words}`, class: "histogram" });
  const [left, floor, wide] = [36, 18 + TALL, BARS * 10];
  const write = (x, y, anchor, text) => drawing.append(svgElement("text", { x, y, "text-anchor": anchor }, text));
  bars.forEach((n, k) => {
    const height = (TALL * Math.log1p(n)) / Math.log1p(most);
    drawing.append(svgElement("rect", { x: left + k * 10, y: floor - height, width: 9, height }));
  });
  drawing.append(svgElement("path", { d: `M${left} ${floor - TALL}V${floor}H${left + wide}` }));
  write(0, 10, "start", up);
  write(left - 4, floor - TALL + 8, "end", count(most));
  write(left - 4, floor, "end", "0");
  for (const share of [0, 50, 100]) write(left + (share * wide) / 100, floor + 14, "middle", share);
  write(left + wide / 2, floor + 30, "middle", along);
  return element("section", {}, element("h4", {}, "How strongly it fires"), drawing, element("p", { className: "quiet" }, words));
}

// The tokens that this latent's direction makes likelier, and those it makes less likely.
function logits(bundle, { logits: effects }) {
  if (!effects?.length) return [];
  const signed = (effect) => ` ${effect > 0 ? "+" : "−"}${amount(Math.abs(effect))}  `;
  const rows = (some, name) => element("tr", {}, element("th", { scope: "row" }, name),
    element("td", { className: "words" }, ...some.flatMap(([kind, effect]) => [token(bundle, kind), signed(effect)])));
  const likelier = effects.filter(([, effect]) => effect > 0), lessLikely = effects.filter(([, effect]) => effect <= 0);
  const body = element("tbody", {}, rows(likelier, "likelier"), rows(lessLikely, "less likely"));
  return [element("section", { className: "logits" }, element("h4", {}, "Effect on the next token, logits per unit"), element("table", {}, body))];
}

function family(bundle, latent, { cofiring = [], cosine = [] }) {
  const parents = bundle.parents.get(latent) ?? [];
  const best = new Set(bundle.ownChildren(latent).map(([child]) => child));
  const group = (name, pairs, note = amount, isSecond = () => false) => {
    const chips = pairs.map(([other, value]) => {
      const made = chip(bundle, other, note(value));
      made.classList.toggle("second", isSecond(other)); // dotted: the child has a better parent
      return made;
    });
    const heading = element("span", { className: "quiet" }, name);
    return chips.length ? [element("div", { className: "group", role: "group", "aria-label": name }, heading, ...chips)] : [];
  };
  const of = { directions: "direction", activations: "activations" }[bundle.manifest.cosine_of] ?? "activations";
  return [
    ...group("Parents", parents, undefined, (other) => other !== parents[0][0]),
    ...group("Children", bundle.children.get(latent) ?? [], undefined, (other) => !best.has(other)),
    ...group("Fire together", cofiring, percent),
    ...group(`Alike in ${of}`, cosine),
  ];
}

// A box to type a text in, where a kernel with the language model listens.
function typedText({ bundle, model, say, closing }, show) {
  const box = element("div", { className: "typed", hidden: !model.get("live") });
  const field = element("textarea", { rows: 2, placeholder: "Lily and Sue went to the park.", "aria-label": "A text of your own" });
  const send = press("Read it", () => {
    if (field.value === bundle.typed.text) return show(); // it has been read
    say("reading");
    model.set("typed", field.value);
    model.save_changes?.();
  });
  box.append(field, send);
  const read = () => {
    const answer = model.get("answer") ?? {};
    if (answer.error) say(answer.error);
    if (!answer.tokens) return;
    const firings = Object.entries(answer.firings).map(([latent, [places, values]]) => [+latent, places.map((place, k) => [place, values[k]])]);
    bundle.typed = { text: answer.text, words: answer.tokens, parts: partsOf(answer.parts ?? []), firings: new Map(firings) };
    show();
    say(`${answer.tokens.length} tokens`);
  };
  model.on?.("change:answer", read);
  closing.push(() => model.off?.("change:answer", read));
  return { element: box };
}
