// Texts whose tokens are coloured by one latent, with a second one laid over them. One tab stop; arrow keys move between tokens.
import { amount, element, visible } from "./dom.mjs";

// app: { bundle, say, tip }. name: what a screen reader calls the group.
export function textsPanel({ bundle, say, tip }, name) {
  const box = element("div", { className: "texts", role: "group", tabIndex: 0, "aria-label": `${name}: arrow keys move between tokens` });
  let passages = []; // { from, to, row, spans, base: strengths of the latent, over: strengths of the second one }
  let latent = -1, over = -1, holesOf = -1;
  let touched = []; // spans that the second latent changed
  let now = null; // the token that is read out

  // Draws passages [{ from, to, cut }] coloured by a latent. hits: bytes per position, tokens to underline; with `missed`, those on which the
  // latent is silent are holes. chosenFor: the second latent whose holes these texts were chosen for.
  async function show(wanted, of, { hits, missed, chosenFor = -1 } = {}) {
    const firings = await bundle.firings(of);
    [latent, over, holesOf, touched, now] = [of, -1, chosenFor, [], null];
    tip.hide();
    passages = wanted.map((passage, k) => draw(passage, k, bundle.strengths(of, firings, passage.from, passage.to), hits, missed));
    box.replaceChildren(...passages.map(({ row }) => row));
    box.hidden = !passages.length;
  }

  function draw({ from, to, cut }, k, base, hits, missed) {
    const row = element("div", { className: "text", "data-text": k }, cut ? "… " : "");
    const spans = [];
    for (let position = from; position < to; position++) {
      const letter = bundle.letter(position), later = letter?.part > 1 && position > from;
      const word = letter && !later ? letter.text : bundle.word(position);
      const space = word.length > 1 && word[0] === " " ? " " : "";
      if (space && position > from) row.append(space); // outside the colour: no coloured sliver at the end of a line
      const span = document.createElement("span"); // thousands at once: too many for `element`
      span.className = later ? "t part" : "t"; // a letter of several tokens stands in the first, the others are bars beside it
      const gap = word === " " && bundle.letter(position + 1)?.part === 1; // the space before a word, which its first letter keeps apart
      span.textContent = later ? "" : gap ? word : visible(word.slice(space.length));
      span.position = position;
      paint(span, base[position - from]);
      if (hits?.[position]) {
        span.classList.add("hit");
        if (letter) spans.slice(Math.max(0, spans.length + 1 - letter.part)).forEach((each) => each.classList.add("of-hit"));
      }
      if (missed && hits?.[position] && !base[position - from]) span.classList.add("hole");
      spans.push(span);
      row.append(span);
      if (word.includes("\n")) row.append("\n");
    }
    return { from, to, row, spans, base, over: null };
  }

  function paint(span, strength) {
    if (!strength) return;
    span.dataset.value = amount(bundle.activation(latent, strength));
    span.style.setProperty("--a", (0.12 + (0.48 * Math.min(255, strength)) / 255).toFixed(3));
  }

  // Lays a second latent over the texts, or takes it away (-1). Where the first fires and the second is silent there is a hole; holes
  // are marked only where `holes` says that the second covers enough of the first, else almost every token would be one.
  function lay(second, firings, holes) {
    over = second;
    for (const span of touched) {
      span.classList.remove("over", "hole");
      span.style.removeProperty("--b");
    }
    touched = [];
    for (const passage of passages) {
      passage.over = second < 0 ? null : bundle.strengths(second, firings, passage.from, passage.to);
      passage.over?.forEach((strength, k) => {
        if (!strength && !(holes && passage.base[k])) return;
        const span = passage.spans[k];
        if (strength) {
          span.classList.add("over");
          span.style.setProperty("--b", (0.35 + (0.65 * Math.min(255, strength)) / 255).toFixed(3));
        } else span.classList.add("hole");
        touched.push(span);
      });
    }
    if (now) read(now, false);
  }

  const strength = (of, value) => (value ? `${amount(bundle.activation(of, value))}, ${Math.round((100 * value) / 255)} % of its maximum` : "silent");

  // Says which token this is and what the latents do on it, in the tooltip and to a screen reader.
  function read(span, aloud = true) {
    still();
    now = span;
    now.classList.add("now");
    const passage = passages[+span.parentNode.dataset.text];
    const k = span.position - passage.from;
    const { text, place } = bundle.place(span.position);
    const letter = bundle.letter(span.position);
    const token = visible(letter ? letter.text : bundle.word(span.position)), part = letter ? `, part ${letter.part} of ${letter.of}` : "";
    const first = strength(latent, passage.base[k]);
    const lines = [`“${token}”${part && `${part}:`} ${first}`];
    if (passage.over) {
      const hole = passage.base[k] && !passage.over[k] ? ": a hole" : "";
      lines.push(`${bundle.id[over]} ${strength(over, passage.over[k])}${hole}`);
    }
    if (aloud) say(`${token}${part}, place ${place} of text ${text}, ${bundle.id[latent]}: ${[first, ...lines.slice(1)].join("; ")}`);
    tip.show(span, [...lines, `text ${text}, place ${place}`].join("\n"));
  }

  function still() {
    now?.classList.remove("now");
    now = null;
    tip.hide();
  }

  function step(from, way, firing) {
    const spans = passages.flatMap((passage) => passage.spans);
    for (let k = spans.indexOf(from) + way; k >= 0 && k < spans.length; k += way) if (!firing || spans[k].dataset.value) return spans[k];
    return from;
  }

  const strongest = ({ spans, base }) => spans[base.indexOf(Math.max(...base))];

  const tokenOf = (event) => event.target.closest(".t");
  for (const kind of ["pointerover", "click"]) box.addEventListener(kind, (event) => tokenOf(event) && read(tokenOf(event)));
  box.addEventListener("pointerleave", still);
  box.addEventListener("blur", still);
  box.addEventListener("focus", () => {
    if (!now && passages.length && box.matches(":focus-visible")) read(strongest(passages[0]));
  });
  box.addEventListener("keydown", (event) => {
    const way = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const row = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (event.key === "Escape" && now) {
      event.stopPropagation(); // the first Escape closes the tooltip, the next one unpins
      return still();
    }
    if (!(way || row) || !passages.length) return;
    event.preventDefault();
    const next = row && passages[+(now?.parentNode.dataset.text ?? -1) + row];
    if (!now) read(strongest(passages[0]));
    else if (way) read(step(now, way, event.shiftKey));
    else if (next) read(strongest(next));
    now.scrollIntoView({ block: "nearest" });
  });

  return { element: box, show, lay, get latent() { return latent; }, get holesOf() { return holesOf; } };
}

// The box beside the token that is pointed at; one for the whole explorer.
export function tooltip(within) {
  const box = element("div", { className: "tip", role: "tooltip", hidden: true });
  within.append(box);
  return {
    hide: () => (box.hidden = true),
    show(span, text) {
      box.textContent = text;
      box.hidden = false;
      const frame = within.getBoundingClientRect(), at = span.getClientRects()[0] ?? span.getBoundingClientRect();
      box.style.left = `${Math.max(0, Math.min(at.left - frame.left, frame.width - box.offsetWidth))}px`;
      const below = at.bottom - frame.top + 6, above = at.top - frame.top - box.offsetHeight - 6;
      const noRoom = at.bottom + box.offsetHeight + 8 > globalThis.innerHeight && at.top > box.offsetHeight + 8;
      box.style.top = `${noRoom ? above : below}px`;
    },
  };
}
