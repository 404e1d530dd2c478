/** @file The controls that say which texts of a latent are shown, and how. */
import { element, option } from "./dom.mjs";

/** @import { How, Wanted } from "./examples.mjs" */
/** @import { TextsPanel } from "./texts.mjs" */

/** @param {TextsPanel} panel @param {() => void} change when other texts are asked for */
export function textChoice(panel, change) {
  const how = element("select", { "aria-label": "Which texts" },
    option("strongest", "strongest"), option("spread", "one per quantile"), option("random", "random firings"));
  const low = slider("Lowest peak shown, percent of the maximum", 0);
  const high = slider("Highest peak shown, percent of the maximum", 100);
  const range = element("span", { className: "quiet range" });
  const wide = element("input", { type: "checkbox" });
  const swap = element("input", { type: "checkbox" });
  const controls = element("div", { className: "controls" }, how,
    element("span", { className: "pair" }, "peak ", low, high, range),
    element("label", {}, wide, " whole texts"), element("label", {}, swap, " hovering replaces the colour"));

  const say = () => (range.textContent = `${low.value} – ${high.value} %`);
  for (const control of [how, low, high, wide]) control.addEventListener("change", change);
  low.addEventListener("input", () => {
    if (+low.value > +high.value) high.value = low.value;
    say();
  });
  high.addEventListener("input", () => {
    if (+high.value < +low.value) low.value = high.value;
    say();
  });
  swap.addEventListener("change", () => panel.element.classList.toggle("swap", swap.checked));

  return {
    element: controls,
    /** What is asked for. @returns {Wanted} */
    now() {
      say();
      return { how: /** @type {How} */ (how.value), low: (+low.value * 255) / 100, high: (+high.value * 255) / 100 };
    },
    reset() {
      [low.value, high.value] = ["0", "100"];
    },
    /** Tokens of a passage. @param {number} [window] */
    width: (window = 64) => (wide.checked ? Infinity : window),
  };
}

/** @param {string} name @param {number} value */
const slider = (name, value) => element("input", { type: "range", min: 0, max: 100, value, "aria-label": name });
