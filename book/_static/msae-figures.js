// Draws the figures of a page: each when it comes near the window, in the colours of the page's theme, with HTML controls.
// plotly is large and would hold up the page: it comes, from beside this script, with the first figure that is needed.
(() => {
  "use strict";
  const root = document.documentElement;
  const plots = [...document.querySelectorAll(".msae-plot")];
  const begun = new Set();
  const drawn = new Set();
  const address = new URL("plotly.min.js", document.currentScript.src).href;

  let coming = null;
  function plotly() {
    coming ??= new Promise((done, failed) => document.head.append(element("script", { src: address, onload: done, onerror: failed })));
    return coming;
  }

  // Printing does not wait, so here the page does. A page opened from a disk may not read a file so: it prints the figure's words.
  function plotlyAtOnce() {
    if (globalThis.Plotly || location.protocol === "file:") return;
    const request = new XMLHttpRequest();
    request.open("GET", address, false);
    request.send();
    if (request.status !== 200) return;
    document.head.append(element("script", { textContent: request.responseText }));
    coming = Promise.resolve();
  }

  // The theme's colours as a plotly template; figures bring none of their own.
  function template() {
    const style = getComputedStyle(root);
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

  // plotly's own small HTML as words: tags are left out, entities are the signs that they stand for.
  function words(text) {
    const plain = String(text ?? "").replace(/<br\s*\/?>/g, " ").replace(/<\/?[A-Za-z][^<>]*>/g, "");
    return element("textarea", { innerHTML: plain }).value;
  }

  // plotly draws its menus and sliders as SVG, out of reach for the keyboard: take them out and build HTML in their place.
  function controls(plot, layout) {
    const menus = (layout.updatemenus || []).filter((menu) => menu.visible !== false && (menu.buttons || []).length);
    const sliders = (layout.sliders || []).filter((slider) => slider.visible !== false && (slider.steps || []).length);
    delete layout.updatemenus;
    delete layout.sliders;
    const place = document.querySelector(`.msae-controls[data-for="${plot.id}"]`);
    const title = document.getElementById(`${plot.id}-title`);

    const run = (choice) => {
      if (!choice.method || choice.method === "skip") return;
      const args = structuredClone(choice.args || []);
      const change = choice.method === "relayout" ? args[0] : args[1];
      if (change && choice.method !== "animate") {
        const said = change["title.text"] ?? change.title?.text ?? change.title;
        for (const key of ["title", "title.text"]) delete change[key];
        if (typeof said === "string") title.textContent = words(said);
      }
      Plotly[choice.method](plot, ...args)?.then(() => thin(plot));
    };

    for (const menu of menus) {
      const name = menu.name || "Show";
      if (menu.type === "buttons") place.append(buttons(name, menu.buttons, menu.active ?? 0, run));
      else place.append(select(name, menu.buttons, menu.active ?? 0, run));
    }
    for (const slider of sliders) {
      const name = (slider.currentvalue?.prefix || slider.name || "Step").replace(/[:=\s]+$/, "");
      place.append(range(name, slider.steps, slider.active ?? 0, run));
    }
  }

  function element(tag, properties = {}, ...children) {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  }

  function buttons(name, choices, active, run) {
    const group = element("div", { className: "msae-control", role: "group", ariaLabel: name });
    choices.forEach((choice, i) => {
      const button = element("button", { type: "button", textContent: words(choice.label), ariaPressed: String(i === active) });
      button.addEventListener("click", () => {
        for (const other of group.children) other.ariaPressed = String(other === button);
        run(choice);
      });
      group.append(button);
    });
    return group;
  }

  function select(name, choices, active, run) {
    const box = element("select", {}, ...choices.map((choice, i) => new Option(words(choice.label), i, i === active, i === active)));
    box.addEventListener("change", () => run(choices[box.value]));
    return element("label", { className: "msae-control" }, element("span", { textContent: name }), box);
  }

  function range(name, steps, active, run) {
    const label = (i) => words(steps[i].label ?? steps[i].value ?? i);
    const bar = element("input", { type: "range", min: 0, max: steps.length - 1, step: 1, value: active });
    const said = element("output", { textContent: label(active) });
    bar.setAttribute("aria-valuetext", label(active));
    bar.addEventListener("input", () => {
      said.textContent = label(bar.value);
      bar.setAttribute("aria-valuetext", label(bar.value));
      run(steps[bar.value]);
    });
    return element("label", { className: "msae-control" }, element("span", { textContent: name }), bar, said);
  }

  // plotly draws ticks with texts of their own all, one upon another where there is no room: here every second or third is kept.
  function thin(plot) {
    const change = {};
    for (const [name, axis] of Object.entries(plot._fullLayout)) {
      if (!/^xaxis\d*$/.test(name) || axis.tickmode !== "array" || !axis.ticktext?.length) continue;
      const every = Math.ceil((axis.tickvals.length * 15) / axis._length);
      for (const part of every > 1 ? ["tickvals", "ticktext"] : []) change[`${name}.${part}`] = [...axis[part]].filter((_, i) => i % every === 0);
    }
    return Object.keys(change).length ? Plotly.relayout(plot, change) : undefined;
  }

  // What cannot be drawn is said in words, and why on the console.
  function spoken(plot, why) {
    plot.closest(".msae-figure").classList.add("msae-undrawn");
    console.error(`The figure ${plot.id} cannot be drawn.`, why);
  }

  async function draw(plot) {
    if (begun.has(plot)) return;
    begun.add(plot);
    const figure = JSON.parse(document.querySelector(`script[data-for="${plot.id}"]`).textContent);
    const { data, layout, frames, config } = figure;
    controls(plot, layout);
    layout.template = template();
    layout.autosize = true;
    delete layout.width;
    const narrow = root.clientWidth < 600;
    const options = {
      responsive: true,
      displaylogo: false,
      displayModeBar: narrow ? false : undefined,
      modeBarButtonsToRemove: ["select2d", "lasso2d"],
      ...config,
    };
    await Plotly.newPlot(plot, { data, layout, frames, config: options });
    await thin(plot);
    drawn.add(plot);
    plot.dataset.ready = "1";
  }

  const near = new IntersectionObserver(
    (entries) => {
      for (const entry of entries.filter((e) => e.isIntersecting)) {
        near.unobserve(entry.target);
        plotly().then(() => draw(entry.target)).catch((why) => spoken(entry.target, why));
      }
    },
    { rootMargin: "600px" },
  );
  plots.forEach((plot) => near.observe(plot));

  new MutationObserver(() => drawn.forEach((plot) => Plotly.relayout(plot, { template: template() }))).observe(root, {
    attributes: true,
    attributeFilter: ["data-theme"],
  });

  addEventListener("beforeprint", () => {
    if (plots.some((plot) => !begun.has(plot))) plotlyAtOnce();
    if (globalThis.Plotly) plots.forEach((plot) => draw(plot).catch((why) => spoken(plot, why)));
  });
})();
