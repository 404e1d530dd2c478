/** @file The list of all latents. Of 25,000 rows only those in sight are in the page. */
import { amount, dotted, element, option, origin, percent, plural, visible } from "./dom.mjs";

/** @import { Bundle } from "./bundle.mjs" */
/** @import { App } from "./explorer.mjs" */

const ROW = 44; // pixels
const SPARE = 6; // rows drawn above and below those in sight

/** @param {Pick<App, "bundle" | "say">} app @param {(latent: number) => void} choose what happens when a row is chosen */
export function latentList({ bundle, say }, choose) {
  const find = element("input", { type: "search", placeholder: "find a latent", "aria-label": "Find a latent by number, name or token" });
  const order = element("select", { "aria-label": "Order of the latents" },
    option("number", "in order"), option("density", "most frequent first"), option("max", "strongest first"));
  const list = element("div", { className: "list", role: "listbox", tabIndex: 0, "aria-label": "Latents" });
  const space = element("div", { role: "presentation" });
  list.append(space);
  space.style.height = `${bundle.id.length * ROW}px`;
  const sifted = sieve(bundle);
  let shown = sifted("", "number");
  let current = -1;
  let waiting = false;

  function draw() {
    waiting = false;
    const from = Math.max(0, Math.floor(list.scrollTop / ROW) - SPARE);
    const rows = shown.slice(from, from + Math.ceil((list.clientHeight || 600) / ROW) + 2 * SPARE);
    space.replaceChildren(...rows.map((i, k) => row(bundle, i, { place: from + k, of: shown.length, selected: i === current })));
    if (rows.includes(current)) list.setAttribute("aria-activedescendant", `row-${current}`);
    else list.removeAttribute("aria-activedescendant");
  }

  /** Marks a latent and brings it into sight. @param {number} latent */
  function mark(latent) {
    current = latent;
    const k = shown.indexOf(latent);
    if (k >= 0) {
      const top = k * ROW, room = list.clientHeight || ROW;
      if (top < list.scrollTop) list.scrollTop = top;
      else if (top + ROW > list.scrollTop + room) list.scrollTop = top + ROW - room;
    }
    draw();
  }

  function sift() {
    shown = sifted(find.value, order.value);
    space.style.height = `${shown.length * ROW}px`;
    list.scrollTop = 0;
    draw();
    say(plural(shown.length, "latent"));
  }

  find.addEventListener("input", sift);
  order.addEventListener("change", sift);
  list.addEventListener("scroll", () => {
    if (!waiting) requestAnimationFrame(draw);
    waiting = true;
  });
  list.addEventListener("click", (event) => {
    const chosen = origin(event, ".row");
    if (chosen) choose(Number(chosen.dataset.row));
  });
  list.addEventListener("keydown", (event) => {
    const way = step(event.key, Math.max(1, Math.floor(list.clientHeight / ROW) - 1));
    if (!way || !shown.length) return;
    event.preventDefault();
    choose(shown[Math.max(0, Math.min(shown.length - 1, shown.indexOf(current) + way))]);
  });
  return { element: element("div", { className: "side" }, find, order, list), mark };
}

/** How far a key leads. @param {string} key @param {number} page rows in sight @returns {number | undefined} */
function step(key, page) {
  const ways = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
  return new Map(Object.entries(ways)).get(key);
}

/** The latents with these words in number, name or tokens. @param {Bundle} bundle @returns {(words: string, order: string) => number[]} */
function sieve(bundle) {
  const everything = bundle.id.map((_, i) => i);
  /** Made at the first search: 25,000 take a while. @type {string[] | null} */
  let names = null;
  /** @param {number} i */
  const nameOf = (i) => `${bundle.id[i]} ${bundle.label[i]} ${bundle.topTokens(i, visible)}`.toLowerCase();
  return (words, order) => {
    const wanted = words.trim().toLowerCase(), known = (names ??= wanted ? everything.map(nameOf) : null);
    const found = everything.filter((i) => !wanted || known?.[i].includes(wanted));
    if (order === "density") return found.sort((a, b) => bundle.density(b) - bundle.density(a));
    return order === "max" ? found.sort((a, b) => bundle.max[b] - bundle.max[a]) : found;
  };
}

/** @param {Bundle} bundle @param {number} i @param {{ place: number, of: number, selected: boolean }} shown */
function row(bundle, i, { place, of, selected }) {
  const often = bundle.scanned[i] ? `${percent(bundle.density(i))} of tokens, max ${amount(bundle.max[i])}` : "never fires";
  const name = element("div", {}, element("b", {}, bundle.id[i]), " ", bundle.name(i, dotted));
  const made = element("div", {
    className: "row", role: "option", id: `row-${i}`, "aria-selected": String(selected), "aria-posinset": place + 1, "aria-setsize": of,
    "data-row": i,
  }, name, element("small", {}, often));
  made.style.top = `${place * ROW}px`;
  return made;
}
