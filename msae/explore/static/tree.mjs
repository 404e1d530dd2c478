/** @file The tree of a latent: its children and theirs. Hovering or focusing a node lays it over the root's texts. */
import { overlay } from "./chips.mjs";
import { amount, count, dotted, element, list, press } from "./dom.mjs";
import { examples, passage } from "./examples.mjs";
import { textsPanel } from "./texts.mjs";

/** @import { Bundle } from "./bundle.mjs" */
/** @import { App, View } from "./explorer.mjs" */

const GENERATIONS = 2; // shown below the root

/** @param {App} app @returns {View} */
export function treeView(app) {
  const { bundle } = app;
  const page = element("div", { className: "page" });
  const title = element("h3", { tabIndex: -1 });
  const hint = element("p", { className: "quiet" },
    "Hover a node to lay it over the texts of the root; click or press Space to pin it, Enter to open it. " +
    "Coloured: the root fires. Underlined: the node fires. Dashed: a hole, the root fires without the node.");
  const tree = element("div", { className: "tree", role: "tree", "aria-label": "Tree of latents" });
  const panel = textsPanel(app, "Texts of the root");
  const over = overlay(app, panel, tree, () => bundle.manifest.window);
  const above = element("div", { className: "group", role: "group", "aria-label": "Above it" });
  page.append(title, hint, above, tree, over.element, element("h4", {}, "Texts of the root"), panel.element);
  /** @type {number | null} */
  let root = null;

  /** @type {View["show"]} */
  async function show({ latent, pinned }) {
    const top = rootOf(bundle, latent);
    if (top !== root) await draw(top);
    else if (panel.holesOf >= 0 && panel.holesOf !== pinned) await showTexts(top);
    if (root !== rootOf(bundle, app.state.latent)) return;
    await over.pin(pinned);
  }

  /** @param {number} top */
  async function draw(top) {
    await bundle.firings(top);
    if (rootOf(bundle, app.state.latent) !== top) return;
    root = top;
    title.textContent = `Tree of ${bundle.id[top]}: ${bundle.name(top, dotted)}`;
    const items = nodesBelow(bundle, top);
    tree.replaceChildren(...items);
    const way = ancestors(bundle, top).map((latent) => press(bundle.id[latent], () => app.go({ latent, pinned: -1 }, { focus: true })));
    above.replaceChildren(...(way.length ? [element("span", { className: "quiet" }, "Above it"), ...way] : []));
    await showTexts(top);
    items.forEach((item) => bundle.firings(Number(item.dataset.latent)));
  }

  /** @param {number} top */
  async function showTexts(top) {
    const found = examples(bundle, await bundle.firings(top));
    await panel.show(found.map(({ position }) => passage(bundle, position, bundle.manifest.window)), top);
  }

  tree.addEventListener("keydown", (event) => move(app, tree, event));
  return { element: page, show, focus: () => title.focus(), describe: () => title.textContent };
}

/**
 * The latent itself if it has children, else its best parent: a leaf is seen among its siblings.
 *
 * @param {Bundle} bundle
 * @param {number} latent
 */
const rootOf = (bundle, latent) => (bundle.ownChildren(latent).length ? latent : bundle.bestParent(latent) ?? latent);

/** Best parents, the topmost first. @param {Bundle} bundle @param {number} latent */
function ancestors(bundle, latent) {
  /** @type {number[]} */
  const found = [];
  let at = bundle.bestParent(latent);
  while (at !== undefined && at !== latent && !found.includes(at)) { // given edges may run in circles
    found.unshift(at);
    at = bundle.bestParent(at);
  }
  return found;
}

/** The items of a tree, from the root down. @param {Bundle} bundle @param {number} root */
function nodesBelow(bundle, root) {
  const order = new Map([...bundle.saes.keys()].map((sae, k) => [sae, k]));
  /** @param {number} latent */
  const rank = (latent) => order.get(bundle.sae(latent)) ?? 0;
  /** @type {HTMLElement[]} */
  const items = [];
  /** @param {number} latent @param {number} level @param {number | undefined} score @param {Set<number>} seen */
  const grow = (latent, level, score, seen) => {
    const item = node(bundle, latent, level, score);
    item.tabIndex = items.length ? -1 : 0;
    items.push(item);
    const below = bundle.ownChildren(latent).filter(([child]) => !seen.has(child)) // given edges may run in circles
      .sort(([a], [b]) => rank(a) - rank(b)); // SAE by SAE, the best score first
    if (below.length && level > GENERATIONS) item.append(element("small", {}, `, ${count(below.length)} below`));
    if (!below.length || level > GENERATIONS) return;
    item.setAttribute("aria-expanded", "true");
    for (const [child, value] of below) grow(child, level + 1, value, new Set([...seen, child]));
  };
  grow(root, 1, undefined, new Set([root]));
  return items;
}

/** @param {Bundle} bundle @param {number} latent @param {number} level @param {number | undefined} score */
function node(bundle, latent, level, score) {
  const note = element("small", {}, score === undefined ? "root" : amount(score));
  const item = element("div", {
    className: "node", role: "treeitem", "data-latent": latent, "aria-level": level, "aria-selected": "false",
  }, element("b", {}, bundle.id[latent]), " ", bundle.name(latent, dotted), " ", note);
  const others = (bundle.parents.get(latent) ?? []).slice(1).map(([parent]) => bundle.id[parent]);
  if (others.length && level > 1) item.append(element("small", { className: "also" }, `, also below ${list(others)}`));
  item.style.setProperty("--level", String(level - 1));
  return item;
}

/**
 * Arrow keys as the pattern for trees has them; all branches are open, so left and right move between levels.
 *
 * @param {App} app
 * @param {HTMLElement} tree
 * @param {KeyboardEvent} event
 */
function move(app, tree, event) {
  const items = /** @type {HTMLElement[]} */ ([...tree.children]);
  const k = items.findIndex((item) => item === event.target);
  if (k < 0) return;
  /** @param {HTMLElement} item */
  const level = (item) => Number(item.getAttribute("aria-level"));
  const parent = items.slice(0, k).findLast((item) => level(item) < level(items[k]));
  const child = items[k + 1] && level(items[k + 1]) > level(items[k]) ? items[k + 1] : undefined;
  const ways = { ArrowDown: items[k + 1], ArrowUp: items[k - 1], ArrowRight: child, ArrowLeft: parent, Home: items[0], End: items.at(-1) };
  const next = new Map(Object.entries(ways));
  const latent = Number(items[k].dataset.latent);
  if (event.key === "Enter") app.go({ latent, pinned: -1, view: "latent" }, { focus: true });
  else if (event.key === " ") app.go({ pinned: app.state.pinned === latent ? -1 : latent });
  else if (!next.has(event.key)) return;
  event.preventDefault();
  const to = next.get(event.key);
  if (!to) return;
  items.forEach((item) => (item.tabIndex = -1));
  to.tabIndex = 0;
  to.focus();
}
