// The explorer of a model of text: what a word attends to, alignments, rollout and the logit lens.

const VIEWS = { alignment: "target → source", encoder: "within the source", decoder: "within the target" };

function exploreWords(data, host) {
  const items = data.items.map(({ views }) => views.map((view) => ({
    ...view, attention: unpack(view.attention), rollout: view.rollout && unpack(view.rollout),
    lens: view.lens && { top: view.lens.top, probability: unpack(view.lens.probability) },
  })));
  const state = { item: 0, view: items[0][0].name, show: "attention", layer: 0, head: -1, row: 0 };
  const current = () => items[state.item].find((view) => view.name === state.view) || items[state.item][0];
  const text = (tokens) => tokens.join("").replaceAll("⏎", " ").trim();

  const readout = make("p", { id: "explorer-readout", class: "readout", role: "status" });
  const lines = make("div", { class: "words" });
  const overview = make("div");
  const stage = make("div", { class: "stage wide" }, lines, readout, overview);
  const panel = make("div", { class: "panel" });
  host.append(stage, panel);
  const pair = items[0].some((view) => view.name === "alignment");

  const labels = items.map((views, i) => [i, text((views.find((v) => v.name !== "decoder") || views[0]).columns)]);
  let controls = {};
  let grid = null;
  let overviewed = ""; // what the overview shows: it has many squares and does not change with the word

  /** Choices that depend on the view are made anew with it. */
  function build() {
    const view = current();
    const [layers, heads] = view.attention.shape;
    const names = items[state.item].map(({ name }) => [name, pair ? VIEWS[name] || name : name]);
    const kinds = [["attention", "attention"], ...(view.rollout ? [["rollout", "rollout"]] : []), ...(view.lens ? [["lens", "logit lens"]] : [])];
    if (!kinds.some(([kind]) => kind === state.show)) state.show = "attention";
    state.layer = Math.min(state.layer, layers - 1);
    state.head = Math.min(state.head, heads - 1);
    grid = headGrid(layers, heads, 88, (layer, head) => change({ layer, head }));
    controls = {
      item: choice("Sentence", labels, state.item, (item) => change({ item, row: null }, true), "sentences"),
      view: names.length > 1 ? choice("Attention", names, state.view, (name) => change({ view: name, row: null }, true), "segments") : null,
      show: kinds.length > 1 ? choice("Show", kinds, state.show, (show) => change({ show }), "segments") : null,
      layer: layers > 1 ? numbers("Layer", layers, state.layer, (layer) => change({ layer })) : null,
      head: heads > 1 ? numbers("Head", heads, state.head, (head) => change({ head }), true) : null,
    };
    const focused = document.activeElement && panel.contains(document.activeElement) ? document.activeElement.value : null;
    const group = focused === null ? -1 : [...panel.children].findIndex((child) => child.contains(document.activeElement));
    panel.replaceChildren(...Object.values(controls).filter(Boolean));
    overview.replaceChildren(grid.box);
    overviewed = "";
    if (group >= 0) panel.children[group]?.querySelector(`input[value="${CSS.escape(focused)}"]`)?.focus();
    lay(view);
  }

  /** The words, as buttons in their order. */
  function lay(view) {
    const self = view.rollout !== null;
    const line = (tokens, name, points) => make("div", { class: "line" }, make("p", { class: "legend" }, name),
      make("div", { class: `tokens ${points ? "points" : ""}`, role: points ? "toolbar" : null, "aria-label": points ? name : null },
        ...tokens.flatMap((token, i) => {
          const shown = token.trim() || "␣".repeat(Math.max(1, token.length));
          const space = token.trim() ? token.slice(0, token.length - token.trimStart().length) : "";
          const node = points
            ? make("button", { type: "button", class: "token", tabindex: -1, "aria-describedby": "explorer-readout",
              pointerenter: (event) => { if (event.pointerType === "mouse") change({ row: i }); },
              click: () => change({ row: i }), focus: () => change({ row: i }), keydown: move }, shown)
            : make("span", { class: "token" }, shown);
          return token.includes("⏎") ? [space, node, make("br")] : [space, node];
        })));
    const cut = view.cut ? `The first ${Math.max(view.rows.length, view.columns.length)} of ${view.cut} tokens. ` : "";
    const hint = make("p", { class: "note" }, `${cut}Point at a word, or move by the arrow keys.`);
    lines.replaceChildren(...(self ? [line(view.rows, "", true)] : [line(view.rows, "target: point here", true), line(view.columns, "source", false)]), hint);
    lines.classList.toggle("self", self);
    if (state.row === null || state.row >= view.rows.length) state.row = first(view);
  }

  /** A word to begin with: in the last third, so that there is something before it. */
  function first(view) {
    const words = view.rows.map((token, i) => [token, i]).filter(([token]) => /[\p{L}\p{N}]/u.test(token) && !/^[[<]/.test(token));
    return words.length ? words[Math.floor((words.length * 2) / 3)][1] : view.rows.length - 1;
  }

  function move(event) {
    const count = current().rows.length;
    const to = { ArrowLeft: state.row - 1, ArrowRight: state.row + 1, Home: 0, End: count - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    lines.querySelectorAll("button.token")[Math.min(count - 1, Math.max(0, to))].focus();
  }

  function change(changes, anew = false) {
    Object.assign(state, changes);
    if (anew) build();
    for (const [name, control] of Object.entries(controls)) control?.choose(state[name]);
    for (const name of ["layer", "head"]) if (controls[name]) controls[name].disabled = state.show !== "attention";
    draw();
  }

  function weights(view, layer, head, row) {
    if (state.show === "rollout") return view.rollout.row(row);
    if (head >= 0) return view.attention.row(layer, head, row);
    return mean(Array.from({ length: view.attention.shape[1] }, (_, h) => view.attention.row(layer, h, row)));
  }

  function draw() {
    const view = current();
    const self = view.rollout !== null;
    const buttons = [...lines.querySelectorAll("button.token")];
    const targets = self ? buttons : [...lines.querySelectorAll("span.token")];
    const lens = state.show === "lens";
    const values = lens ? null : weights(view, state.layer, state.head, state.row);
    const peak = lens ? 1 : Math.max(...values, 1e-9);
    targets.forEach((node, i) => node.style.setProperty("--w", lens ? 0 : (values[i] / peak).toFixed(3)));
    buttons.forEach((node, i) => {
      node.classList.toggle("here", i === state.row);
      node.tabIndex = i === state.row ? 0 : -1;
      node.setAttribute("aria-pressed", i === state.row);
    });
    readout.textContent = lens ? saidOfLens(view) : said(view, values);
    const before = host.querySelector(".lens");
    const left = before ? before.scrollLeft : 0;
    before?.remove();
    if (lens) {
      const scroll = lensTable(view);
      overview.before(scroll);
      scroll.scrollLeft = left;
      const [cell, room] = [scroll.querySelector("thead .here"), scroll.clientWidth - 80];
      if (cell.offsetLeft < left + 80 || cell.offsetLeft + cell.offsetWidth > left + room) scroll.scrollLeft = cell.offsetLeft - room / 2;
    }
    grid.box.hidden = state.show !== "attention";
    const key = [state.item, state.view, state.layer, state.head, stage.clientWidth, colour("ink")].join();
    if (state.show === "attention" && key !== overviewed) {
      overviewed = key;
      const [, , rows, columns] = view.attention.shape;
      grid.draw((layer, head) => {
        const values = [];
        for (let row = 0; row < rows; row += 1) {
          const weights = view.attention.row(layer, head, row);
          const most = Math.max(...weights, 1e-9);
          values.push(...weights.map((weight) => weight / most));
        }
        return { rows, columns, values };
      }, state.layer, state.head);
    }
  }

  const quoted = (token) => `“${token.trim() || "␣"}”`;

  function said(view, values) {
    const where = state.show === "rollout" ? "through all layers" : `layer ${state.layer + 1}, ${state.head < 0 ? "mean of the heads" : `head ${state.head + 1}`}`;
    const best = largest(values, 4).filter((i) => values[i] > 0.005).map((i) => `${quoted(view.columns[i])} ${percent(values[i])}`);
    return `${quoted(view.rows[state.row])} attends to ${best.join(", ")} (${where}).`;
  }

  function saidOfLens(view) {
    const layers = view.lens.top.length;
    const after = view.lens.top[layers - 1][state.row];
    const next = view.name === "decoder"; // an encoder of hidden tokens writes what stands at the same place
    return `${next ? "After" : "At"} ${quoted(view.rows[state.row])} the model expects ${quoted(after)} (${percent(view.lens.probability.row(layers - 1)[state.row])}). The table: the likeliest ${next ? "next token" : "token"} if it stopped after each layer.`;
  }

  function lensTable(view) {
    const body = make("tbody");
    for (let layer = view.lens.top.length - 1; layer >= 0; layer -= 1) {
      const probability = view.lens.probability.row(layer);
      const cells = view.lens.top[layer].map((token, i) => {
        const cell = make("td", { class: i === state.row ? "here" : null, title: percent(probability[i]), pointerenter: () => change({ row: i }) }, token.trim() || "␣");
        cell.style.setProperty("--w", probability[i].toFixed(3));
        return cell;
      });
      body.append(make("tr", {}, make("th", { scope: "row" }, `layer ${layer + 1}`), ...cells));
    }
    const head = make("tr", {}, make("th", { scope: "col" }, "read"), ...view.rows.map((token, i) => make("th", { scope: "col", class: i === state.row ? "here" : null }, token.trim() || "␣")));
    const scroll = make("div", { class: "scroll lens", tabindex: 0, role: "region", "aria-label": "The logit lens" }, make("table", {}, make("thead", {}, head), body));
    return scroll;
  }

  state.row = null;
  build();
  change({ layer: current().attention.shape[0] - 1 });
  redrawn(stage, draw);
}
