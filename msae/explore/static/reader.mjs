/** @file Reading texts token by token, with the pointer or the keyboard. One tab stop; arrow keys move between tokens. */
import { amount, origin, visible } from "./dom.mjs";

/** @import { App } from "./explorer.mjs" */
/** @import { Drawn, Token } from "./passages.mjs" */
/** @import { Shown } from "./texts.mjs" */

export class TokenReader {
  /** The token that is read out. @type {Token | null} */
  #now = null;

  /** @param {Pick<App, "bundle" | "say" | "tip">} app @param {Shown} shown */
  constructor({ bundle, say, tip }, shown) {
    this.bundle = bundle;
    this.say = say;
    this.tip = tip;
    this.shown = shown;
    const box = shown.element;
    for (const kind of ["pointerover", "click"]) box.addEventListener(kind, (event) => this.#point(event));
    for (const kind of ["pointerleave", "blur"]) box.addEventListener(kind, () => this.still());
    box.addEventListener("focus", () => {
      if (!this.#now && shown.passages.length && box.matches(":focus-visible")) this.#read(strongest(shown.passages[0]));
    });
    box.addEventListener("keydown", (event) => this.#press(event));
  }

  /** Reads nothing any more. */
  still() {
    this.#now?.classList.remove("now");
    this.#now = null;
    this.tip.hide();
  }

  /** Reads again, what has changed meanwhile; not aloud. */
  again() {
    if (this.#now) this.#read(this.#now, false);
  }

  /** Says which token this is and what the latents do on it, in the tooltip and to a screen reader. @param {Token} span */
  #read(span, aloud = true) {
    this.still();
    this.#now = span;
    span.classList.add("now");
    const { token, part, text, place } = named(this.bundle, span.position), [first, ...more] = this.#answers(span);
    if (span.classList.contains("drawn")) more.push("the firing that was drawn");
    const latent = this.bundle.id[this.shown.latent];
    if (aloud) this.say(`${token}${part}, place ${place} of text ${text}, ${latent}: ${[first, ...more].join("; ")}`);
    this.tip.show(span, [`“${token}”${part && `${part}:`} ${first}`, ...more, `text ${text}, place ${place}`].join("\n"));
  }

  /** What the first latent does on a token, and what the second. @param {Token} span */
  #answers(span) {
    const { passages, latent, over } = this.shown;
    const passage = passages[rowOf(span)], k = span.position - passage.from;
    const first = this.#strength(latent, passage.base[k]);
    if (!passage.over) return [first];
    const hole = passage.base[k] && !passage.over[k] ? ": a hole" : "";
    return [first, `${this.bundle.id[over]} ${this.#strength(over, passage.over[k])}${hole}`];
  }

  /** @param {number} latent @param {number} value 0 … 255 */
  #strength(latent, value) {
    return value ? `${amount(this.bundle.activation(latent, value))}, ${Math.round((100 * value) / 255)} % of its maximum` : "silent";
  }

  /** @param {Event} event */
  #point(event) {
    const span = origin(event, ".t");
    if (span) this.#read(/** @type {Token} */ (span));
  }

  /** @param {KeyboardEvent} event */
  #press(event) {
    const now = this.#now, { passages } = this.shown;
    if (event.key === "Escape" && now) {
      event.stopPropagation(); // the first Escape closes the tooltip, the next one unpins
      return this.still();
    }
    const way = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const row = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!(way || row) || !passages.length) return undefined;
    event.preventDefault();
    const next = row && now ? passages[rowOf(now) + row] : undefined;
    if (!now) this.#read(strongest(passages[0]));
    else if (way) this.#read(step(passages.flatMap(({ spans }) => spans), now, way, event.shiftKey));
    else if (next) this.#read(strongest(next));
    return this.#now?.scrollIntoView({ block: "nearest" });
  }
}

/** Which passage a token is in. @param {Token} span */
const rowOf = (span) => Number(span.parentElement?.dataset.text);

/** @param {Drawn} passage */
const strongest = ({ spans, base }) => spans[base.indexOf(Math.max(...base))];

/**
 * The next token, or the next one that fires; the same if there is none.
 *
 * @param {Token[]} spans
 * @param {Token} from
 * @param {number} way
 * @param {boolean} firing
 */
function step(spans, from, way, firing) {
  for (let k = spans.indexOf(from) + way; k >= 0 && k < spans.length; k += way) if (!firing || spans[k].dataset.value) return spans[k];
  return from;
}

/** A token in words, and where it stands. @param {App["bundle"]} bundle @param {number} position */
function named(bundle, position) {
  const letter = bundle.letter(position);
  const part = letter ? `, part ${letter.part} of ${letter.of}` : "";
  return { token: visible(letter ? letter.text : bundle.word(position)), part, ...bundle.place(position) };
}
