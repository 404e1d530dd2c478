/** @file The tabs, and the view that is chosen by them. */
import { element } from "./dom.mjs";

/** @import { App } from "./explorer.mjs" */
/** @import { ViewName } from "./host.mjs" */

/** @type {Record<ViewName, string>} */
const NAMES = { latent: "Latent", tree: "Tree", search: "Search by token pattern" };

/** @param {App} app @param {ViewName[]} views those that there are */
export function viewTabs(app, views) {
  const tabs = element("div", { className: "tabs", role: "tablist", "aria-label": "Views" });
  const body = element("div", { className: "view", role: "tabpanel", id: "panel" });
  const buttons = views.map((view) => element("button", {
    type: "button", role: "tab", id: `tab-${view}`, "aria-controls": "panel", onclick: () => app.go({ view }),
  }, NAMES[view]));
  tabs.append(...buttons);
  tabs.addEventListener("keydown", (event) => {
    const way = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!way) return;
    const next = (views.indexOf(app.state.view) + way + views.length) % views.length;
    app.go({ view: views[next] });
    buttons[next].focus();
  });

  /** @param {ViewName} view @param {HTMLElement} shown */
  function choose(view, shown) {
    body.replaceChildren(shown);
    body.setAttribute("aria-labelledby", `tab-${view}`);
    views.forEach((each, k) => {
      buttons[k].setAttribute("aria-selected", String(each === view));
      buttons[k].tabIndex = each === view ? 0 : -1;
    });
  }

  /** Says why the view cannot be shown; with nothing to say, that is taken back. @param {string} [why] */
  function fail(why) {
    body.querySelector(":scope > .failed")?.remove();
    if (why !== undefined) body.prepend(element("p", { className: "message error failed" }, why));
  }

  return { element: element("div", { className: "main" }, tabs, body), choose, fail };
}
