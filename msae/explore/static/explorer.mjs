// The latent explorer, in anywidget's form: export default { render }. One state, three views, and hosts that say what to begin with.
import { openBundle } from "./bundle.mjs";
import { element } from "./dom.mjs";
import { latentList } from "./list.mjs";
import { latentView } from "./latent.mjs";
import { searchView } from "./search.mjs";
import { tooltip } from "./texts.mjs";
import { treeView } from "./tree.mjs";

const VIEWS = { latent: ["Latent", latentView], tree: ["Tree", treeView], search: ["Search by token pattern", searchView] };

const ADDRESSED = ["latent", "pinned", "view", "query"];

// model: get, set, and where there is a kernel on, off, save_changes. Of its names `manifest` (JSON), `payload` (bytes or base64) and `base`
// are read once; `latent`, `pinned`, `view` and `query` are followed and set.
async function render({ model, el }) {
  const bundle = await openBundle(model.get("manifest"), model.get("payload"), model.get("base") ?? document.baseURI);
  const shadow = el.shadowRoot ?? el.attachShadow({ mode: "open" });
  const heard = element("div", { className: "heard", role: "status", "aria-live": "polite" });
  const all = element("div", { className: bundle.id.length > 1 ? "all" : "all alone" });
  const app = { bundle, model, go, tip: tooltip(all), state: null, closing: [], say: (text) => (heard.textContent = text) };

  const side = latentList(app, (latent) => go({ latent, pinned: -1, ...(app.state.view === "search" ? { view: "latent" } : {}) }));
  const tabs = element("div", { className: "tabs", role: "tablist", "aria-label": "Views" });
  const body = element("div", { className: "view", role: "tabpanel", id: "panel" });
  const views = {};
  const buttons = {};
  for (const [key, [name, make]] of Object.entries(VIEWS)) {
    views[key] = make(app);
    buttons[key] = element("button", { type: "button", role: "tab", id: `tab-${key}`, "aria-controls": "panel", onclick: () => go({ view: key }) }, name);
    tabs.append(buttons[key]);
  }
  tabs.addEventListener("keydown", (event) => {
    const keys = Object.keys(VIEWS).filter((key) => !buttons[key].hidden);
    const way = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!way) return;
    const next = keys[(keys.indexOf(app.state.view) + way + keys.length) % keys.length];
    go({ view: next });
    buttons[next].focus();
  });
  buttons.tree.hidden = !bundle.manifest.edges.length;
  all.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    app.tip.hide();
    if (app.state.pinned >= 0) go({ pinned: -1 });
  });
  all.prepend(side.element, element("div", { className: "main" }, tabs, body), heard);
  shadow.replaceChildren(element("style", {}, CSS), all);

  let telling = false;

  // The one way to change what is shown. focus: move the keyboard's focus to it, for actions inside a view that is left.
  async function go(change, { focus = false, tell = true } = {}) {
    const before = app.state;
    app.state = { ...before, ...change };
    const { latent, pinned, view } = app.state;
    if (latent !== before?.latent) side.mark(latent);
    if (view !== before?.view) {
      body.replaceChildren(views[view].element);
      body.setAttribute("aria-labelledby", `tab-${view}`);
      for (const [key, button] of Object.entries(buttons)) {
        button.setAttribute("aria-selected", String(key === view));
        button.tabIndex = key === view ? 0 : -1;
      }
    }
    app.tip.hide();
    body.querySelector(":scope > .failed")?.remove();
    telling = true; // a live model calls back for each name that is set
    if (tell) share(model, bundle, app.state);
    telling = false;
    const mine = app.state;
    if (focus && view === "search") views.search.focus(); // its results take a while
    try {
      await views[view].show(app.state);
    } catch (error) {
      app.say(error.message);
      body.prepend(element("p", { className: "message error failed" }, error.message));
      throw error;
    }
    if (app.state !== mine) return; // something else was asked for meanwhile
    const changed = before && (latent !== before.latent || view !== before.view);
    if (changed && pinned < 0 && !(view === "search" && mine.query)) app.say(views[view].describe()); // what is found is told already
    if (focus && view !== "search") views[view].focus();
  }

  const follow = () => telling || go(wanted(model, bundle), { tell: false });
  for (const key of ADDRESSED) model.on?.(`change:${key}`, follow);
  await go(wanted(model, bundle), { tell: false });
  el.dataset.ready = "1";
  performance.mark("msae-explorer-ready");
  return () => {
    for (const key of ADDRESSED) model.off?.(`change:${key}`, follow);
    app.closing.forEach((close) => close());
    shadow.replaceChildren();
  };
}

// What the host asks for, as indices; what it does not know is left out.
function wanted(model, bundle) {
  const view = model.get("view");
  return {
    latent: bundle.index.get(model.get("latent")) ?? 0,
    pinned: bundle.index.get(model.get("pinned")) ?? -1,
    view: Object.hasOwn(VIEWS, view) && (view !== "tree" || bundle.manifest.edges.length) ? view : "latent",
    query: model.get("query") ?? "",
  };
}

function share(model, bundle, { latent, pinned, view, query }) {
  const state = { latent: bundle.id[latent], pinned: bundle.id[pinned] ?? "", view, query };
  for (const [key, value] of Object.entries(state)) if (model.get(key) !== value) model.set(key, value);
  try {
    model.save_changes?.();
  } catch {
    // a page without a kernel has nobody to tell
  }
}

// A page without a kernel: the data stand in the host element, behind the words for those without scripts. A page of its own is `linked`:
// the part of its address after # says what is shown.
function mount(host, state) {
  const [manifest, payload] = host.querySelectorAll("script");
  const values = { ...state, manifest: manifest.textContent, payload: payload.textContent };
  const listeners = [];
  const model = {
    get: (key) => values[key],
    set: (key, value) => (values[key] = value),
    on: (event, listener) => event === "change:latent" && listeners.push(listener),
    save_changes() {
      if (!state.linked) return;
      const shown = Object.entries({ latent: values.latent, pinned: values.pinned, view: values.view === "latent" ? "" : values.view, query: values.query });
      history.replaceState(null, "", `#${new URLSearchParams(shown.filter(([, value]) => value))}`);
    },
  };
  const read = () => {
    const asked = [...new URLSearchParams(location.hash.slice(1))].filter(([key]) => ADDRESSED.includes(key)); // and nothing else of the model
    Object.assign(values, { pinned: "", view: "latent", query: "" }, Object.fromEntries(asked));
  };
  if (state.linked) {
    if (location.hash.length > 1) read();
    addEventListener("hashchange", () => {
      read();
      listeners.forEach((listener) => listener());
    });
  }
  render({ model, el: host });
}

export default { render };
