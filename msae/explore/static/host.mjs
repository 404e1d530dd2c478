/** @file What the explorer lives in, a widget with a kernel or a page: it says what to begin with and is told what is shown. */

/** @import { Bundle } from "./bundle.mjs" */
/** @import { Part } from "./manifest.mjs" */

/**
 * @typedef {object} Answer to a text that was typed
 * @property {string} [error]
 * @property {string} [text]
 * @property {string[]} [tokens]
 * @property {Part[]} [parts]
 * @property {Record<string, [places: number[], activations: number[]]>} [firings] by the number of the latent
 */

/**
 * Of these names `manifest`, `payload` and `base` are read once; `latent`, `pinned`, `view` and `query` are followed and set.
 *
 * @typedef {object} Values
 * @property {string} manifest JSON
 * @property {string | ArrayBufferView<ArrayBuffer>} payload base64 or bytes
 * @property {string} [base] the address of the shards
 * @property {string} [latent] name/number
 * @property {string} [pinned]
 * @property {string} [view]
 * @property {string} [query]
 * @property {[name: string, query: string][]} [examples] patterns to try
 * @property {boolean} [live] a language model listens
 * @property {string} [typed]
 * @property {Answer} [answer]
 */

/**
 * The values as anywidget keeps them; the last three only where there is a kernel.
 *
 * @typedef {object} Model
 * @property {<Key extends keyof Values>(key: Key) => Values[Key]} get
 * @property {<Key extends keyof Values>(key: Key, value: Values[Key]) => void} set
 * @property {(event: string, listener: () => void) => void} [on]
 * @property {(event: string, listener: () => void) => void} [off]
 * @property {() => void} [save_changes]
 */

/** @typedef {"latent" | "tree" | "search"} ViewName */

/**
 * @typedef {object} State what is shown
 * @property {number} latent its number in the bundle
 * @property {number} pinned -1 for none
 * @property {ViewName} view
 * @property {string} query
 */

/** What a page opens with; linked: its address says so too. @typedef {Partial<Values> & { linked?: boolean }} Opened */

/** Names of what is followed. @type {readonly ("latent" | "pinned" | "view" | "query")[]} */
export const ADDRESSED = ["latent", "pinned", "view", "query"];

/** What the host asks for; what it does not know is left out. @param {Model} model @param {Bundle} bundle @returns {State} */
export function wanted(model, bundle) {
  const view = model.get("view");
  const known = view === "search" || (view === "tree" && bundle.manifest.edges.length) ? view : "latent";
  return {
    latent: bundle.index.get(model.get("latent") ?? "") ?? 0,
    pinned: bundle.index.get(model.get("pinned") ?? "") ?? -1,
    view: known,
    query: model.get("query") ?? "",
  };
}

/** Tells the host what is shown. @param {Model} model @param {Bundle} bundle @param {State} state */
export function share(model, bundle, { latent, pinned, view, query }) {
  const state = { latent: bundle.id[latent], pinned: bundle.id[pinned] ?? "", view, query };
  for (const key of ADDRESSED) if (model.get(key) !== state[key]) model.set(key, state[key]);
  try {
    model.save_changes?.();
  } catch {
    // a page without a kernel has nobody to tell
  }
}

/**
 * A page without a kernel: the data stand in the host element, behind the words for those without scripts. Of a page of its own the part of
 * the address after # says what is shown.
 *
 * @param {HTMLElement} host
 * @param {Opened} state
 * @returns {Model}
 */
export function pageModel(host, { linked, ...state }) {
  const [manifest, payload] = host.querySelectorAll("script");
  /** @type {Values} */
  const values = { ...state, manifest: manifest.textContent, payload: payload.textContent };
  /** @type {(() => void)[]} */
  const listeners = [];
  const read = () => {
    Object.assign(values, { pinned: "", view: "latent", query: "" });
    const asked = new URLSearchParams(location.hash.slice(1));
    for (const key of ADDRESSED) values[key] = asked.getAll(key).at(-1) ?? values[key]; // and nothing else of the model
  };
  if (linked) {
    if (location.hash.length > 1) read();
    addEventListener("hashchange", () => {
      read();
      listeners.forEach((listener) => listener());
    });
  }
  return {
    get: (key) => values[key],
    set: (key, value) => { values[key] = value; },
    on: (event, listener) => { if (event === "change:latent") listeners.push(listener); },
    save_changes: () => { if (linked) history.replaceState(null, "", `#${addressOf(values)}`); },
  };
}

/** @param {Values} values */
function addressOf({ latent = "", pinned = "", view = "", query = "" }) {
  const shown = Object.entries({ latent, pinned, view: view === "latent" ? "" : view, query });
  return new URLSearchParams(shown.filter(([, value]) => value));
}
