// Small charts, drawn by hand: areas over the last minutes.

import { SPAN } from "./rates.js";

const WIDTH = 600;
const HEIGHT = 150;

/** Two points that are further apart have nothing between them that is known. */
const GAP = 5000;

/** A direction that has little to show is still to be seen. */
const LEAST_SHARE = 0.22;

/**
 * An empty chart in `place`. `above` and `below` are what is stacked on either side of the zero line: each has a `name`, which
 * is its class, reads its value `of` a point, and may have an edge. `say` puts the greatest value into words.
 */
export function chart(place, label, above, below, say) {
  const svg = make("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": label });
  const shapes = make("g", {});
  const zero = make("line", { class: "zero", x1: 0, x2: WIDTH });
  svg.append(shapes);
  if (below.length > 0) svg.append(zero);
  const top = word("chart-top");
  const bottom = word("chart-bottom");
  const begin = word("chart-begin");
  begin.textContent = `${SPAN / 60000} min ago`;
  const end = word("chart-end");
  end.textContent = "now";
  const frame = document.createElement("div");
  frame.className = "chart-frame";
  frame.append(svg, top, bottom);
  const times = document.createElement("div");
  times.className = "chart-times";
  times.setAttribute("aria-hidden", "true");
  times.append(begin, end);
  place.replaceChildren(frame, times);

  return (points, now) => {
    const most = Math.max(...points.map((point) => sum(above, point)), 0);
    const least = Math.max(...points.map((point) => sum(below, point)), 0);
    const up = nice(most);
    const down = below.length > 0 ? nice(least) : 0;
    const share = below.length > 0 ? clamp(up / (up + down), LEAST_SHARE, 1 - LEAST_SHARE) : 1;
    // Room for the line where the greatest value is.
    const y0 = 2 + (HEIGHT - 4) * share;
    const scaleUp = (y0 - 2) / up;
    const scaleDown = below.length > 0 ? (HEIGHT - 2 - y0) / down : 0;
    const x = (point) => WIDTH * (1 - (now - point.at) / SPAN);
    const drawn = [];
    for (const piece of pieces(points)) {
      drawn.push(...stack(piece, above, x, (value) => y0 - value * scaleUp));
      drawn.push(...stack(piece, below, x, (value) => y0 + value * scaleDown));
    }
    shapes.replaceChildren(...drawn);
    zero.setAttribute("y1", y0);
    zero.setAttribute("y2", y0);
    top.textContent = most > 0 ? `${below.length > 0 ? "↑ " : ""}${say(up)}` : "";
    bottom.textContent = least > 0 ? `↓ ${say(down)}` : "";
  };
}

/** The areas of one side, each upon the one before. */
function stack(points, parts, x, y) {
  let lower = points.map(() => 0);
  return parts.flatMap((part) => {
    const upper = points.map((point, index) => lower[index] + part.of(point));
    const there = points.map((point, index) => `${fixed(x(point))},${fixed(y(upper[index]))}`);
    const back = points.map((point, index) => `${fixed(x(point))},${fixed(y(lower[index]))}`).reverse();
    lower = upper;
    const area = make("path", { class: `area ${part.name}`, d: `M${there.join("L")}L${back.join("L")}Z` });
    const edge = make("path", { class: `edge ${part.name}`, d: `M${there.join("L")}` });
    return part.hasEdge ? [area, edge] : [area];
  });
}

/** Points without a gap between them. */
function pieces(points) {
  const found = [];
  for (const point of points) {
    const piece = found.at(-1);
    if (piece && point.at - piece.at(-1).at <= GAP) piece.push(point);
    else found.push([point]);
  }
  return found;
}

/** The next value that is easily read: 1, 2, 4 or 8 in steps of 1024 or 10, whatever is above. */
export function nice(value) {
  let bound = 1;
  while (bound < value) bound *= 2;
  return bound;
}

function sum(parts, point) {
  return parts.reduce((all, part) => all + part.of(point), 0);
}

function clamp(value, least, most) {
  return Math.min(most, Math.max(least, value));
}

function fixed(number) {
  return number.toFixed(1);
}

function make(name, attributes) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

function word(name) {
  const element = document.createElement("span");
  element.className = name;
  return element;
}
