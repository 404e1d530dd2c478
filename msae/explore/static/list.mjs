// The list of all latents. Of 25,000 rows only those in sight are in the page.
import { amount, dotted, element, option, percent, plural, visible } from "./dom.mjs";

const ROW = 44; // pixels
const SPARE = 6; // rows drawn above and below those in sight

// app: { bundle, say }. choose(latent): what happens when a row is chosen.
export function latentList({ bundle, say }, choose) {
  const find = element("input", { type: "search", placeholder: "find a latent", "aria-label": "Find a latent by number, name or token" });
  const order = element("select", { "aria-label": "Order of the latents" },
    option("number", "in order"), option("density", "most frequent first"), option("max", "strongest first"));
  const list = element("div", { className: "list", role: "listbox", tabIndex: 0, "aria-label": "Latents" });
  const space = element("div", { role: "presentation" });
  list.append(space);
  space.style.height = `${bundle.id.length * ROW}px`;
  const everything = bundle.id.map((_, i) => i);
  let names = null; // made at the first search: 25,000 take a while
  const by = { density: (i) => bundle.density(i), max: (i) => bundle.max[i] };
  let shown = everything;
  let current = -1;
  let waiting = false;

  function draw() {
    waiting = false;
    const from = Math.max(0, Math.floor(list.scrollTop / ROW) - SPARE);
    const rows = shown.slice(from, from + Math.ceil((list.clientHeight || 600) / ROW) + 2 * SPARE);
    space.replaceChildren(...rows.map((i, k) => row(i, from + k)));
    if (rows.includes(current)) list.setAttribute("aria-activedescendant", `row-${current}`);
    else list.removeAttribute("aria-activedescendant");
  }

  function row(i, k) {
    const often = bundle.scanned[i] ? `${percent(bundle.density(i))} of tokens, max ${amount(bundle.max[i])}` : "never fires";
    const made = element("div", {
      className: "row", role: "option", id: `row-${i}`, "aria-selected": String(i === current), "aria-posinset": k + 1, "aria-setsize": shown.length, "data-row": i,
    }, element("div", {}, element("b", {}, bundle.id[i]), " ", bundle.name(i, dotted)), element("small", {}, often));
    made.style.top = `${k * ROW}px`;
    return made;
  }

  // Marks a latent and brings it into sight.
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
    const words = find.value.trim().toLowerCase();
    names ??= bundle.id.map((id, i) => `${id} ${bundle.label[i]} ${bundle.topTokens(i, visible)}`.toLowerCase());
    shown = words ? everything.filter((i) => names[i].includes(words)) : everything;
    const value = by[order.value];
    if (value) shown = [...shown].sort((a, b) => value(b) - value(a));
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
    const chosen = event.target.closest(".row");
    if (chosen) choose(+chosen.dataset.row);
  });
  list.addEventListener("keydown", (event) => {
    const page = Math.max(1, Math.floor(list.clientHeight / ROW) - 1);
    const way = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity }[event.key];
    if (!way || !shown.length) return;
    event.preventDefault();
    choose(shown[Math.max(0, Math.min(shown.length - 1, shown.indexOf(current) + way))]);
  });
  const side = element("div", { className: "side" }, find, order, list);
  return { element: side, mark };
}
