/** @file What a search found: a line for each SAE, and of those that stand side by side the latents that fit best. */
import { amount, count, dotted, element, origin, percent, plural, press } from "./dom.mjs";
import { evenly, passage } from "./examples.mjs";
import { f1Intervals } from "./rank.mjs";
import { textsPanel } from "./texts.mjs";

/** @import { Bundle } from "./bundle.mjs" */
/** @import { Passage } from "./examples.mjs" */
/** @import { App } from "./explorer.mjs" */
/** @import { Row, Spread } from "./rank.mjs" */

/** @typedef {{ sae: string, rows: Row[], spread: Spread, luck: number }} Part the results of one SAE */
/** @typedef {{ mask: Uint8Array, parts: Part[] }} Found mask: one byte per position */

const SHOWN = 10;

/** @type {Record<string, { text: string, value: (row: Row) => number }>} */
export const ORDERS = {
  f1: { text: "best F1", value: (row) => row.f1 },
  precision: { text: "most precise", value: (row) => row.precision + row.recall / 100 },
  recall: { text: "highest recall", value: (row) => row.recall + row.precision / 100 },
  cosine: { text: "largest cosine", value: (row) => row.cosine },
};

/**
 * Columns of the table, and what is said of each. A narrow one leaves out `above`, and `cosine` unless that is the order: the style sheet
 * knows columns by these names.
 *
 * @param {Bundle} bundle
 */
const columnsOf = ({ terms }) => ({
  latent: "",
  F1: `and the interval of ${percent(terms.confidence)} of redraws of the texts`,
  precision: "share of the firings that are on the pattern",
  recall: "share of the pattern that is caught",
  above: "firings count above this share of the maximum",
  cosine: "of the activations with the marks",
  texts: "",
});

/**
 * @param {App} app
 * @param {Found} found
 * @param {Set<string>} beside the SAEs whose latents stand side by side
 * @param {string} order of ORDERS
 */
export async function resultsOf(app, found, beside, order) {
  const passages = withHits(app.bundle, found.mask), { parts } = found;
  const columns = element("div", { className: "columns" });
  /** A column is made when it is asked for. @type {Map<string, HTMLElement>} */
  const drawn = new Map();
  const arrange = async () => {
    const shown = [];
    for (const part of parts.filter(({ sae }) => beside.has(sae))) {
      const made = drawn.get(part.sae) ?? await column(app, found.mask, part, passages, order);
      drawn.set(part.sae, made);
      shown.push(made);
    }
    columns.replaceChildren(...shown);
  };
  await arrange();
  return parts.length > 1 ? [overview(app, parts, beside, arrange), columns] : [columns];
}

/**
 * One line per SAE, and a box to choose which stand side by side.
 *
 * @param {App} app
 * @param {Part[]} parts
 * @param {Set<string>} beside
 * @param {() => Promise<void>} arrange
 */
function overview({ bundle, say }, parts, beside, arrange) {
  const { share, min_precision: least } = bundle.terms;
  const columns = ["latents", "L0", "best F1", "by luck", `for ${percent(share)}`];
  /** @param {"th" | "td"} tag @param {number} k @param {string} text @param {Record<string, string>} [more] */
  const cell = (tag, k, text, more = {}) => element(tag, { className: columns[k] === "by luck" ? "of-luck" : "", ...more }, text);
  const lines = parts.map(({ sae, rows, spread, luck }) => {
    const known = bundle.saes.get(sae);
    const box = element("input", { type: "checkbox", checked: beside.has(sae), "aria-label": `Show the latents of ${sae}` });
    box.addEventListener("change", async () => {
      beside[box.checked ? "add" : "delete"](sae);
      await arrange();
      say(`${sae} is ${box.checked ? "shown" : "hidden"}`);
    });
    const best = Math.max(0, ...rows.map((row) => row.f1)), pieces = spread.complete ? count(spread.latents.length) : "never";
    const cells = [count(known?.n_latents ?? 0), known?.l0 === undefined ? "" : amount(known.l0), amount(best), amount(luck), pieces];
    const name = element("th", { scope: "row" }, element("label", {}, box, ` ${sae}`));
    return element("tr", {}, name, ...cells.map((text, k) => cell("td", k, text)));
  });
  const names = [element("th", { scope: "col" }, "SAE"), ...columns.map((name, k) => cell("th", k, name, { scope: "col" }))];
  const caption = `The SAEs on this pattern. For ${percent(share)}: latents of precision ${least} or more that together catch it.`;
  const table = element("table", { className: "overview" },
    element("caption", {}, caption), element("thead", {}, element("tr", {}, ...names)), element("tbody", {}, ...lines));
  return element("div", { className: "scroll", tabIndex: 0, role: "region", "aria-label": "The SAEs on this pattern" }, table);
}

/**
 * The latents of an SAE that fit best, and texts that one of them colours.
 *
 * @param {App} app
 * @param {Uint8Array} mask
 * @param {Part} part
 * @param {Passage[]} passages
 * @param {string} order
 */
async function column(app, mask, { sae, rows, spread, luck }, passages, order) {
  const { bundle, say } = app, { value } = ORDERS[order];
  const best = [...rows].sort((a, b) => value(b) - value(a)).slice(0, SHOWN);
  const intervals = await f1Intervals(bundle, mask, best);
  const panel = textsPanel(app, `Texts with the pattern, ${sae}`);
  const name = element("p", { className: "quiet" });
  const lines = best.map((row, k) => line(app, row, intervals[k], (latent) => {
    colour(latent);
    say(`texts coloured by ${bundle.id[latent]}`);
  }));
  const columns = Object.entries(columnsOf(bundle));
  const names = columns.map(([text, title]) => element("th", { scope: "col", title, className: `of-${text}` }, text));
  const table = element("table", { className: `by-${order}` },
    element("thead", {}, element("tr", {}, ...names)), element("tbody", {}, ...lines));
  const chance = `By luck alone, the same marks moved along the texts, the best latent of ${sae} reaches F1 ${amount(luck)}.`;
  const box = element("section", { className: "column", "aria-label": `SAE ${sae}` },
    element("h4", {}, `${sae}: ${howMany(bundle, sae)}`),
    element("p", { className: "fragmentation" }, inPieces(bundle, spread)),
    element("div", { className: "scroll", tabIndex: 0, role: "region", "aria-label": `Latents of ${sae} that fit` }, table),
    element("p", { className: "quiet" }, chance), name, panel.element);

  /** @param {number} latent */
  async function colour(latent) {
    lines.forEach((each) => each.classList.toggle("chosen", Number(each.dataset.rank) === latent));
    const id = bundle.id[latent];
    name.textContent = `Underlined: the pattern. Coloured: ${id}. Dashed: the pattern, and ${id} is silent.`;
    await panel.show(passages, latent, { hits: mask, missed: true });
  }
  if (best.length) await colour(best[0].latent);
  return box;
}

/** @param {App} app @param {Row} row @param {{ low: number, high: number }} interval @param {(latent: number) => void} colour */
function line({ bundle, go }, { latent, f1, precision, recall, level, cosine }, { low, high }, colour) {
  const name = bundle.name(latent, dotted);
  const open = press(bundle.id[latent], () => go({ latent, pinned: -1, view: "latent" }, { focus: true }));
  open.setAttribute("aria-label", `Open ${bundle.id[latent]}`);
  const see = press("show", () => colour(latent));
  see.setAttribute("aria-label", `Colour the texts by ${bundle.id[latent]}`);
  const values = { precision: amount(precision), recall: amount(recall), above: `${100 * level} %`, cosine: amount(cosine) };
  const first = element("th", { scope: "row" }, open, " ", element("span", { className: "name", title: name }, name));
  const second = element("td", {}, amount(f1), element("small", {}, ` ${amount(low)}–${amount(high)}`));
  const cells = Object.entries(values).map(([column, text]) => element("td", { className: `of-${column}` }, text));
  /** @param {Event} event */
  const choose = (event) => origin(event, "button") || see.click(); // the button may lie beyond the edge, the row does not
  return element("tr", { "data-rank": latent, onclick: choose }, first, second, ...cells, element("td", {}, see));
}

/** Some texts of the sample that have a match, spread over all of them. @param {Bundle} bundle @param {Uint8Array} mask */
function withHits(bundle, mask) {
  /** @type {number[]} */
  const first = [];
  for (let text = 0; text < bundle.manifest.n_sample; text++) {
    const hit = mask.subarray(bundle.starts[text], bundle.starts[text + 1]).indexOf(1);
    if (hit >= 0) first.push(bundle.starts[text] + hit);
  }
  const some = evenly(first, Math.min(6, bundle.nExamples));
  return some.map((position) => passage(bundle, position, bundle.manifest.window));
}

/** @param {Bundle} bundle @param {string} sae */
function howMany(bundle, sae) {
  const some = bundle.latentsOf(sae).length, all = bundle.saes.get(sae)?.n_latents ?? some;
  return some < all ? `${count(some)} of ${plural(all, "latent")} are on this page` : plural(all, "latent");
}

/** @param {Bundle} bundle @param {Spread} spread */
function inPieces({ id, terms }, { latents, recall, complete }) {
  const least = terms.min_precision;
  if (!latents.length) return `Fragmentation: no latent has a precision of ${least}, so none can be put together.`;
  const named = latents.slice(0, 8).map((latent) => id[latent]).join(", ") + (latents.length > 8 ? ", …" : "");
  const [caught, by] = complete ? [percent(terms.share), named] : [`only ${percent(recall)}`, `${named}. No other adds to them`];
  const together = latents.length === 1 ? "catches" : "together catch";
  return `Fragmentation: ${plural(latents.length, "latent")} of precision ${least} or more ${together} ${caught} of the pattern: ${by}.`;
}
