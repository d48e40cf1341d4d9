// All heads of all layers as one grid of small maps: a click chooses a layer and a head.

const OVERVIEW = "All heads: a row for each layer, a column for each head";

/** A grid of maps. layers, heads: how many. most: pixels of a map's side. chosen(layer, head): called by a click.
 *  Its draw(map, layer, head) shows map(layer, head): {rows, columns, values from 0 to 1}; a head below 0 is all of them. */
function headGrid(layers, heads, most, chosen) {
  const canvas = make("canvas", { class: "head-grid" });
  const about = make("p", { class: "legend" }, OVERVIEW);
  const box = make("div", { class: "heads", "aria-hidden": "true" }, about, canvas);
  let cell = 0;
  const gap = 3;
  canvas.addEventListener("click", (event) => {
    const box = canvas.getBoundingClientRect();
    const head = Math.floor((event.clientX - box.left) / (cell + gap));
    const layer = Math.floor((event.clientY - box.top) / (cell + gap));
    if (head >= 0 && head < heads && layer >= 0 && layer < layers) chosen(layer, head);
  });

  function draw(map, layer, head) {
    const room = Math.max(120, box.clientWidth);
    cell = Math.max(14, Math.min(most, Math.floor((room + gap) / heads) - gap));
    const context = sharp(canvas, heads * (cell + gap) - gap, layers * (cell + gap) - gap);
    const accent = colour("accent");
    for (let i = 0; i < layers; i += 1) {
      for (let j = 0; j < heads; j += 1) {
        const { rows, columns, values } = map(i, j);
        const [left, top] = [j * (cell + gap), i * (cell + gap)];
        context.globalAlpha = 1;
        context.fillStyle = colour("surface");
        context.fillRect(left, top, cell, cell);
        context.fillStyle = accent;
        const [width, height] = [cell / columns, cell / rows];
        values.forEach((value, k) => {
          if (value < 0.02) return;
          context.globalAlpha = Math.min(1, value);
          context.fillRect(left + (k % columns) * width, top + Math.floor(k / columns) * height, width, height);
        });
        context.globalAlpha = 1;
        context.strokeStyle = colour("line");
        context.lineWidth = 1;
        context.strokeRect(left + 0.5, top + 0.5, cell - 1, cell - 1);
        if (i === layer && (j === head || head < 0)) {
          context.strokeStyle = colour("ink");
          context.lineWidth = 1.5;
          context.strokeRect(left + 0.75, top + 0.75, cell - 1.5, cell - 1.5);
        }
      }
    }
  }
  return { box, about, draw };
}
