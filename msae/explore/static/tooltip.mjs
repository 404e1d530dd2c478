/** @file The box beside the token that is pointed at; one for the whole explorer. */
import { element } from "./dom.mjs";

/** @typedef {ReturnType<typeof tooltip>} Tooltip */

/** @param {HTMLElement} within */
export function tooltip(within) {
  const box = element("div", { className: "tip", role: "tooltip", hidden: true });
  within.append(box);
  return {
    hide() {
      box.hidden = true;
    },
    /** @param {HTMLElement} span @param {string} text */
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
