/** @file Reading texts token by token, with the pointer or the keyboard. One tab stop; arrow keys move between tokens. */
import { amount, origin, visible } from "./dom.mjs";

/** @import { App } from "./explorer.mjs" */
/** @import { Drawn, Token } from "./passages.mjs" */
/** @import { Shown } from "./texts.mjs" */

/** @param {Pick<App, "bundle" | "say" | "tip">} app @param {Shown} shown */
export function tokenReader({ bundle, say, tip }, shown) {
  const box = shown.element;
  /** The token that is read out. @type {Token | null} */
  let now = null;

  /** Says which token this is and what the latents do on it, in the tooltip and to a screen reader. @param {Token} span */
  function read(span, aloud = true) {
    still();
    now = span;
    now.classList.add("now");
    const { token, part, text, place } = named(bundle, span.position);
    const [first, ...more] = answers(span);
    if (aloud) say(`${token}${part}, place ${place} of text ${text}, ${bundle.id[shown.latent]}: ${[first, ...more].join("; ")}`);
    tip.show(span, [`“${token}”${part && `${part}:`} ${first}`, ...more, `text ${text}, place ${place}`].join("\n"));
  }

  /** What the first latent does on a token, and what the second. @param {Token} span */
  function answers(span) {
    const passage = shown.passages[rowOf(span)], k = span.position - passage.from;
    const first = strength(shown.latent, passage.base[k]);
    if (!passage.over) return [first];
    const hole = passage.base[k] && !passage.over[k] ? ": a hole" : "";
    return [first, `${bundle.id[shown.over]} ${strength(shown.over, passage.over[k])}${hole}`];
  }

  /** @param {number} latent @param {number} value 0 … 255 */
  function strength(latent, value) {
    return value ? `${amount(bundle.activation(latent, value))}, ${Math.round((100 * value) / 255)} % of its maximum` : "silent";
  }

  function still() {
    now?.classList.remove("now");
    now = null;
    tip.hide();
  }

  /** Reads out the token that is read out already, in the tooltip only. */
  function again() {
    if (now) read(now, false);
  }

  /** @param {KeyboardEvent} event */
  function press(event) {
    const way = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const row = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (event.key === "Escape" && now) {
      event.stopPropagation(); // the first Escape closes the tooltip, the next one unpins
      still();
      return;
    }
    const { passages } = shown;
    if (!(way || row) || !passages.length) return;
    event.preventDefault();
    const next = row && now ? passages[rowOf(now) + row] : undefined;
    if (!now) read(strongest(passages[0]));
    else if (way) read(step(passages.flatMap(({ spans }) => spans), now, way, event.shiftKey));
    else if (next) read(strongest(next));
    now?.scrollIntoView({ block: "nearest" });
  }

  /** @param {Event} event */
  function point(event) {
    const span = origin(event, ".t");
    if (span) read(/** @type {Token} */ (span));
  }

  box.addEventListener("pointerover", point);
  box.addEventListener("click", point);
  box.addEventListener("pointerleave", still);
  box.addEventListener("blur", still);
  box.addEventListener("focus", () => {
    if (!now && shown.passages.length && box.matches(":focus-visible")) read(strongest(shown.passages[0]));
  });
  box.addEventListener("keydown", press);
  return { still, again };
}

/** Which passage a token is in. @param {Token} span */
const rowOf = (span) => Number(span.parentElement?.dataset.text);

/** @param {Drawn} passage */
const strongest = ({ spans, base }) => spans[base.indexOf(Math.max(...base))];

/** The next token, or the next one that fires; the same if there is none. @param {Token[]} spans @param {Token} from @param {number} way @param {boolean} firing */
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
