// Latents ranked by how well they fit a token pattern, the SAEs side by side: the same pattern, the same texts.
import { amount, count, dotted, element, option, percent, plural } from "./dom.mjs";
import { press } from "./chips.mjs";
import { closeMatcher, matchPattern } from "./matcher.mjs";
import { f1Intervals, fragmentation, rank } from "./rank.mjs";
import { textsPanel } from "./texts.mjs";

const SHOWN = 10;
const ORDERS = {
  f1: ["best F1", (row) => row.f1],
  precision: ["most precise", (row) => row.precision + row.recall / 100],
  recall: ["highest recall", (row) => row.recall + row.precision / 100],
  cosine: ["largest cosine", (row) => row.cosine],
};
// A narrow column of the page leaves out `above`, and `cosine` unless that is the order: the style sheet knows columns by these names.
const COLUMNS = {
  latent: "",
  F1: "and the interval of 90 % of redraws of the texts",
  precision: "share of the firings that are on the pattern",
  recall: "share of the pattern that is caught",
  above: "firings count above this share of the maximum",
  cosine: "of the activations with the marks",
  texts: "",
};

export function searchView(app) {
  const { bundle, say } = app;
  const page = element("div", { className: "page" });
  const title = element("h3", { tabIndex: -1 }, "Search by token pattern");
  const field = element("textarea", { rows: 1, spellcheck: false, "aria-label": "Token pattern", placeholder: "Lily|Sue" });
  field.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey) return; // with Shift a pattern goes on in the next line
    event.preventDefault();
    form.requestSubmit();
  });
  const order = element("select", { "aria-label": "Order of the results" }, ...Object.entries(ORDERS).map(([value, [text]]) => option(value, text)));
  const form = element("form", { className: "query" }, field, element("button", {}, "Search"), order);
  const message = element("p", { className: "message" });
  const results = element("div");
  page.append(title, form, ...examples(app), message, results);
  app.closing.push(() => closeMatcher(bundle));

  let asked = null; // the query whose results are shown
  let found = null; // { mask, hits, parts: of each SAE its rows, its fragmentation and its luck }
  const saes = [...bundle.saes.keys()].filter((sae) => bundle.latentsOf(sae).length);
  const beside = new Set(saes.slice(-2)); // the SAEs whose latents stand side by side
  let running = {};

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    asked = null;
    app.go({ query: field.value });
  });
  order.addEventListener("change", () => found && draw());

  async function show({ query }) {
    if (query !== asked) field.value = query;
    field.rows = Math.min(6, field.value.split("\n").length);
    if (query === asked) return;
    asked = query;
    if (query.trim()) return search(query);
    running.aborted = true;
    found = null;
    message.textContent = "";
    results.replaceChildren();
  }

  async function search(query) {
    running.aborted = true;
    const mine = (running = { aborted: false });
    const tell = (text, failed) => {
      message.textContent = text;
      message.classList.toggle("error", Boolean(failed));
    };
    tell("matching …");
    try {
      const began = performance.now();
      const mask = await matchPattern(bundle, query);
      const matched = performance.now();
      const ranked = await rank(bundle, mask, (done) => tell(`ranking: ${count(done)} of ${count(bundle.id.length)} latents`), mine);
      if (mine.aborted || !ranked) return;
      const ended = performance.now();
      const { hits, rows, floor } = ranked;
      const parts = await Promise.all(saes.map(async (sae) => {
        const own = rows.filter((row) => bundle.sae(row.latent) === sae);
        return { sae, rows: own, spread: await fragmentation(bundle, mask, hits, own), luck: floor.get(sae) ?? 0 };
      }));
      if (mine.aborted) return;
      found = { mask, hits, parts };
      const where = `${plural(bundle.manifest.n_sample, "text")} of ${count(bundle.sampleEnd)} tokens`;
      const times = `matched in ${Math.round(matched - began)} ms, ranked in ${Math.round(ended - matched)} ms`;
      tell(`${plural(found.hits, "token matches", "tokens match")} in ${where}; ${times}.`);
      await draw();
      say(message.textContent);
    } catch (error) {
      if (mine.aborted) return;
      found = null;
      results.replaceChildren();
      tell(error.message, true);
      say(error.message);
    }
  }

  async function draw() {
    const passages = textsWithHits(), { parts } = found;
    const columns = element("div", { className: "columns" });
    const drawn = new Map(); // a column is made when it is asked for
    const arrange = async () => {
      const shown = parts.filter(({ sae }) => beside.has(sae));
      for (const part of shown) if (!drawn.has(part.sae)) drawn.set(part.sae, await column(part, passages));
      columns.replaceChildren(...shown.map(({ sae }) => drawn.get(sae)));
    };
    await arrange();
    results.replaceChildren(...(parts.length > 1 ? [overview(parts, arrange)] : []), columns);
  }

  // One line per SAE, and a box to choose which stand side by side.
  function overview(parts, arrange) {
    const columns = ["latents", "L0", "best F1", "by luck", "for 90 %"];
    const cell = (tag, k, text, more = {}) => element(tag, { className: columns[k] === "by luck" ? "of-luck" : "", ...more }, text);
    const lines = parts.map(({ sae, rows, spread, luck }) => {
      const { n_latents: latents, l0 } = bundle.saes.get(sae);
      const box = element("input", { type: "checkbox", checked: beside.has(sae), "aria-label": `Show the latents of ${sae}` });
      box.addEventListener("change", async () => {
        beside[box.checked ? "add" : "delete"](sae);
        await arrange();
        say(`${sae} is ${box.checked ? "shown" : "hidden"}`);
      });
      const best = Math.max(0, ...rows.map((row) => row.f1));
      const pieces = spread.complete ? count(spread.latents.length) : "never";
      const cells = [count(latents), l0 === undefined ? "" : amount(l0), amount(best), amount(luck), pieces];
      return element("tr", {}, element("th", { scope: "row" }, element("label", {}, box, ` ${sae}`)), ...cells.map((text, k) => cell("td", k, text)));
    });
    const names = [element("th", { scope: "col" }, "SAE"), ...columns.map((name, k) => cell("th", k, name, { scope: "col" }))];
    const table = element("table", { className: "overview" },
      element("caption", {}, "The SAEs on this pattern. For 90 %: latents of precision 0.8 or more that together catch it."),
      element("thead", {}, element("tr", {}, ...names)), element("tbody", {}, ...lines));
    return element("div", { className: "scroll", tabIndex: 0, role: "region", "aria-label": "The SAEs on this pattern" }, table);
  }

  async function column({ sae, rows, spread, luck }, passages) {
    const value = ORDERS[order.value][1];
    const box = element("section", { className: "column", "aria-label": `SAE ${sae}` });
    const best = [...rows].sort((a, b) => value(b) - value(a)).slice(0, SHOWN);
    const intervals = await f1Intervals(bundle, found.mask, best);
    const panel = textsPanel(app, `Texts with the pattern, ${sae}`);
    const [some, all] = [bundle.latentsOf(sae).length, bundle.saes.get(sae).n_latents];
    const name = element("p", { className: "quiet" });
    const body = element("tbody", {}, ...best.map((row, k) => line(row, intervals[k], (latent) => colour(latent))));
    const names = Object.entries(COLUMNS).map(([text, tip]) => element("th", { scope: "col", title: tip, className: `of-${text}` }, text));
    const head = element("thead", {}, element("tr", {}, ...names));
    const scroll = { className: "scroll", tabIndex: 0, role: "region", "aria-label": `Latents of ${sae} that fit` };
    const chance = `By luck alone, the same marks moved along the texts, the best latent of ${sae} reaches F1 ${amount(luck)}.`;
    box.append(
      element("h4", {}, `${sae}: ${some < all ? `${count(some)} of ${plural(all, "latent")} are on this page` : plural(all, "latent")}`),
      element("p", { className: "fragmentation" }, inPieces(bundle, spread)),
      element("div", scroll, element("table", { className: `by-${order.value}` }, head, body)),
      element("p", { className: "quiet" }, chance), name, panel.element,
    );

    async function colour(latent) {
      body.querySelectorAll("tr").forEach((each) => each.classList.toggle("chosen", +each.dataset.rank === latent));
      name.textContent = `Underlined: the pattern. Coloured: ${bundle.id[latent]}. Dashed: the pattern, and ${bundle.id[latent]} is silent.`;
      await panel.show(passages, latent, { hits: found.mask, missed: true });
    }
    if (best.length) await colour(best[0].latent);
    return box;
  }

  function line(row, [low, high], colour) {
    const name = bundle.name(row.latent, dotted);
    const open = press(bundle.id[row.latent], () => app.go({ latent: row.latent, pinned: -1, view: "latent" }, { focus: true }));
    open.setAttribute("aria-label", `Open ${bundle.id[row.latent]}`);
    const see = press("show", () => {
      colour(row.latent);
      say(`texts coloured by ${bundle.id[row.latent]}`);
    });
    see.setAttribute("aria-label", `Colour the texts by ${bundle.id[row.latent]}`);
    const values = { precision: amount(row.precision), recall: amount(row.recall), above: `${100 * row.threshold} %`, cosine: amount(row.cosine) };
    const f1 = element("td", {}, amount(row.f1), element("small", {}, ` ${amount(low)}–${amount(high)}`));
    const first = element("th", { scope: "row" }, open, " ", element("span", { className: "name", title: name }, name));
    const choose = (event) => event.target.closest("button") || see.click(); // the button may lie beyond the edge, the row does not
    const cells = Object.entries(values).map(([column, text]) => element("td", { className: `of-${column}` }, text));
    return element("tr", { "data-rank": row.latent, onclick: choose }, first, f1, ...cells, element("td", {}, see));
  }

  // Some texts of the sample that have a match, spread over all of them.
  function textsWithHits() {
    const k = Math.min(6, bundle.manifest.n_examples ?? 10);
    const first = new Map();
    for (let position = 0; position < bundle.sampleEnd; position++) {
      if (!found.mask[position]) continue;
      const text = bundle.textOf(position);
      first.set(text, position);
      position = bundle.starts[text + 1] - 1;
    }
    const all = [...first.values()];
    const some = all.length <= k ? all : Array.from({ length: k }, (_, i) => all[Math.floor((i * all.length) / k)]);
    return some.map((position) => bundle.passage(position, bundle.manifest.window));
  }

  return { element: page, show, focus: () => field.focus(), describe: () => title.textContent };
}

// Patterns that the host page offers to try.
function examples({ model, go }) {
  const offered = model.get("examples") ?? [];
  const buttons = offered.map(([name, pattern]) => {
    const made = press(name, () => go({ query: pattern }));
    made.title = pattern;
    return made;
  });
  return buttons.length ? [element("div", { className: "group", role: "group", "aria-label": "Patterns to try" }, element("span", { className: "quiet" }, "Try"), ...buttons)] : [];
}

function inPieces(bundle, { latents, recall, complete }) {
  if (!latents.length) return "Fragmentation: no latent has a precision of 0.8, so none can be put together.";
  const named = latents.slice(0, 8).map((latent) => bundle.id[latent]).join(", ") + (latents.length > 8 ? ", …" : "");
  const one = latents.length === 1;
  const [caught, by] = complete ? ["90 %", named] : [`only ${percent(recall)}`, `${named}. No other adds to them`];
  return `Fragmentation: ${plural(latents.length, "latent")} of precision 0.8 or more ${one ? "catches" : "together catch"} ${caught} of the pattern: ${by}.`;
}
