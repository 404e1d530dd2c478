// The explorer's front end: one anywidget module without dependencies; the static page calls mount() with the same code.
//
// The data, msae-explorer/1: vocab: texts of tokens. latents: columns id, label, n (firings), density, max, tokens (for each
// [kind, firing, occurring, mean, max]) and examples (for each [text, first place, length, firings]). The windows of all examples lie one
// behind the other in `tokens` (kinds, base64 of little-endian unsigned numbers), their firings in `fire_place` (place in the window)
// and `fire_value` (65,535 is the latent's maximum).

const CSS = `
:host { display: block; container-type: inline-size; color-scheme: light dark; text-align: left; margin: 8px 0; }
* { box-sizing: border-box; }
.all { --blue: 31 111 235; --line: 128 128 128; display: grid; grid-template-columns: minmax(150px, 220px) minmax(0, 1fr); gap: 16px;
  position: relative; font: 14px/1.5 system-ui, sans-serif; color: inherit; }
button, input, select { font: inherit; color: inherit; background: transparent; border: 1px solid rgb(var(--line) / .6); border-radius: 6px;
  padding: 3px 8px; width: 100%; min-width: 0; }
option { background: Canvas; color: CanvasText; }
:focus-visible { outline: 2px solid rgb(var(--blue)); outline-offset: 1px; }
.side { display: flex; flex-direction: column; gap: 6px; min-width: 0; }
.list { height: 30em; overflow-y: auto; border: 1px solid rgb(var(--line) / .4); border-radius: 8px; position: relative; }
.row { padding: 4px 8px; cursor: pointer; border-bottom: 1px solid rgb(var(--line) / .18); }
.row div { white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
.row small { display: block; opacity: .8; font-size: 12px; font-variant-numeric: tabular-nums; }
.row:hover { background: rgb(var(--line) / .12); }
.row[aria-selected=true] { background: rgb(var(--blue) / .2); box-shadow: inset 3px 0 rgb(var(--blue)); }
h3 { margin: 0 0 2px; font-size: 17px; line-height: 1.3; } h4 { margin: 14px 0 4px; font-size: 14px; }
p { margin: 0 0 4px; } .quiet { opacity: .85; }
table { border-collapse: collapse; font-size: 13px; width: 100%; max-width: 30em; font-variant-numeric: tabular-nums; }
th, td { padding: 1px 8px; text-align: right; border-bottom: 1px solid rgb(var(--line) / .25); font-weight: 400; white-space: nowrap; }
thead th { opacity: .85; font-size: 12px; } th:first-child { text-align: left; padding-left: 0; }
.texts { border-radius: 6px; }
.text { padding: 5px 4px; border-top: 1px solid rgb(var(--line) / .28); white-space: pre-wrap; overflow-wrap: anywhere; line-height: 1.65; }
.t { border-radius: 3px; padding: 1px 0; background: rgb(var(--blue) / var(--a, 0)); cursor: default; }
.t.now { outline: 2px solid currentColor; outline-offset: 1px; }
.token { font-family: ui-monospace, monospace; background: rgb(var(--line) / .16); border-radius: 3px; padding: 0 3px; }
.tip { position: absolute; z-index: 9; pointer-events: none; background: #1c2733; color: #fff; border-radius: 6px; padding: 4px 9px; width: max-content;
  max-width: min(280px, 90%); font-size: 13px; line-height: 1.4; white-space: pre-wrap; overflow-wrap: anywhere; box-shadow: 0 2px 8px rgb(0 0 0 / .35);
  border: 1px solid rgb(255 255 255 / .25); }
.tip[hidden] { display: none; }
.heard { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
.alone { grid-template-columns: minmax(0, 1fr); } .alone .side { display: none; }
@container (max-width: 560px) { .all { grid-template-columns: minmax(0, 1fr); } .list { height: 10.5em; } }
@media (forced-colors: active) { .t[data-value] { outline: 1px solid; } .row[aria-selected=true] { outline: 2px solid; } }
`;

function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [key, value] of Object.entries(properties)) {
    if (key in made && key !== "role") made[key] = value;
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

// ---------------------------------------------------------------- data

function numbers(text, bytes) {
  const raw = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  return bytes === 4 ? new Uint32Array(raw.buffer) : new Uint16Array(raw.buffer);
}

class Data {
  constructor(data) {
    if (data.schema !== "msae-explorer/1") throw new Error(`cannot read explorer data of the form ${data.schema}`);
    Object.assign(this, data.latents);
    this.vocab = data.vocab;
    this.nTokens = data.n_tokens;
    this.stream = numbers(data.tokens, data.token_bytes);
    this.places = numbers(data.fire_place, 2);
    this.values = numbers(data.fire_value, 2);
    this.index = new Map(this.id.map((id, i) => [id, i]));
    let token = 0, fire = 0;
    this.start = this.examples.map((examples) => examples.map(([, , length, firings]) => {
      const at = [token, fire];
      token += length;
      fire += firings;
      return at;
    }));
  }

  // The e-th window of a latent: its text, the token kinds, and the activation at each place.
  window(latent, e) {
    const [text, first, length, firings] = this.examples[latent][e];
    const [token, fire] = this.start[latent][e];
    const acts = new Float64Array(length);
    for (let k = fire; k < fire + firings; k++) acts[this.places[k]] = (this.values[k] / 65535) * this.max[latent];
    return { text, first, kinds: this.stream.subarray(token, token + length), acts };
  }

  name(latent) {
    return this.label[latent] || this.tokens[latent].slice(0, 4).map((t) => visible(this.vocab[t[0]])).join(" ") || "never fires";
  }

  tokensOf(latent) {
    return this.nTokens[this.id[latent].slice(0, this.id[latent].lastIndexOf("/"))];
  }
}

// A token as one sees it: a newline is an arrow, a lone space a dot, a sign without a picture its number.
function visible(text) {
  if (text === "") return "(empty)";
  const seen = text.replace(/\r?\n/g, "↵").replace(/\t/g, "⇥");
  const named = seen.replace(/[\u0000-\u001f\u007f-\u009f\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u2064\ufeff]|\p{Cs}/gu, (c) => `⟨${c.codePointAt(0).toString(16)}⟩`);
  return /^\s+$/.test(named) ? "·".repeat(named.length) : named;
}

const percent = (share) => (100 * share).toLocaleString("en", { maximumSignificantDigits: 2 }) + " %";
const amount = (x) => x.toFixed(2);

// ---------------------------------------------------------------- view

function render({ model, el }) {
  const given = model.get("data");
  const D = new Data(typeof given === "string" ? JSON.parse(given) : given);
  const shadow = el.shadowRoot || el.attachShadow({ mode: "open" });
  let current = -1;
  let shown = D.id.map((_, i) => i);
  let now = null; // the token that is read out
  let windows = [];

  const find = element("input", { type: "search", placeholder: "find a latent", "aria-label": "Find a latent by number, name or token" });
  const order = element("select", { "aria-label": "Order of the latents" },
    ...[["number", "in order"], ["density", "most frequent first"], ["max", "strongest first"]].map(([value, text]) => element("option", { value }, text)));
  const list = element("div", { className: "list", role: "listbox", tabIndex: 0, "aria-label": "Latents" });
  const title = element("h3");
  const numbersLine = element("p", { className: "quiet" });
  const table = element("div");
  const hint = element("p", { className: "quiet" }, "Point at a token, or step through them with the arrow keys; with Shift from one firing to the next.");
  const texts = element("div", { className: "texts", role: "group", tabIndex: 0, "aria-label": "Strongest texts: arrow keys move between tokens" });
  const page = element("div", { className: "page" }, title, numbersLine, element("h4", {}, "Strongest tokens"), table, element("h4", {}, "Strongest texts"), hint, texts);
  const tip = element("div", { className: "tip", role: "tooltip", hidden: true });
  const heard = element("div", { className: "heard", role: "status", "aria-live": "polite" });
  const all = element("div", { className: D.id.length > 1 ? "all" : "all alone" }, element("div", { className: "side" }, find, order, list), page, tip, heard);
  shadow.replaceChildren(element("style", {}, CSS), all);

  function drawList() {
    list.replaceChildren(...shown.map((i) => element("div", { className: "row", role: "option", id: `row-${i}`, "aria-selected": String(i === current), "data-latent": i },
      element("div", {}, element("b", {}, D.id[i]), " ", D.name(i)), element("small", {}, D.n[i] ? `${percent(D.density[i])} of tokens, max ${amount(D.max[i])}` : "never fires"))));
    mark();
  }

  function mark() {
    for (const row of list.children) row.setAttribute("aria-selected", String(+row.dataset.latent === current));
    const row = list.querySelector(`#row-${current}`);
    if (!row) return list.removeAttribute("aria-activedescendant");
    list.setAttribute("aria-activedescendant", row.id);
    const low = row.offsetTop, high = low + row.offsetHeight;
    if (low < list.scrollTop) list.scrollTop = low;
    else if (high > list.scrollTop + list.clientHeight) list.scrollTop = high - list.clientHeight;
  }

  function sift() {
    const words = find.value.trim().toLowerCase();
    const by = order.value;
    shown = D.id.map((_, i) => i).filter((i) => !words || `${D.id[i]} ${D.name(i)}`.toLowerCase().includes(words));
    if (by !== "number") shown.sort((a, b) => D[by][b] - D[by][a]);
    drawList();
    heard.textContent = `${shown.length} latents`;
  }

  function drawLatent() {
    const i = current;
    now = null;
    tip.hidden = true;
    title.textContent = `Latent ${D.id[i]}` + (D.label[i] ? `: ${D.label[i]}` : "");
    numbersLine.textContent = D.n[i]
      ? `Fires on ${D.n[i].toLocaleString("en")} of ${D.tokensOf(i).toLocaleString("en")} tokens (${percent(D.density[i])}), with at most ${amount(D.max[i])}.`
      : `Silent on all ${D.tokensOf(i).toLocaleString("en")} tokens.`;
    const head = element("thead", {}, element("tr", {}, ...["token", "fires on", "mean", "max"].map((name) => element("th", { scope: "col" }, name))));
    const body = element("tbody", {}, ...D.tokens[i].map(([kind, firing, occurring, mean, max]) => element("tr", {},
      element("th", { scope: "row" }, element("span", { className: "token" }, visible(D.vocab[kind]).replace(/^ /, "·"))),
      ...[`${firing.toLocaleString("en")} of ${occurring.toLocaleString("en")}`, amount(mean), amount(max)].map((text) => element("td", {}, text)))));
    table.replaceChildren(D.n[i] ? element("table", {}, head, body) : "");
    windows = D.examples[i].map((_, e) => D.window(i, e));
    texts.replaceChildren(...windows.map((window, e) => {
      const row = element("div", { className: "text", "data-text": e }, window.first > 1 ? "… " : "");
      window.kinds.forEach((kind, place) => {
        const text = D.vocab[kind];
        const space = text.length > 1 && text[0] === " " ? " " : "";
        if (space && place) row.append(space); // outside the colour: no coloured sliver at the end of a line
        const span = element("span", { className: "t" }, visible(text.slice(space.length)));
        span.place = place;
        if (window.acts[place] > 0) {
          span.dataset.value = amount(window.acts[place]);
          span.style.setProperty("--a", (0.12 + (0.48 * window.acts[place]) / D.max[i]).toFixed(3));
        }
        row.append(span);
        if (text.includes("\n")) row.append("\n");
      });
      return row;
    }));
    texts.hidden = hint.hidden = !windows.length;
  }

  // Says which token this is and how strongly the latent fires on it, in the tooltip and to a screen reader.
  function read(span, aloud) {
    now?.classList.remove("now");
    now = span;
    now.classList.add("now");
    const window = windows[+span.parentNode.dataset.text];
    const act = window.acts[span.place];
    const token = visible(D.vocab[window.kinds[span.place]]);
    const strength = act > 0 ? `${amount(act)}, ${Math.round((100 * act) / D.max[current])} % of its maximum` : "silent";
    tip.textContent = `“${token}” ${strength}\ntext ${window.text}, place ${window.first + span.place}`;
    if (aloud) heard.textContent = `${token}: ${strength}`;
    tip.hidden = false;
    const box = all.getBoundingClientRect(), at = span.getClientRects()[0] || span.getBoundingClientRect();
    tip.style.left = `${Math.max(0, Math.min(at.left - box.left, box.width - tip.offsetWidth))}px`;
    const below = at.bottom - box.top + 6, above = at.top - box.top - tip.offsetHeight - 6;
    tip.style.top = `${at.bottom + tip.offsetHeight + 8 > globalThis.innerHeight && at.top > tip.offsetHeight + 8 ? above : below}px`;
  }

  function still() {
    now?.classList.remove("now");
    now = null;
    tip.hidden = true;
  }

  function choose(i, tell = true) {
    if (i === undefined || i === current) return;
    current = i;
    mark();
    drawLatent();
    if (!tell) return;
    heard.textContent = `${title.textContent}. ${numbersLine.textContent}`;
    try {
      model.set("latent", D.id[i]);
      model.save_changes?.();
    } catch {
      // a page without a kernel has nobody to tell
    }
  }

  function step(from, way, firing) {
    const spans = [...texts.querySelectorAll(".t")];
    for (let k = spans.indexOf(from) + way; k >= 0 && k < spans.length; k += way) if (!firing || spans[k].dataset.value) return spans[k];
    return from;
  }

  function strongest(row) {
    return [...row.querySelectorAll(".t[data-value]")].reduce((a, b) => (a && +a.dataset.value >= +b.dataset.value ? a : b), null) || row.querySelector(".t");
  }

  list.addEventListener("click", (event) => {
    const row = event.target.closest(".row");
    if (row) choose(+row.dataset.latent);
  });
  list.addEventListener("keydown", (event) => {
    const way = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8, Home: -Infinity, End: Infinity }[event.key];
    if (!way || !shown.length) return;
    event.preventDefault();
    choose(shown[Math.max(0, Math.min(shown.length - 1, shown.indexOf(current) + way))]);
  });
  find.addEventListener("input", sift);
  order.addEventListener("change", sift);
  texts.addEventListener("pointerover", (event) => {
    const span = event.target.closest(".t");
    if (span) read(span, true);
  });
  texts.addEventListener("pointerleave", still);
  texts.addEventListener("click", (event) => {
    const span = event.target.closest(".t");
    if (span) read(span, true);
  });
  texts.addEventListener("focus", () => {
    if (!now && texts.firstElementChild && texts.matches(":focus-visible")) read(strongest(texts.firstElementChild), true);
  });
  texts.addEventListener("blur", still);
  texts.addEventListener("keydown", (event) => {
    if (event.key === "Escape") return still();
    const way = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const row = { ArrowDown: "nextElementSibling", ArrowUp: "previousElementSibling" }[event.key];
    if (!way && !row) return;
    event.preventDefault();
    if (!now) return read(strongest(texts.firstElementChild), true);
    if (way) return read(step(now, way, event.shiftKey), true);
    const next = now.parentNode[row];
    if (next) read(strongest(next), true);
    now.scrollIntoView({ block: "nearest" });
  });

  const follow = () => choose(D.index.get(model.get("latent")), false);
  model.on?.("change:latent", follow);
  current = D.index.get(model.get("latent")) ?? 0;
  drawList();
  drawLatent();
  el.dataset.ready = "1";
  return () => {
    model.off?.("change:latent", follow);
    shadow.replaceChildren();
  };
}

// A page without a kernel: the data stand in the host element, behind the words for those without scripts.
function mount(host, latent) {
  const state = { data: host.querySelector('script[type="application/json"]').textContent, latent };
  render({ model: { get: (key) => state[key], set: (key, value) => { state[key] = value; } }, el: host });
}

export default { render };
