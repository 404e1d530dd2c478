/** @file The tabs above a view. */
import { element } from "./dom.mjs";

/** @import { App } from "./explorer.mjs" */
/** @import { ViewName } from "./host.mjs" */

/** @type {Record<ViewName, string>} */
const NAMES = { latent: "Latent", tree: "Tree", search: "Search by token pattern" };

/** @param {App} app @param {ViewName[]} views those that there are */
export function viewTabs(app, views) {
  const tabs = element("div", { className: "tabs", role: "tablist", "aria-label": "Views" });
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

  /** @param {ViewName} view */
  function mark(view) {
    views.forEach((each, k) => {
      buttons[k].setAttribute("aria-selected", String(each === view));
      buttons[k].tabIndex = each === view ? 0 : -1;
    });
  }

  return { element: tabs, mark };
}
