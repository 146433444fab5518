// A plot of rates: a scale, two hours at the ends, a line each with its own stroke, so that
// it can be read without colour.

import { element, rate, say, span } from "./common.js";

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 1000;
const HEIGHT = 120;

function svg(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

// Counters at moments become rates between them. A counter that went back began anew.
export function rates(samples, key) {
  const points = [];
  for (let i = 1; i < samples.length; i += 1) {
    const seconds = (samples[i].at_ms - samples[i - 1].at_ms) / 1000;
    const more = Math.max(0, samples[i][key] - samples[i - 1][key]);
    if (seconds > 0) points.push([samples[i].at_ms, more / seconds]);
  }
  return points;
}

// The next of 1, 2, 5, 10 ... that is not below.
function nice(most) {
  const power = 10 ** Math.floor(Math.log10(most));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= most * 0.999);
}

// `series`: [{ name, stroke: "solid" | "dashed" }]; draw([[at, rate], ...] for each).
export function makePlot(label, series) {
  const drawing = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": label });
  for (const part of [0.25, 0.5, 0.75]) {
    drawing.append(svg("line", { class: "grid", x1: 0, x2: WIDTH, y1: HEIGHT * part, y2: HEIGHT * part }));
  }
  const drawn = series.map(({ stroke }) => {
    const area = svg("path", { class: `area ${stroke}` });
    const line = svg("polyline", { class: stroke });
    drawing.append(area, line);
    return { area, line };
  });
  const top = element("span");
  const middle = element("span");
  const from = element("span");
  const legend = series.map(({ name, stroke }) => {
    const value = element("b");
    const key = svg("svg", { class: "key", viewBox: "0 0 24 8", "aria-hidden": "true" });
    key.append(svg("line", { class: stroke, x1: 0, x2: 24, y1: 4, y2: 4 }));
    return { value, item: element("span", {}, key, ` ${name} `, value) };
  });
  const figure = element("figure", { class: "plot" },
    element("figcaption", {}, ...legend.map(({ item }) => item)),
    element("div", { class: "scale", "aria-hidden": "true" }, top, middle, element("span", {}, "0")),
    drawing,
    element("div", { class: "hours", "aria-hidden": "true" }, from, element("span", {}, "now")));

  function draw(all) {
    const points = all.flat();
    figure.hidden = all.every((own) => own.length < 2);
    if (figure.hidden) return;
    const most = nice(Math.max(1 / 60, ...points.map(([, value]) => value)));
    const [first, last] = [Math.min(...points.map(([at]) => at)), Math.max(...points.map(([at]) => at))];
    const width = Math.max(1, last - first);
    all.forEach((own, place) => {
      const dots = own.map(([at, value]) =>
        `${(((at - first) / width) * WIDTH).toFixed(1)},${(HEIGHT - (value / most) * HEIGHT).toFixed(1)}`);
      drawn[place].line.setAttribute("points", dots.join(" "));
      drawn[place].area.setAttribute("d", dots.length > 1 ? `M0,${HEIGHT} L${dots.join(" L")} L${WIDTH},${HEIGHT} Z` : "");
      say(legend[place].value, rate(own.length > 0 ? own[own.length - 1][1] : 0));
    });
    say(top, rate(most));
    say(middle, rate(most / 2));
    say(from, `${span(width)} ago, ${new Date(first).toISOString().slice(11, 16)} UTC`);
  }
  return { figure, draw };
}

