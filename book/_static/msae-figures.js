"use strict";
/**
 * @file Draws the figures of a page: each when it comes near the window, in the colours of the page's theme, with HTML controls.
 * plotly is large and would hold up the page: it comes, from beside this script, with the first figure that is needed.
 */

{ // names of its own: the scripts of a page share what stands outside of braces
  /** What a button or a step of a slider does. @typedef {{ label?: string, value?: string, method?: string, args?: any[] }} Choice */
  /** @typedef {(choice: Choice) => void} Run */

  /**
   * @typedef {object} Layout of plotly, what is looked at here
   * @property {{ visible?: boolean, buttons?: Choice[], name?: string, type?: string, active?: number }[]} [updatemenus]
   * @property {{ visible?: boolean, steps?: Choice[], name?: string, active?: number, currentvalue?: { prefix?: string } }[]} [sliders]
   * @property {object} [template]
   * @property {boolean} [autosize]
   * @property {number} [width]
   * @property {number} [height]
   * @property {{ narrow?: { taller: number, changes: Record<string, unknown> } }} [meta] what is otherwise on a narrow page
   */

  /** @typedef {HTMLElement & { _fullLayout: Record<string, any> }} Plot an element that plotly has drawn in */
  /** @typedef {Record<string, (plot: Element, ...args: unknown[]) => Promise<void> | undefined>} Plotly */

  const root = document.documentElement;
  /** @type {NodeListOf<Plot>} */
  const plots = document.querySelectorAll(".msae-plot");
  /** @type {Set<Plot>} */
  const begun = new Set();
  /** @type {Set<Plot>} */
  const drawn = new Set();
  /** What each figure changes when its page becomes narrow (1) or wide (0). @type {Map<Plot, [object, object]>} */
  const widths = new Map();
  const narrow = matchMedia("(max-width: 599px)");
  const script = document.currentScript;
  const address = new URL("plotly.min.js", script instanceof HTMLScriptElement ? script.src : location.href).href;

  /** What plotly.min.js has put in place, or undefined. @returns {Plotly | undefined} */
  const plotly = () => Reflect.get(globalThis, "Plotly");

  /** @type {Promise<unknown> | null} */
  let coming = null;

  /** @param {string} method @param {Plot} plot @param {...unknown} args */
  const callPlotly = (method, plot, ...args) => plotly()?.[method](plot, ...args);

  function loadPlotly() {
    coming ??= new Promise((done, failed) => document.head.append(element("script", { src: address, onload: done, onerror: failed })));
    return coming;
  }

  /** Printing does not wait, so here the page does. A page opened from a disk may not read a file so: it prints the figure's words. */
  function loadPlotlyAtOnce() {
    if (plotly() || location.protocol === "file:") return;
    const request = new XMLHttpRequest();
    request.open("GET", address, false);
    request.send();
    if (request.status !== 200) return;
    document.head.append(element("script", { textContent: request.responseText }));
    coming = Promise.resolve();
  }

  /** The theme's colours as a plotly template; figures bring none of their own. */
  function template() {
    const style = getComputedStyle(root);
    /** @param {string} name @param {string} otherwise */
    const color = (name, otherwise) => style.getPropertyValue(name).trim() || otherwise;
    const text = color("--pst-color-text-base", "#222832");
    const muted = color("--pst-color-text-muted", "#48566b");
    const grid = color("--pst-color-border", "#d1d5da");
    const clear = "rgba(0,0,0,0)";
    const axis = { gridcolor: grid, zerolinecolor: grid, linecolor: grid, tickcolor: grid, automargin: true };
    return {
      layout: {
        paper_bgcolor: clear,
        plot_bgcolor: clear,
        font: { color: text, family: style.getPropertyValue("--pst-font-family-base").trim() || "sans-serif", size: 13 },
        xaxis: axis,
        yaxis: axis,
        legend: { bgcolor: clear },
        modebar: { bgcolor: clear, color: muted, activecolor: color("--pst-color-primary", "#176de8") },
        hoverlabel: { bgcolor: color("--pst-color-surface", "#f3f4f5"), bordercolor: grid, font: { color: text } },
      },
    };
  }

  /** plotly's own small HTML as words: tags are left out, entities are the signs that they stand for. @param {unknown} text */
  function words(text) {
    const plain = String(text ?? "").replace(/<br\s*\/?>/g, " ").replace(/<\/?[A-Za-z][^<>]*>/g, "");
    return element("textarea", { innerHTML: plain }).value;
  }

  /**
   * plotly draws its menus and sliders as SVG, out of reach for the keyboard: take them out and build HTML in their place.
   *
   * @param {Plot} plot
   * @param {Layout} layout
   */
  function controls(plot, layout) {
    const menus = (layout.updatemenus ?? []).filter(({ visible, buttons }) => visible !== false && buttons?.length);
    const sliders = (layout.sliders ?? []).filter(({ visible, steps }) => visible !== false && steps?.length);
    delete layout.updatemenus;
    delete layout.sliders;
    const place = /** @type {HTMLElement} */ (document.querySelector(`.msae-controls[data-for="${plot.id}"]`));
    /** @type {Run} */
    const run = (choice) => act(plot, choice);
    for (const menu of menus) {
      if (menu.buttons?.every(({ method }) => method === "animate")) continue; // a slider that plays has a button of its own
      const make = menu.type === "buttons" ? buttons : select;
      place.append(make(menu.name || "Show", menu.buttons ?? [], menu.active ?? 0, run));
    }
    for (const slider of sliders) {
      const name = (slider.currentvalue?.prefix || slider.name || "Step").replace(/[:=\s]+$/, "");
      const steps = slider.steps ?? [];
      place.append(range(name, steps, slider.active ?? 0, run));
      if (steps.length > 1 && steps.every(({ method }) => method === "animate")) place.append(player(place.lastElementChild));
    }
  }

  /** Does what a choice says; a new title goes to the page's own. @param {Plot} plot @param {Choice} choice */
  function act(plot, { method, args: given }) {
    if (!method || method === "skip") return;
    const args = structuredClone(given ?? []);
    const change = method === "relayout" ? args[0] : args[1];
    if (change && method !== "animate") {
      const said = change["title.text"] ?? change.title?.text ?? change.title;
      for (const key of ["title", "title.text"]) delete change[key];
      const title = /** @type {HTMLElement} */ (document.getElementById(`${plot.id}-title`));
      if (typeof said === "string") title.textContent = words(said);
    }
    const done = callPlotly(method, plot, ...args)?.then(() => thin(plot));
    if (method === "animate") done?.catch(() => {}); // a step that the next one overtakes is given up
  }

  /**
   * @template {keyof HTMLElementTagNameMap} Tag
   * @param {Tag} tag
   * @param {Record<string, unknown>} [properties]
   * @param {...(Node | string)} children
   * @returns {HTMLElementTagNameMap[Tag]}
   */
  function element(tag, properties = {}, ...children) {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  }

  /** @param {string} name @param {Choice[]} choices @param {number} active @param {Run} run */
  function buttons(name, choices, active, run) {
    const made = choices.map((choice, i) => {
      const button = element("button", { type: "button", textContent: words(choice.label), ariaPressed: String(i === active) });
      button.addEventListener("click", () => {
        for (const other of made) other.ariaPressed = String(other === button);
        run(choice);
      });
      return button;
    });
    return element("div", { className: "msae-control", role: "group", ariaLabel: name }, ...made);
  }

  /** @param {string} name @param {Choice[]} choices @param {number} active @param {Run} run */
  function select(name, choices, active, run) {
    const options = choices.map((choice, i) => new Option(words(choice.label), String(i), i === active, i === active));
    const box = element("select", {}, ...options);
    box.addEventListener("change", () => run(choices[Number(box.value)]));
    return element("label", { className: "msae-control" }, element("span", { textContent: name }), box);
  }

  /** @param {string} name @param {Choice[]} steps @param {number} active @param {Run} run */
  function range(name, steps, active, run) {
    /** @param {number} i */
    const label = (i) => words(steps[i].label ?? steps[i].value ?? i);
    const bar = element("input", { type: "range", min: 0, max: steps.length - 1, step: 1, value: active });
    const said = element("output", { textContent: label(active) });
    bar.setAttribute("aria-valuetext", label(active));
    bar.addEventListener("input", () => {
      const at = Number(bar.value);
      said.textContent = label(at);
      bar.setAttribute("aria-valuetext", label(at));
      run(steps[at]);
    });
    return element("label", { className: "msae-control" }, element("span", { textContent: name }), bar, said);
  }

  /** A button that moves a slider from its first step to its last, or stops it. @param {Element | null} control */
  function player(control) {
    const bar = /** @type {HTMLInputElement} */ (control?.querySelector("input"));
    const last = Number(bar.max);
    const button = element("button", { type: "button", textContent: "Play", className: "msae-play" });
    let timer = 0;
    const stop = () => {
      clearInterval(timer);
      timer = 0;
      button.textContent = "Play";
    };
    /** @param {number} at */
    const go = (at) => {
      bar.value = String(at);
      bar.dispatchEvent(new Event("input"));
      if (at >= last) stop();
    };
    button.addEventListener("click", () => {
      if (timer) return stop();
      button.textContent = "Stop";
      timer = setInterval(() => go(Number(bar.value) + 1), Math.min(900, Math.max(150, 6000 / last)));
      go(Number(bar.value) >= last ? 0 : Number(bar.value));
    });
    bar.addEventListener("input", (event) => event.isTrusted && stop());
    return button;
  }

  /**
   * On a narrow page panels that stood side by side lie one below the other: the figure says how, here it is done, and undone.
   *
   * @param {Plot} plot
   * @param {Layout} layout
   */
  function fitWidth(plot, layout) {
    const { taller = 0, changes = {} } = layout.meta?.narrow ?? {};
    const height = layout.height ?? 450;
    /** @param {string} path */
    const now = (path) => path.split(".").reduce((part, name) => part?.[name], /** @type {any} */ (layout));
    const before = Object.fromEntries(Object.keys(changes).map((path) => [path, now(path)]));
    const autosize = true; // a height that is set would fix the width, too
    widths.set(plot, [{ ...before, height, autosize }, { ...changes, height: height + taller, autosize }]);
    if (!narrow.matches) return;
    layout.height = height + taller;
    for (const [path, value] of Object.entries(changes)) {
      const name = path.slice(path.lastIndexOf(".") + 1);
      now(path.slice(0, -name.length - 1))[name] = value;
    }
  }

  /**
   * plotly draws ticks with texts of their own all, one upon another where there is no room: here every second or third is kept.
   *
   * @param {Plot} plot
   */
  function thin(plot) {
    /** @type {Record<string, unknown[]>} */
    const change = {};
    for (const [name, axis] of Object.entries(plot._fullLayout)) {
      if (!/^xaxis\d*$/.test(name) || axis.tickmode !== "array" || !axis.ticktext?.length) continue;
      const every = Math.ceil((axis.tickvals.length * 15) / axis._length);
      if (every < 2) continue;
      for (const part of ["tickvals", "ticktext"]) change[`${name}.${part}`] = [...axis[part]].filter((_, i) => i % every === 0);
    }
    return Object.keys(change).length ? callPlotly("relayout", plot, change) : undefined;
  }

  /** What cannot be drawn is said in words, and why on the console. @param {Plot} plot @param {unknown} why */
  function spoken(plot, why) {
    plot.closest(".msae-figure")?.classList.add("msae-undrawn");
    console.error(`The figure ${plot.id} cannot be drawn.`, why);
  }

  /** @param {Plot} plot */
  async function draw(plot) {
    if (begun.has(plot)) return;
    begun.add(plot);
    const { data, layout, frames, config } = JSON.parse(document.querySelector(`script[data-for="${plot.id}"]`)?.textContent ?? "");
    controls(plot, layout);
    layout.template = template();
    layout.autosize = true;
    delete layout.width;
    if (layout.meta?.narrow) fitWidth(plot, layout);
    const options = {
      responsive: true,
      displaylogo: false,
      displayModeBar: narrow.matches ? false : undefined,
      modeBarButtonsToRemove: ["select2d", "lasso2d"],
      ...config,
    };
    await callPlotly("newPlot", plot, { data, layout, frames, config: options });
    await thin(plot);
    drawn.add(plot);
    plot.dataset.ready = "1";
  }

  const near = new IntersectionObserver(
    (entries) => {
      for (const { target } of entries.filter((entry) => entry.isIntersecting)) {
        near.unobserve(target);
        const plot = /** @type {Plot} */ (target);
        loadPlotly().then(() => draw(plot)).catch((why) => spoken(plot, why));
      }
    },
    { rootMargin: "600px" },
  );
  plots.forEach((plot) => near.observe(plot));

  new MutationObserver(() => drawn.forEach((plot) => callPlotly("relayout", plot, { template: template() }))).observe(root, {
    attributes: true,
    attributeFilter: ["data-theme"],
  });

  narrow.addEventListener("change", ({ matches }) => {
    for (const plot of drawn) {
      const change = widths.get(plot)?.[Number(matches)];
      if (change) callPlotly("relayout", plot, change)?.then(() => thin(plot));
    }
  });

  addEventListener("beforeprint", () => {
    if ([...plots].some((plot) => !begun.has(plot))) loadPlotlyAtOnce();
    if (plotly()) plots.forEach((plot) => draw(plot).catch((why) => spoken(plot, why)));
  });
}
