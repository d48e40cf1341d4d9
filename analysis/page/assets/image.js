// The explorer of a model of images: what a patch, or what the model's head reads, attends to.

function exploreImages(data, host) {
  const [rows, columns] = data.grid;
  const items = data.items.map((item) => ({
    ...item, read: unpack(item.read), reading: unpack(item.reading).row(0),
    attention: unpack(item.attention), rollout: unpack(item.rollout), image: Object.assign(new Image(), { src: item.picture }),
  }));
  const positions = data.positions && unpack(data.positions);
  const extra = items[0].attention.shape[2] - rows * columns;
  const whole = items[0].attention.shape[1] === data.heads;
  const centre = Math.floor(rows / 2) * columns + Math.floor(columns / 2);
  const state = { item: 0, show: "attention", layer: data.layers - 1, head: -1, query: null, pinned: false };

  const canvas = make("canvas", {
    tabindex: 0, role: "application", "aria-label": "The picture with its patches. Arrow keys choose a patch, Escape lets it go.",
    "aria-describedby": "explorer-readout",
  });
  const readout = make("p", { id: "explorer-readout", class: "readout", role: "status" });
  const caption = make("p", { class: "caption" });
  const stage = make("div", { class: "stage" }, caption, canvas, readout);
  const grid = headGrid(data.layers, data.heads, 64, (layer, head) => change({ layer, head, show: "attention" }));

  const thumbnails = data.items.map((item, i) => [i, make("img", { src: item.picture, alt: "" }), `${item.name} ${item.note}`.trim()]);
  const kinds = [["attention", "attention"], ["rollout", "rollout"]];
  if (positions) kinds.push(["positions", "positions"]);
  const controls = {
    item: choice("Image", thumbnails, 0, (item) => change({ item, pinned: false, query: null }), "pictures"),
    show: choice("Show", kinds, "attention", (show) => change({ show }), "segments"),
    layer: numbers("Layer", data.layers, state.layer, (layer) => change({ layer })),
    head: numbers("Head", data.heads, state.head, (head) => change({ head }), true),
  };
  const panel = make("div", { class: "panel" }, ...Object.values(controls), grid.box);
  host.append(stage, panel);

  function change(changes) {
    Object.assign(state, changes);
    if (state.show === "positions" && state.query === null) state.query = centre;
    for (const [name, control] of Object.entries(controls)) control.choose(state[name]);
    controls.layer.disabled = controls.head.disabled = state.show !== "attention";
    draw();
  }

  const heads = () => Array.from({ length: data.heads }, (_, head) => head);

  /** The weight of every token for the query. */
  function weights(layer, head) {
    const item = items[state.item];
    const token = state.query === null ? null : extra + state.query;
    if (state.show === "positions") return null;
    if (state.show === "rollout") return token === null ? mixed(item.reading, item.rollout.row) : item.rollout.row(token);
    if (token === null) return head < 0 ? mean(heads().map((h) => item.read.row(layer, h))) : item.read.row(layer, head);
    if (!whole) return item.attention.row(layer, 0, token);
    return head < 0 ? mean(heads().map((h) => item.attention.row(layer, h, token))) : item.attention.row(layer, head, token);
  }

  /** The number of every patch, and the same as a share: weights of the largest; similarities, which lie close together,
   *  between the smallest and the largest. */
  function patches() {
    const similar = state.show === "positions";
    const values = similar ? positions.row(state.query).map((value) => 2 * value - 1) : weights(state.layer, state.head).subarray(extra);
    const least = similar ? Math.min(...values) : 0;
    const range = Math.max(Math.max(...values) - least, 1e-9);
    return { values, shares: values.map((value) => (value - least) / range) };
  }

  let side = { width: 0, height: 0 };
  function draw() {
    const { image, name, note } = items[state.item];
    if (!image.complete || !image.naturalWidth) { image.onload = draw; return; }
    const ratio = image.naturalHeight / image.naturalWidth;
    const width = Math.min(stage.clientWidth, 440, 440 / ratio);
    side = { width, height: width * ratio };
    const context = sharp(canvas, side.width, side.height);
    context.imageSmoothingEnabled = image.naturalWidth > 64;
    context.drawImage(image, 0, 0, side.width, side.height);
    const { values, shares } = patches();
    const [w, h] = [side.width / columns, side.height / rows];
    context.fillStyle = colour("veil");
    context.fillRect(0, 0, side.width, side.height);
    context.fillStyle = colour("heat");
    shares.forEach((share, patch) => {
      context.globalAlpha = 0.82 * share;
      context.fillRect((patch % columns) * w, Math.floor(patch / columns) * h, w, h);
    });
    context.globalAlpha = 1;
    context.strokeStyle = "rgb(128 128 128 / 35%)";
    context.lineWidth = 1;
    context.beginPath();
    for (let i = 1; i < columns; i += 1) { context.moveTo(Math.round(i * w) + 0.5, 0); context.lineTo(Math.round(i * w) + 0.5, side.height); }
    for (let i = 1; i < rows; i += 1) { context.moveTo(0, Math.round(i * h) + 0.5); context.lineTo(side.width, Math.round(i * h) + 0.5); }
    context.stroke();
    if (state.query !== null) {
      const [x, y] = [(state.query % columns) * w, Math.floor(state.query / columns) * h];
      for (const [style, line] of [["rgb(0 0 0 / 80%)", 5], ["#fff", 2.5]]) {
        context.strokeStyle = style;
        context.lineWidth = line;
        context.strokeRect(x + 2.5, y + 2.5, w - 5, h - 5);
      }
    }
    caption.replaceChildren(make("b", {}, name), note ? ` · says ${note}` : "");
    readout.textContent = said(values);
    grid.box.hidden = state.show !== "attention";
    if (!grid.box.hidden) {
      grid.about.textContent = state.query !== null && !whole ? "What the model’s head reads, by layer (row) and head (column)" : OVERVIEW;
      grid.draw(small, state.layer, state.head);
    }
  }

  function small(layer, head) {
    const values = state.query !== null && !whole ? items[state.item].read.row(layer, head) : weights(layer, head);
    const own = values.subarray(extra);
    const peak = Math.max(...own, 1e-9);
    return { rows, columns, values: own.map((value) => value / peak) };
  }

  const place = (patch) => `row ${Math.floor(patch / columns) + 1}, column ${(patch % columns) + 1}`;

  /** The reading of the map in a sentence. */
  function said(values) {
    const who = state.query === null ? upper(data.query) : `Patch in ${place(state.query)}`;
    const best = largest(values, 3);
    if (state.show === "positions") {
      const others = largest(values, 4).filter((patch) => patch !== state.query).slice(0, 3);
      return `${who}: its position is most like ${others.map((p) => `${place(p)} (${values[p].toFixed(2)})`).join("; ")}.`;
    }
    const head = state.head < 0 ? "mean of the heads" : `head ${state.head + 1}`;
    const averaged = state.query !== null && !whole && state.show === "attention" ? "mean of the heads, which is all that this page holds of patches" : head;
    const where = state.show === "rollout" ? "through all layers" : `layer ${state.layer + 1}, ${averaged}`;
    const tokens = extra ? ` ${percent(1 - values.reduce((sum, value) => sum + value, 0))} goes to tokens that are no patch.` : "";
    return `${who}, ${where}: ${best.map((p) => `${percent(values[p])} to ${place(p)}`).join("; ")}.${tokens}`;
  }

  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    const column = Math.floor(((event.clientX - box.left) / box.width) * columns);
    const row = Math.floor(((event.clientY - box.top) / box.height) * rows);
    return column < 0 || column >= columns || row < 0 || row >= rows ? null : row * columns + column;
  };
  canvas.addEventListener("pointermove", (event) => {
    const patch = at(event);
    if (event.pointerType === "mouse" && !state.pinned && patch !== null && patch !== state.query) change({ query: patch });
  });
  canvas.addEventListener("pointerleave", (event) => {
    if (event.pointerType === "mouse" && !state.pinned) change({ query: null });
  });
  canvas.addEventListener("click", (event) => {
    const patch = at(event);
    if (state.pinned && patch === state.query) change({ pinned: false, query: null });
    else change({ pinned: true, query: patch });
  });
  canvas.addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
    if (event.key === "Escape") { change({ query: null, pinned: false }); return; }
    if (!steps[event.key]) return;
    event.preventDefault();
    const from = state.query === null ? centre : state.query;
    const [down, right] = state.query === null ? [0, 0] : steps[event.key];
    const row = Math.min(rows - 1, Math.max(0, Math.floor(from / columns) + down));
    const column = Math.min(columns - 1, Math.max(0, (from % columns) + right));
    change({ query: row * columns + column, pinned: true });
  });
  stage.append(make("p", { class: "note" }, "Point at a patch, click to keep it, or move by the arrow keys. Without a patch: what the model’s head reads."));
  redrawn(stage, draw);
  change({});
}

const upper = (text) => text.charAt(0).toUpperCase() + text.slice(1);
