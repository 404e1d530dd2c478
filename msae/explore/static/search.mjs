/** @file Latents ranked by how well they fit a token pattern, the SAEs side by side: the same pattern, the same texts. */
import { count, element, inWords, option, plural, press } from "./dom.mjs";
import { patternSearch } from "./matcher.mjs";
import { fragmentation, rank } from "./rank.mjs";
import { ORDERS, resultsOf } from "./results.mjs";

/** @import { Bundle } from "./bundle.mjs" */
/** @import { App, View } from "./explorer.mjs" */
/** @import { Found } from "./results.mjs" */

/** @param {App} app @returns {View} */
export function searchView(app) {
  const { bundle, say } = app;
  const page = element("div", { className: "page" });
  const title = element("h3", { tabIndex: -1 }, "Search by token pattern");
  const { form, field, order, fit } = queryForm((query) => {
    asked = null;
    app.go({ query });
  });
  const outcome = outcomeOf();
  page.append(title, form, ...offered(app), ...outcome.elements);
  const patterns = patternSearch(bundle, app.worker);
  app.closing.push(patterns.close);

  const beside = new Set(saesOf(bundle).slice(-2)); // the SAEs whose latents stand side by side
  /** The query whose results are shown. @type {string | null} */
  let asked = null;
  /** @type {Found | null} */
  let found = null;
  let running = { aborted: false };
  order.addEventListener("change", () => draw());

  /** @type {View["show"]} */
  async function show({ query }) {
    if (query !== asked) field.value = query;
    fit();
    if (query === asked) return undefined;
    asked = query;
    running.aborted = true;
    running = { aborted: false };
    if (query.trim()) return search(query, running);
    found = null;
    return outcome.clear("");
  }

  /** @param {string} query @param {typeof running} mine */
  async function search(query, mine) {
    outcome.tell("matching …");
    try {
      const answer = await searched(bundle, patterns, query, mine, outcome.tell);
      if (!answer || mine.aborted) return;
      found = answer;
      outcome.tell(answer.said);
      await draw();
      say(answer.said);
    } catch (error) {
      if (mine.aborted) return;
      found = null;
      outcome.clear(inWords(error));
      say(inWords(error));
    }
  }

  async function draw() {
    if (found) outcome.show(await resultsOf(app, found, beside, order.value));
  }

  return { element: page, show, focus: () => field.focus(), describe: () => title.textContent };
}

/** What came of a search: a sentence, and results below it. */
function outcomeOf() {
  const message = element("p", { className: "message" });
  const results = element("div");
  /** @param {string} text */
  function tell(text, failed = false) {
    message.textContent = text;
    message.classList.toggle("error", failed);
  }
  return {
    elements: [message, results],
    tell,
    /** @param {HTMLElement[]} found */
    show: (found) => results.replaceChildren(...found),
    /** No results, and why. @param {string} why */
    clear(why) {
      results.replaceChildren();
      tell(why, why !== "");
    },
  };
}

/**
 * What a pattern finds, and that in a sentence; null if aborted.
 *
 * @param {Bundle} bundle
 * @param {{ marked: (query: string) => Promise<Uint8Array> }} patterns
 * @param {string} query
 * @param {{ aborted: boolean }} signal
 * @param {(text: string) => void} tell how far it is
 * @returns {Promise<Found & { said: string } | null>}
 */
async function searched(bundle, patterns, query, signal, tell) {
  const began = performance.now();
  const mask = await patterns.marked(query);
  const matched = performance.now();
  const ranked = await rank(bundle, mask, (done) => tell(`ranking: ${count(done)} of ${count(bundle.id.length)} latents`), signal);
  if (signal.aborted || !ranked) return null;
  const ended = performance.now();
  const parts = await Promise.all(saesOf(bundle).map(async (sae) => {
    const rows = ranked.rows.filter((row) => bundle.sae(row.latent) === sae);
    return { sae, rows, spread: await fragmentation(bundle, mask, ranked.hits, rows), luck: ranked.floor.get(sae) ?? 0 };
  }));
  const where = `${plural(bundle.manifest.n_sample, "text")} of ${count(bundle.sampleEnd)} tokens`;
  const times = `matched in ${Math.round(matched - began)} ms, ranked in ${Math.round(ended - matched)} ms`;
  return { mask, parts, said: `${plural(ranked.hits, "token matches", "tokens match")} in ${where}; ${times}.` };
}

/** The SAEs that have latents here. @param {Bundle} bundle */
const saesOf = (bundle) => [...bundle.saes.keys()].filter((sae) => bundle.latentsOf(sae).length);

/** @param {(query: string) => void} submit */
function queryForm(submit) {
  const field = element("textarea", { rows: 1, spellcheck: false, "aria-label": "Token pattern", placeholder: "Lily|Sue" });
  field.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey) return; // with Shift a pattern goes on in the next line
    event.preventDefault();
    form.requestSubmit();
  });
  const options = Object.entries(ORDERS).map(([value, { text }]) => option(value, text));
  const order = element("select", { "aria-label": "Order of the results" }, ...options);
  const form = element("form", { className: "query" }, field, element("button", {}, "Search"), order);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    submit(field.value);
  });
  /** Makes the field as high as its pattern, up to some lines: what is wrapped out of sight is not read. */
  function fit() {
    field.style.height = "auto";
    if (field.scrollHeight) field.style.height = `${Math.min(320, field.scrollHeight + field.offsetHeight - field.clientHeight)}px`;
  }
  field.addEventListener("input", fit);
  new ResizeObserver(fit).observe(form);
  return { form, field, order, fit };
}

/** Patterns that the host page offers to try. @param {App} app */
function offered({ model, go }) {
  const buttons = (model.get("examples") ?? []).map(([name, query]) => Object.assign(press(name, () => go({ query })), { title: query }));
  const label = element("span", { className: "quiet" }, "Try");
  return buttons.length ? [element("div", { className: "group", role: "group", "aria-label": "Patterns to try" }, label, ...buttons)] : [];
}
