/** @file How strong the firings of a latent are, from weak to strong. */
import { amount, count, element, svgElement } from "./dom.mjs";

const BARS = 24, TALL = 60; // how many, and pixels
const LEFT = 36, FLOOR = 18 + TALL, WIDE = BARS * 10;

/** Heights are logarithmic; a screen reader is told the axes and the quartiles. @param {Uint8Array} q @param {number} max */
export function histogram(q, max) {
  const bars = new Uint32Array(BARS);
  for (const strength of q) bars[Math.floor((strength * BARS) / 256)]++;
  const most = Math.max(...bars);
  const words = quartiles(q);
  const [up, along] = ["tokens, log scale", `activation, in % of the maximum of ${amount(max)}`];
  const axes = `Histogram. Upwards: ${up}, at most ${count(most)} in a bar. Along: ${along}, in ${BARS} bars.`;
  const drawing = svgElement("svg", { viewBox: "0 0 286 112", role: "img", "aria-label": `${axes} ${words}`, class: "histogram" });
  bars.forEach((n, k) => {
    const height = (TALL * Math.log1p(n)) / Math.log1p(most);
    drawing.append(svgElement("rect", { x: LEFT + k * 10, y: FLOOR - height, width: 9, height }));
  });
  drawing.append(
    svgElement("path", { d: `M${LEFT} ${FLOOR - TALL}V${FLOOR}H${LEFT + WIDE}` }),
    written(0, 10, "start", up),
    written(LEFT - 4, FLOOR - TALL + 8, "end", count(most)),
    written(LEFT - 4, FLOOR, "end", "0"),
    ...[0, 50, 100].map((share) => written(LEFT + (share * WIDE) / 100, FLOOR + 14, "middle", String(share))),
    written(LEFT + WIDE / 2, FLOOR + 30, "middle", along),
  );
  return element("section", {}, element("h4", {}, "How strongly it fires"), drawing, element("p", { className: "quiet" }, words));
}

/** @param {Uint8Array} q */
function quartiles(q) {
  const sorted = q.slice().sort();
  /** @param {number} share */
  const below = (share) => `${Math.round(sorted[Math.floor(share * (sorted.length - 1))] / 2.55)} %`;
  return `A quarter of the firings lie below ${below(0.25)} of the maximum, half below ${below(0.5)}, three quarters below ${below(0.75)}.`;
}

/** @param {number} x @param {number} y @param {"start" | "middle" | "end"} anchor @param {string} text */
const written = (x, y, anchor, text) => svgElement("text", { x, y, "text-anchor": anchor }, text);
