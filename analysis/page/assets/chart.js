// Curves of a run: two charts, of which each shows any metric of the log.

const MARGIN = { left: 54, right: 12, top: 10, bottom: 28 };
const HEIGHT = 230;

function showCurves(data, host) {
  const names = Object.keys(data.metrics);
  const state = { x: "step", scale: "linear" };
  const timed = names.some((name) => data.metrics[name].some((curve) => curve.time[0] !== null));
  const charts = data.first.map((name) => chart(data.metrics, names, name, state));
  const draw = () => charts.forEach(({ draw: one }) => one());
  const options = make("div", { class: "options" },
    timed ? choice("Over", [["step", "steps"], ["time", "seconds"]], "step", (x) => { state.x = x; draw(); }, "segments") : null,
    choice("Scale", [["linear", "linear"], ["log", "log"]], "linear", (scale) => { state.scale = scale; draw(); }, "segments"));
  host.append(...charts.map(({ box }) => box), options);
  redrawn(host, draw);
  draw();
}

/** Round numbers between two ends, about so many. */
function ticks(low, high, count) {
  if (!(high > low)) return [low];
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough);
  const found = [];
  for (let value = Math.ceil(low / step) * step; value <= high + step * 1e-9; value += step) found.push(Math.abs(value) < step * 1e-9 ? 0 : value);
  return found;
}

/** Powers of ten, or between two of them their multiples. */
function logTicks(low, high) {
  const found = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += 1) {
    for (const factor of Math.log10(high / low) > 2.5 ? [1] : [1, 2, 5]) {
      const value = factor * 10 ** power;
      if (value >= low * 0.999 && value <= high * 1.001) found.push(value);
    }
  }
  return found.length > 1 ? found : [low, high];
}

function short(value) {
  const size = Math.abs(value);
  if (size >= 1e6 || (size > 0 && size < 1e-3)) return value.toExponential(size >= 1e6 ? 1 : 0).replace("e+", "e");
  if (size >= 1e4) return `${Math.round(value / 1e3)}k`;
  return String(Number(value.toPrecision(4)));
}

function chart(metrics, names, first, state) {
  let name = first;
  let cursor = null;
  const select = make("select", { "aria-label": "Metric", change: () => { name = select.value; cursor = null; draw(); } },
    ...names.map((one) => make("option", { value: one, selected: one === first }, one.replaceAll("_", " "))));
  const legend = make("p", { class: "legend", role: "status" });
  const svg = make("svg", { tabindex: 0, role: "img", height: HEIGHT });
  const box = make("div", { class: "chart" }, make("div", { class: "chart-head" }, select, legend), svg);
  let xs = [];
  let at = (x) => x;

  function draw() {
    const curves = metrics[name];
    const width = Math.max(240, box.clientWidth);
    svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    svg.setAttribute("width", width);
    svg.setAttribute("aria-label", `${name.replaceAll("_", " ")} by ${state.x}. Arrow keys move along it.`);
    const positive = curves.every((curve) => curve.value.every((value) => value > 0));
    const log = state.scale === "log" && positive;
    const all = curves.flatMap((curve) => curve.value);
    let [low, high] = [Math.min(...all), Math.max(...all)];
    if (low === high) [low, high] = low === 0 ? [-1, 1] : [low - Math.abs(low) / 2, high + Math.abs(high) / 2];
    if (!log) { const room = (high - low) * 0.05; low = low >= 0 && low - room < 0 ? Math.max(0, low - room) : low - room; high += room; }
    const across = curves.flatMap((curve) => curve[state.x]);
    let [begin, end] = [Math.min(0, ...across), Math.max(...across)];
    if (begin === end) end = begin + 1;
    const scale = log ? Math.log : (value) => value;
    at = (x) => MARGIN.left + ((x - begin) / (end - begin)) * (width - MARGIN.left - MARGIN.right);
    const up = (y) => HEIGHT - MARGIN.bottom - ((scale(y) - scale(low)) / (scale(high) - scale(low))) * (HEIGHT - MARGIN.top - MARGIN.bottom);
    const nodes = [];
    for (const y of log ? logTicks(low, high) : ticks(low, high, 4)) {
      nodes.push(make("line", { class: "grid", x1: MARGIN.left, x2: width - MARGIN.right, y1: up(y), y2: up(y) }),
        make("text", { class: "tick", x: MARGIN.left - 8, y: up(y) + 4, "text-anchor": "end" }, short(y)));
    }
    for (const x of ticks(begin, end, Math.max(2, Math.floor(width / 110)))) {
      nodes.push(make("text", { class: "tick", x: at(x), y: HEIGHT - 8, "text-anchor": "middle" }, state.x === "step" ? x.toLocaleString("en") : `${short(x)} s`));
    }
    curves.forEach((curve, number) => {
      const points = curve[state.x].map((x, i) => [at(x), up(curve.value[i])]);
      const look = curve.split === "train" || curve.split === "" ? "train" : `split-${1 + (curves.slice(0, number).filter((c) => c.split !== "train").length % 4)}`;
      nodes.push(make("path", { class: `curve ${look}`, d: points.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("") }));
      if (look !== "train" && points.length <= 60) nodes.push(...points.map(([cx, cy]) => make("circle", { class: look, cx, cy, r: 2.5 })));
      curve.look = look;
    });
    xs = [...new Set(across)].sort((a, b) => a - b);
    if (cursor !== null) nodes.push(make("line", { class: "cursor", x1: at(xs[cursor]), x2: at(xs[cursor]), y1: MARGIN.top, y2: HEIGHT - MARGIN.bottom }));
    svg.replaceChildren(...nodes);
    const x = cursor === null ? null : xs[cursor];
    legend.replaceChildren(...curves.map((curve) => {
      const i = x === null ? curve.value.length - 1 : nearest(curve[state.x], x);
      return make("span", { class: `key ${curve.look}` }, `${curve.split || name.replaceAll("_", " ")} `, make("b", {}, short(curve.value[i])));
    }), make("span", { class: "at" }, x === null ? "at the end" : state.x === "step" ? `at step ${x.toLocaleString("en")}` : `after ${short(x)} s`));
  }

  const nearest = (values, x) => values.reduce((best, value, i) => (Math.abs(value - x) < Math.abs(values[best] - x) ? i : best), 0);
  svg.addEventListener("pointermove", (event) => {
    const x = event.clientX - svg.getBoundingClientRect().left;
    cursor = nearest(xs.map(at), x);
    draw();
  });
  svg.addEventListener("pointerleave", () => { cursor = null; draw(); });
  svg.addEventListener("keydown", (event) => {
    const to = { ArrowLeft: (cursor ?? xs.length) - 1, ArrowRight: (cursor ?? -1) + 1, Home: 0, End: xs.length - 1 }[event.key];
    if (event.key === "Escape") { cursor = null; draw(); return; }
    if (to === undefined) return;
    event.preventDefault();
    cursor = Math.min(xs.length - 1, Math.max(0, to));
    draw();
  });
  return { box, draw };
}
