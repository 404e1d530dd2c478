/** @file The latent explorer. One state, three views, and hosts that say what to begin with. */
import { openBundle } from "./bundle.mjs";
import { element, inWords } from "./dom.mjs";
import { ADDRESSED, pageModel, share, wanted } from "./host.mjs";
import { latentView } from "./latent.mjs";
import { latentList } from "./list.mjs";
import { searchView } from "./search.mjs";
import { viewTabs } from "./tabs.mjs";
import { tooltip } from "./tooltip.mjs";
import { treeView } from "./tree.mjs";

/** @import { Bundle } from "./bundle.mjs" */
/** @import { Model, Opened, State } from "./host.mjs" */
/** @import { Tooltip } from "./tooltip.mjs" */

/**
 * @typedef {object} Resources what an explorer needs besides these modules, as text
 * @property {string} css
 * @property {string} worker the script of patterns/answer.mjs
 */

/**
 * @typedef {object} App what the parts of one explorer share
 * @property {Bundle} bundle
 * @property {Model} model
 * @property {string} worker
 * @property {State} state
 * @property {Tooltip} tip
 * @property {(() => void)[]} closing what is done at the end
 * @property {(text: string) => void} say tells a screen reader
 * @property {(change: Partial<State>, how?: { focus?: boolean, tell?: boolean }) => Promise<void>} go
 */

/**
 * @typedef {object} View
 * @property {HTMLElement} element
 * @property {(state: State) => Promise<void>} show
 * @property {() => void} focus
 * @property {() => string} describe what a screen reader is told
 */

/**
 * The explorer in anywidget's form: `render` fills an element and returns what ends it. `mount` is for the element of a page.
 *
 * @param {Resources} resources
 */
export function explorer({ css, worker }) {
  /** @param {{ model: Model, el: HTMLElement }} host */
  async function render({ model, el }) {
    const bundle = await openBundle(model.get("manifest"), model.get("payload"), model.get("base") ?? document.baseURI);
    const shadow = el.shadowRoot ?? el.attachShadow({ mode: "open" });
    const { all, close, ready } = open(bundle, model, worker);
    shadow.replaceChildren(element("style", {}, css), all);
    await ready();
    el.dataset.ready = "1";
    performance.mark("msae-explorer-ready");
    return () => {
      close();
      shadow.replaceChildren();
    };
  }

  /** @param {HTMLElement} host @param {Opened} state */
  const mount = (host, state) => render({ model: pageModel(host, state), el: host });

  return { render, mount };
}

/**
 * An explorer of a bundle, not yet showing anything: `ready` shows what the model asks for.
 *
 * @param {Bundle} bundle
 * @param {Model} model
 * @param {string} worker
 */
function open(bundle, model, worker) {
  const heard = element("div", { className: "heard", role: "status", "aria-live": "polite" });
  const all = element("div", { className: bundle.id.length > 1 ? "all" : "all alone" });
  /** @param {string} text */
  const say = (text) => { heard.textContent = text; };
  /** @type {App} */
  const app = { bundle, model, worker, go, say, tip: tooltip(all), state: wanted(model, bundle), closing: [] };
  const views = { latent: latentView(app), tree: treeView(app), search: searchView(app) };
  const side = latentList(app, (latent) => go({ latent, pinned: -1, ...(app.state.view === "search" ? { view: "latent" } : {}) }));
  const tabs = viewTabs(app, bundle.manifest.edges.length ? ["latent", "tree", "search"] : ["latent", "search"]);
  all.prepend(side.element, tabs.element, heard);
  all.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    app.tip.hide();
    if (app.state.pinned >= 0) go({ pinned: -1 });
  });

  /** @type {State | null} */
  let before = null;
  let telling = false;

  /**
   * The one way to change what is shown. focus: move the keyboard's focus to it, for actions inside a view that is left.
   *
   * @type {App["go"]}
   */
  async function go(change, { focus = false, tell = true } = {}) {
    const mine = (app.state = { ...app.state, ...change }), { view } = mine;
    const moved = before && (mine.latent !== before.latent || view !== before.view);
    if (mine.latent !== before?.latent) side.mark(mine.latent);
    if (view !== before?.view) tabs.choose(view, views[view].element);
    before = mine;
    app.tip.hide();
    tabs.fail();
    telling = true; // a live model calls back for each name that is set
    if (tell) share(model, bundle, mine);
    telling = false;
    if (focus && view === "search") views.search.focus(); // its results take a while
    try {
      await views[view].show(mine);
    } catch (error) {
      app.say(inWords(error));
      tabs.fail(inWords(error));
      throw error;
    }
    if (app.state !== mine) return; // something else was asked for meanwhile
    if (moved && mine.pinned < 0 && !(view === "search" && mine.query)) app.say(views[view].describe()); // what is found is told already
    if (focus && view !== "search") views[view].focus();
  }

  const ready = () => go(wanted(model, bundle), { tell: false });
  const follow = () => { if (!telling) ready(); };
  for (const key of ADDRESSED) model.on?.(`change:${key}`, follow);
  app.closing.push(() => ADDRESSED.forEach((key) => model.off?.(`change:${key}`, follow)));
  return { all, ready, close: () => app.closing.forEach((close) => close()) };
}
