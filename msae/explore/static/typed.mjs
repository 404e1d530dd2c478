/** @file A box to type a text in, where a kernel with the language model listens. */
import { element, press } from "./dom.mjs";
import { lettersOf } from "./manifest.mjs";

/** @import { App } from "./explorer.mjs" */

/** @param {App} app @param {() => void} show when the text has been read */
export function typedText({ bundle, model, say, closing }, show) {
  const box = element("div", { className: "typed", hidden: !model.get("live") });
  const field = element("textarea", { rows: 2, placeholder: "Lily and Sue went to the park.", "aria-label": "A text of your own" });
  const send = press("Read it", () => {
    if (field.value === bundle.typed.text) return show(); // it has been read
    say("reading");
    model.set("typed", field.value);
    model.save_changes?.();
    return undefined;
  });
  box.append(field, send);
  const read = () => {
    const { error, text, tokens, parts, firings = {} } = model.get("answer") ?? {};
    if (error) say(error);
    if (!tokens) return;
    bundle.typed = { text, words: tokens, parts: lettersOf(parts), firings: new Map() };
    for (const [latent, [places, values]] of Object.entries(firings))
      bundle.typed.firings.set(+latent, places.map((place, k) => [place, values[k]]));
    show();
    say(`${tokens.length} tokens`);
  };
  model.on?.("change:answer", read);
  closing.push(() => model.off?.("change:answer", read));
  return { element: box };
}
