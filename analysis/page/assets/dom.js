// Elements, choices and text. Nothing here reads HTML: text is set as text.

/** An element with attributes and children. A function as an attribute listens to the event of that name. */
function make(tag, attributes = {}, ...children) {
  const svg = ["svg", "path", "line", "circle", "g", "text", "rect"].includes(tag);
  const node = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(name, value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

let groups = 0;

/** One of several values as radio buttons: arrow keys go from one to the next.
 *  options: [value, label or element, description?]. chosen: called with the new value. */
function choice(title, options, value, chosen, look = "chips") {
  const name = `choice-${(groups += 1)}`;
  const set = make("fieldset", { class: look }, make("legend", {}, title));
  options.forEach(([option, label, description]) => {
    const input = make("input", {
      type: "radio", name, value: option, checked: option === value, "aria-label": description,
      change: () => chosen(option),
    });
    set.append(make("label", { title: description }, input, make("span", {}, label)));
  });
  set.choose = (wanted) => {
    options.forEach(([option], i) => { set.querySelectorAll("input")[i].checked = option === wanted; });
  };
  return set;
}

/** The numbers 1 to count, and before them the mean if that is asked for, as a choice of 0 to count - 1 and -1. */
function numbers(title, count, value, chosen, withMean) {
  const options = Array.from({ length: count }, (_, i) => [i, String(i + 1), `${title} ${i + 1}`]);
  return choice(title, withMean ? [[-1, "mean", `mean of all ${title.toLowerCase()}s`], ...options] : options, value, chosen);
}

const percent = (share) => `${(100 * share).toFixed(share < 0.0995 ? 1 : 0)} %`;

/** The places of the largest numbers, the largest first. */
function largest(values, count) {
  return Array.from(values.keys()).sort((a, b) => values[b] - values[a]).slice(0, count);
}

/** A colour of the style, by its name there. */
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

/** A canvas as sharp as the screen. width, height: in CSS pixels. Returns its context. */
function sharp(canvas, width, height) {
  const ratio = Math.max(1, window.devicePixelRatio || 1);
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  return context;
}

/** Calls draw now, when the node changes its width, and when light turns to dark. */
function redrawn(node, draw) {
  let width = 0;
  new ResizeObserver(() => {
    if (node.clientWidth !== width) { width = node.clientWidth; draw(); }
  }).observe(node);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
}
