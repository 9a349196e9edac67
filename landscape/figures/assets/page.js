"use strict";
(() => {
  const content = JSON.parse(document.getElementById("content").textContent);
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const NARROW = 760;
  const solid = !!document.createElement("canvas").getContext("webgl");  // without it plotly draws no surface
  if (!window.Plotly) {
    document.getElementById("missing").hidden = false;
    document.querySelectorAll("figure").forEach((figure) => { figure.hidden = true; });
  }

  // Drawings share their larger parts: {"$": i} stands for entry i of the table. Plotly writes into what it is given,
  // so every drawing gets a copy of its own.
  const resolve = (node) => {
    if (Array.isArray(node)) return node.map(resolve);
    if (node === null || typeof node !== "object") return node;
    if ("$" in node) return resolve(content.table[node.$]);
    return Object.fromEntries(Object.entries(node).map(([key, value]) => [key, resolve(value)]));
  };

  // The address holds the state: #f1-scale=linear&f1-camera=1.2,-1.4,1.2
  const state = new URLSearchParams(location.hash.slice(1));
  const remember = (key, value, fallback) => {
    if (value === fallback) state.delete(key); else state.set(key, value);
    history.replaceState(null, "", state.size ? `#${state}` : location.pathname + location.search);
  };

  const axes = (layout) => Object.entries(layout).flatMap(([key, value]) => {
    if (/^[xy]axis\d*$/.test(key)) return [value];
    return /^scene\d*$/.test(key) ? [value.xaxis, value.yaxis, value.zaxis].filter(Boolean) : [];
  });

  const themed = (layout) => {
    const style = getComputedStyle(document.documentElement);
    const color = (name) => style.getPropertyValue(name).trim();
    layout.paper_bgcolor = layout.plot_bgcolor = "rgba(0,0,0,0)";
    layout.font = { ...layout.font, color: color("--text") };
    layout.hoverlabel = { ...layout.hoverlabel, bgcolor: color("--raised"), bordercolor: color("--line") };
    layout.modebar = { bgcolor: "rgba(0,0,0,0)", color: color("--quiet"), activecolor: color("--accent") };
    layout.hoverlabel.font = { ...layout.hoverlabel.font, color: color("--text") };
    for (const axis of axes(layout)) Object.assign(axis, { color: color("--text"), gridcolor: color("--line"), zerolinecolor: color("--quiet") });
    return layout;
  };

  class Figure {
    constructor(spec, index) {
      this.spec = spec;
      this.id = `f${index + 1}`;
      this.section = document.getElementById(`figure-${index + 1}`);
      this.plot = this.section.querySelector(".plot");
      this.camera = null;
      this.form = this.section.querySelector(".controls");
      if (this.form) {
        this.form.addEventListener("change", () => { this.save(); this.draw(); });
        this.form.addEventListener("submit", (event) => event.preventDefault());
      }
      this.load();
    }

    fields(control) { return [...this.form.elements].filter((e) => e.name === `${this.id}-${control.name}`); }

    value(control) {
      const fields = this.fields(control);
      return fields[0].tagName === "SELECT" ? fields[0].value : fields.find((field) => field.checked).value;
    }

    first(control) { return !solid && control.values.includes("contour") ? "contour" : control.values[0]; }

    load() {
      for (const control of this.spec.controls) {
        const asked = state.get(`${this.id}-${control.name}`);
        const value = control.values.includes(asked) ? asked : this.first(control);
        for (const field of this.fields(control)) {
          if (field.tagName === "SELECT") field.value = value; else field.checked = field.value === value;
        }
      }
      const eye = (state.get(`${this.id}-camera`) || "").split(",").map(Number);
      this.camera = eye.length === 3 && eye.every(Number.isFinite) ? { eye: { x: eye[0], y: eye[1], z: eye[2] } } : null;
    }

    save() {
      for (const control of this.spec.controls) remember(`${this.id}-${control.name}`, this.value(control), this.first(control));
    }

    scenes() { return Object.keys(this.plot._fullLayout || {}).filter((key) => /^scene\d*$/.test(key)); }

    // A figure fills the window without scrolling where that leaves it readable.
    height(layout, narrow) {
      const wanted = layout.height || 480;
      if (narrow) return wanted;
      const top = this.plot.getBoundingClientRect().top + window.scrollY;
      const room = window.innerHeight - (top < window.innerHeight / 2 ? top : 90) - 62;
      return Math.max(Math.min(wanted, room), Math.min(wanted, (layout.meta && layout.meta.least) || 480));
    }

    async draw() {
      if (!window.Plotly) return;
      const view = this.spec.views[this.spec.controls.map((control) => this.value(control)).join("|")];
      this.narrow = this.plot.clientWidth < NARROW;
      const layout = themed(resolve(this.narrow && view.narrow ? view.narrow : view.layout));
      layout.height = this.height(layout, this.narrow);
      delete layout.width;
      if (this.camera) {
        for (const key of Object.keys(layout)) {
          if (/^scene\d*$/.test(key)) layout[key].camera = { ...layout[key].camera, ...this.camera };
        }
      }
      const config = {
        displaylogo: false, responsive: true,
        toImageButtonOptions: { format: view.flat ? "svg" : "png", scale: view.flat ? 1 : 2, filename: this.filename() },
      };
      // The download button is part of the configuration, which plotly reads for a new figure only.
      if (this.flat !== undefined && this.flat !== view.flat) Plotly.purge(this.plot);
      const fresh = this.flat !== view.flat;
      this.flat = view.flat;
      await Plotly.react(this.plot, resolve(view.data), layout, config);
      if (fresh) this.listen();
      this.plot.dataset.drawn = String(Number(this.plot.dataset.drawn || 0) + 1);
    }

    filename() { return this.spec.name.normalize("NFKD").replace(/[^\w]+/g, "-").replace(/^-|-$/g, "").slice(0, 80).toLowerCase(); }

    listen() {
      this.plot.on("plotly_relayouting", (change) => this.shadow(this.moved(change)));
      this.plot.on("plotly_relayout", (change) => this.follow(this.moved(change)));
    }

    // Cameras are linked: what one scene does, the others follow.
    moved(change) {
      const key = Object.keys(change || {}).find((name) => /^scene\d*\.camera/.test(name));
      if (!key || this.linking) return null;
      const source = key.split(".")[0];
      const camera = key.endsWith(".camera") ? change[key] : this.plot.layout[source].camera;
      return camera && camera.eye ? { source, camera } : null;
    }

    // While a scene is dragged a relayout would stop the drag, so the other scenes are turned directly.
    shadow(move) {
      if (!move) return;
      for (const name of this.scenes()) {
        const layout = this.plot._fullLayout[name];
        if (name !== move.source && layout._scene && layout._scene.setViewport) {
          layout._scene.setViewport({ ...layout, camera: { ...layout.camera, ...move.camera } });
        }
      }
    }

    async follow(move) {
      if (!move) return;
      const { eye, center, up } = move.camera;
      this.camera = { eye, ...(center && { center }), ...(up && { up }) };
      const others = this.scenes().filter((name) => name !== move.source);
      this.linking = true;
      try {
        const update = Object.fromEntries(others.map((name) => [`${name}.camera`, this.camera]));
        if (others.length) await Plotly.relayout(this.plot, update);
      } finally {
        this.linking = false;
      }
      remember(`${this.id}-camera`, [eye.x, eye.y, eye.z].map((v) => Number(v).toFixed(2)).join(","));
    }
  }

  const figures = content.figures.map((spec, index) => new Figure(spec, index));
  const drawAll = () => figures.reduce((before, figure) => before.then(() => figure.draw()), Promise.resolve());
  // A figure is as wide as its place was when it was drawn, which a scroll bar or the drawing of others may change.
  const settle = () => Promise.all(figures.map(({ plot }) => (window.Plotly && plot.clientWidth ? Plotly.Plots.resize(plot) : null)));
  drawAll().then(settle).then(() => { document.documentElement.dataset.ready = "yes"; });
  dark.addEventListener("change", drawAll);
  window.addEventListener("resize", () => {
    for (const figure of figures) if ((figure.plot.clientWidth < NARROW) !== figure.narrow) figure.draw();
  });
  window.addEventListener("hashchange", () => {
    for (const key of [...state.keys()]) state.delete(key);
    new URLSearchParams(location.hash.slice(1)).forEach((value, key) => state.set(key, value));
    figures.forEach((figure) => figure.load());
    drawAll();
  });

  document.querySelectorAll("button.copy").forEach((button) => button.addEventListener("click", async () => {
    const block = button.closest(".facts");
    const code = block.querySelector("pre");
    const rows = [...block.querySelectorAll("dt")].map((dt) => `${dt.textContent}: ${dt.nextElementSibling.textContent}`);
    const text = code ? code.textContent : rows.join("\n");
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "copied";
    } catch {
      const range = document.createRange();
      range.selectNodeContents(code || block.querySelector("dl"));
      getSelection().removeAllRanges();
      getSelection().addRange(range);
      button.textContent = document.execCommand("copy") ? "copied" : "selected";
    }
    setTimeout(() => { button.textContent = "copy"; }, 1500);
  }));
})();
