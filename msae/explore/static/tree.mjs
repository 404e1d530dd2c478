// The tree of a latent: its children and theirs. Hovering or focusing a node lays it over the root's texts.
import { amount, count, dotted, element, list } from "./dom.mjs";
import { overlay, press } from "./chips.mjs";
import { textsPanel } from "./texts.mjs";

const GENERATIONS = 2; // shown below the root

export function treeView(app) {
  const { bundle, say } = app;
  const page = element("div", { className: "page" });
  const title = element("h3", { tabIndex: -1 });
  const hint = element("p", { className: "quiet" },
    "Hover a node to lay it over the texts of the root; click or press Space to pin it, Enter to open it. " +
    "Coloured: the root fires. Underlined: the node fires. Dashed: a hole, the root fires without the node.");
  const order = new Map([...bundle.saes.keys()].map((sae, k) => [sae, k]));
  const tree = element("div", { className: "tree", role: "tree", "aria-label": "Tree of latents" });
  const panel = textsPanel(app, "Texts of the root");
  const over = overlay(app, panel, tree, showPlaces);
  const above = element("div", { className: "group", role: "group", "aria-label": "Above it" });
  page.append(title, hint, above, tree, over.element, element("h4", {}, "Texts of the root"), panel.element);
  let root = null;

  async function show({ latent, pinned }) {
    const top = rootOf(bundle, latent);
    if (top !== root) await draw(top);
    else if (panel.holesOf >= 0 && panel.holesOf !== pinned) await showTexts();
    if (root !== rootOf(bundle, app.state.latent)) return;
    await over.pin(pinned);
  }

  async function draw(top) {
    await bundle.firings(top);
    if (rootOf(bundle, app.state.latent) !== top) return;
    root = top;
    title.textContent = `Tree of ${bundle.id[root]}: ${bundle.name(root, dotted)}`;
    const items = [];
    const node = (latent, level, score, seen) => {
      const item = element("div", {
        className: "node", role: "treeitem", tabIndex: items.length ? -1 : 0, "data-latent": latent, "aria-level": level, "aria-selected": "false",
      }, element("b", {}, bundle.id[latent]), " ", bundle.name(latent, dotted), " ", element("small", {}, score === undefined ? "root" : amount(score)));
      const others = (bundle.parents.get(latent) ?? []).slice(1).map(([parent]) => bundle.id[parent]);
      if (others.length && level > 1) item.append(element("small", { className: "also" }, `, also below ${list(others)}`));
      item.style.setProperty("--level", level - 1);
      items.push(item);
      const below = bundle.ownChildren(latent).filter(([child]) => !seen.has(child)) // given edges may run in circles
        .sort(([a], [b]) => order.get(bundle.sae(a)) - order.get(bundle.sae(b))); // SAE by SAE, the best score first
      if (below.length && level > GENERATIONS) item.append(element("small", {}, `, ${count(below.length)} below`));
      if (!below.length || level > GENERATIONS) return;
      item.setAttribute("aria-expanded", "true");
      for (const [child, value] of below) node(child, level + 1, value, new Set([...seen, child]));
    };
    node(root, 1, undefined, new Set([root]));
    tree.replaceChildren(...items);
    const way = ancestors(bundle, root).map((latent) => press(bundle.id[latent], () => app.go({ latent, pinned: -1 }, { focus: true })));
    above.replaceChildren(...(way.length ? [element("span", { className: "quiet" }, "Above it"), ...way] : []));
    await showTexts();
    items.forEach((item) => bundle.firings(+item.dataset.latent));
  }

  async function showTexts() {
    const found = bundle.examples(await bundle.firings(root), bundle.manifest.n_examples ?? 10);
    await panel.show(found.map(({ position }) => bundle.passage(position, bundle.manifest.window)), root);
  }

  async function showPlaces(positions) {
    const some = bundle.firstOfTexts(positions, bundle.manifest.n_examples ?? 10).map((position) => bundle.passage(position, bundle.manifest.window));
    await panel.show(some, root, { chosenFor: app.state.pinned });
    await over.lay(app.state.pinned);
    say(`${some.length} texts with these holes`);
    panel.element.focus();
  }

  // Arrow keys as the pattern for trees has them; all branches are open, so left and right move between levels.
  tree.addEventListener("keydown", (event) => {
    const items = [...tree.children];
    const k = items.indexOf(event.target);
    if (k < 0) return;
    const level = (item) => +item.getAttribute("aria-level");
    const parent = items.slice(0, k).findLast((item) => level(item) < level(items[k]));
    const child = items[k + 1] && level(items[k + 1]) > level(items[k]) ? items[k + 1] : undefined;
    const next = { ArrowDown: items[k + 1], ArrowUp: items[k - 1], ArrowRight: child, ArrowLeft: parent, Home: items[0], End: items.at(-1) };
    const latent = +items[k].dataset.latent;
    if (event.key === "Enter") app.go({ latent, pinned: -1, view: "latent" }, { focus: true });
    else if (event.key === " ") app.go({ pinned: app.state.pinned === latent ? -1 : latent });
    else if (!(event.key in next)) return;
    event.preventDefault();
    if (!next[event.key]) return;
    items.forEach((item) => (item.tabIndex = -1));
    next[event.key].tabIndex = 0;
    next[event.key].focus();
  });

  return { element: page, show, focus: () => title.focus(), describe: () => title.textContent };
}

// The latent itself if it has children, else its best parent: a leaf is seen among its siblings.
const rootOf = (bundle, latent) => (bundle.ownChildren(latent).length ? latent : bundle.bestParent(latent) ?? latent);

// Best parents, the topmost first.
function ancestors(bundle, latent) {
  const found = [];
  for (let at = bundle.bestParent(latent); at !== undefined && at !== latent && !found.includes(at); at = bundle.bestParent(at)) found.unshift(at);
  return found;
}
