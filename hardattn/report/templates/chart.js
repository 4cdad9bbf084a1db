// A chart of lines and points with a read-out, as SVG. Colours and fonts are those of report.css.
"use strict";

const SVG = "http://www.w3.org/2000/svg";
const COLOURS = 8;

/** An element of HTML, or of SVG where the tag begins with "svg:"; text is never read as HTML. */
function el(tag, attributes = {}, ...children) {
  const [, svg, name] = tag.match(/^(svg:)?(.*)$/);
  const node = svg ? document.createElementNS(SVG, name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** A row of buttons of which one is pressed; `choose` gets its key. */
function choices(label, options, chosen, choose) {
  const buttons = options.map(([key, text, swatch]) =>
    el("button", { type: "button", "data-key": key, "aria-pressed": String(key === chosen), onclick: () => press(key) },
      swatch ? el("span", { class: "swatch " + swatch, "aria-hidden": "true" }) : null, text));
  const press = (key) => {
    for (const button of buttons) button.setAttribute("aria-pressed", String(button.dataset.key === String(key)));
    choose(key);
  };
  return el("span", { class: "choices", role: "group", "aria-label": label }, ...buttons);
}

/** Round numbers from `low` to `high`, some five of them; on a logarithmic axis 1, 2 and 5 times powers of 10. */
function ticks(low, high, log) {
  if (log) {
    const found = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++)
      for (const digit of [1, 2, 5]) found.push(digit * 10 ** power);
    const inside = found.filter((value) => value >= low * 0.999 && value <= high * 1.001);
    if (inside.length >= 2) return inside.length > 8 ? inside.filter((value) => Number.isInteger(Math.log10(value) + 1e-12)) : inside;
  }
  const rough = (high - low || 1) / 5, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((size) => size >= rough * 0.999);
  const found = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-6; k++) found.push(Number((k * step).toPrecision(12)));
  return found;
}

/** A number with as many digits as a reader wants: three significant ones, or all before the point. */
function short(value) {
  if (value === null || value === undefined) return "–";
  if (Number.isInteger(value)) return value.toLocaleString("en");
  const size = Math.abs(value);
  return size >= 100 ? Math.round(value).toLocaleString("en") : size >= 1 ? value.toFixed(2) : Number(value.toPrecision(3)).toString();
}

/** A number of an axis, without needless zeros. */
const plain = (value) => Number(value.toPrecision(6)).toLocaleString("en", { maximumFractionDigits: 6 });

const MARKS = [
  (x, y, r) => `M${x - r},${y}a${r},${r} 0 1,0 ${2 * r},0a${r},${r} 0 1,0 ${-2 * r},0z`, // circle
  (x, y, r) => `M${x - r},${y - r}h${2 * r}v${2 * r}h${-2 * r}z`, // square
  (x, y, r) => `M${x},${y - 1.25 * r}l${1.2 * r},${2.1 * r}h${-2.4 * r}z`, // triangle
  (x, y, r) => `M${x},${y - 1.35 * r}l${1.35 * r},${1.35 * r}l${-1.35 * r},${1.35 * r}l${-1.35 * r},${-1.35 * r}z`, // diamond
  (x, y, r) => `M${x},${y + 1.25 * r}l${1.2 * r},${-2.1 * r}h${-2.4 * r}z`, // triangle, point down
];
const mark = (number, x, y, radius) => MARKS[number % MARKS.length](x, y, radius);

/**
 * Draws series into `host`, and again whenever its width changes.
 *
 * A series is {label, group, rule, colour, mark, dash, hollow, line, lone, points: [{x, y, interval, rows}]}, its `rows` being
 * pairs for the read-out; the legend has one entry for each group and one for each of `rules`, {rule, text, dash,
 * hollow}: what lines of the same colour are. `hidden` holds the groups, and the rules after the word "rule", that
 * are not shown; `lone` points are small. An axis is {name, log, format}. `label` tells what is drawn to those who do not see it.
 */
function chart(host, { series, x, y, label, rules = [], hidden = new Set() }) {
  const margin = { left: 46, right: 14, top: 30, bottom: 42 };
  const plot = el("div", { class: "plot" });
  const tip = el("div", { class: "tip", role: "status", hidden: true });
  const firsts = series.filter((one, number) => series.findIndex((other) => other.group === one.group) === number);
  const legend = el("ul", { class: "legend", "aria-label": "Runs; press to hide" }, ...firsts.map((one) => entry(one, one.group, one.group)));
  const lines = rules.map((rule) => entry({ colour: 7, mark: 0, line: true, ...rule }, "rule " + rule.rule, rule.text));
  const below = lines.length > 1 ? el("ul", { class: "legend rules", "aria-label": "Stopping rules; press to show" }, ...lines) : null;
  const root = el("div", { class: "chart" }, plot, el("div", {}, legend, below));
  host.replaceChildren(root);
  let placed = [], here = null, at = -1;

  function sample(one) {
    return el("svg:svg", { viewBox: "0 0 34 14", class: "sample c" + (one.colour % COLOURS) + (one.hollow ? " hollow" : ""), "aria-hidden": "true" },
      one.line ? el("svg:path", { d: "M1,7H33", "stroke-dasharray": one.dash }) : null,
      el("svg:path", { class: "mark", d: mark(one.mark, 17, 7, 4) }));
  }

  function entry(one, key, text) {
    const button = el("button", { type: "button", "aria-pressed": String(!hidden.has(key)), onclick: toggle, onpointerenter: () => pick(key), onpointerleave: () => pick(null) }, sample(one), text);
    function toggle() {
      hidden.has(key) ? hidden.delete(key) : hidden.add(key);
      button.setAttribute("aria-pressed", String(!hidden.has(key)));
      draw();
    }
    return el("li", {}, button);
  }

  const isShown = (one) => !hidden.has(one.group) && !hidden.has("rule " + one.rule);

  /** Lets what has this key stand out: a group, or a rule. */
  function pick(key) {
    root.classList.toggle("picked", key !== null && !hidden.has(key));
    for (const node of plot.querySelectorAll(".series")) node.classList.toggle("is-picked", [node.dataset.group, node.dataset.rule].includes(key));
  }

  function extent(axis, pad, log) {
    const every = series.flatMap((one) => (!isShown(one) ? [] : one.points.flatMap((point) => [point[axis], ...((axis === "y" && point.interval) || [])])));
    let low = Math.min(...every), high = Math.max(...every);
    if (!every.length) [low, high] = log ? [1, 10] : [0, 1];
    if (log) return low === high ? [low / 2, high * 2] : [low / 1.12, high * 1.12];
    const space = (high - low || Math.abs(high) || 1) * pad;
    return [low - space, high + space];
  }

  function draw() {
    const width = Math.max(plot.clientWidth, 220), height = Math.round(Math.min(430, Math.max(250, width * 0.52)));
    const [x0, x1] = extent("x", 0.03, x.log), [y0, y1] = extent("y", 0.06, false);
    const part = x.log ? (value) => Math.log(value / x0) / Math.log(x1 / x0) : (value) => (value - x0) / (x1 - x0);
    const px = (value) => margin.left + part(value) * (width - margin.left - margin.right);
    const py = (value) => height - margin.bottom - ((value - y0) / (y1 - y0)) * (height - margin.top - margin.bottom);
    const svg = el("svg:svg", { viewBox: `0 0 ${width} ${height}`, height, role: "img", tabindex: 0, "aria-label": label + ". Arrow keys read the points." });
    const down = el("svg:g", { class: "axis" }), bottom = height - margin.bottom;
    for (const value of ticks(y0, y1, false)) down.append(
      el("svg:line", { class: "grid", x1: margin.left, x2: width - margin.right, y1: py(value), y2: py(value) }),
      el("svg:text", { x: margin.left - 8, y: py(value) + 4, "text-anchor": "end" }, y.format(value)));
    let last = -Infinity;
    for (const value of ticks(x0, x1, x.log)) {
      if (px(value) - last < 34) continue;
      last = px(value);
      down.append(el("svg:line", { class: "grid", x1: last, x2: last, y1: bottom, y2: bottom + 4 }),
        el("svg:text", { x: last, y: bottom + 18, "text-anchor": "middle" }, x.format(value)));
    }
    svg.append(down,
      el("svg:line", { class: "grid", x1: margin.left, x2: width - margin.right, y1: bottom, y2: bottom }),
      el("svg:text", { class: "axis-name", x: width - margin.right, y: height - 6, "text-anchor": "end" }, x.name),
      el("svg:text", { class: "axis-name", x: 0, y: 13 }, y.name));
    placed = [];
    for (const one of series.filter(isShown)) svg.append(drawn(one, px, py));
    here = el("svg:circle", { class: "here", r: 8, visibility: "hidden" });
    svg.append(here);
    svg.addEventListener("pointermove", nearest);
    svg.addEventListener("pointerdown", nearest);
    svg.addEventListener("pointerleave", leave);
    svg.addEventListener("blur", leave);
    svg.addEventListener("keydown", walk);
    at = -1;
    tip.hidden = true;
    plot.replaceChildren(svg, tip);
  }

  function drawn(one, px, py) {
    const dense = one.lone || series.some((other) => !other.lone && other.points.length > 40), radius = one.lone ? 2 : dense ? 1.5 : 4.3;
    const node = el("svg:g", { class: `series c${one.colour % COLOURS}${one.hollow ? " hollow" : ""}${dense ? " dense" : ""}`, "data-group": one.group, "data-rule": "rule " + one.rule, "data-label": one.label });
    const spots = one.points.map((point) => ({ one, point, x: px(point.x), y: py(point.y) }));
    if (one.line && spots.length > 1) node.append(el("svg:path", { d: "M" + spots.map((spot) => `${spot.x},${spot.y}`).join("L"), "stroke-dasharray": one.dash }));
    for (const spot of spots) {
      const range = spot.point.interval;
      if (range) node.append(el("svg:path", { class: "interval", d: `M${spot.x},${py(range[0])}V${py(range[1])}` }));
      node.append(el("svg:path", { class: "mark", d: mark(one.mark, spot.x, spot.y, radius), "data-x": spot.point.x, "data-y": spot.point.y }));
    }
    placed.push(...spots);
    return node;
  }

  function nearest(event) {
    const box = event.currentTarget.getBoundingClientRect(), scale = event.currentTarget.viewBox.baseVal.width / box.width;
    const mx = (event.clientX - box.left) * scale, my = (event.clientY - box.top) * scale;
    let best = -1, least = 60 ** 2;
    placed.forEach((spot, number) => {
      const far = (spot.x - mx) ** 2 + (spot.y - my) ** 2;
      if (far < least) [best, least] = [number, far];
    });
    best < 0 ? leave() : show(best);
  }

  function walk(event) {
    const turn = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (event.key === "Escape") leave();
    if (!turn || !placed.length) return;
    event.preventDefault();
    show(at < 0 ? (turn > 0 ? 0 : placed.length - 1) : (at + turn + placed.length) % placed.length);
  }

  function show(number) {
    const { one, point, x: left, y: top } = placed[number];
    at = number;
    pick(one.group);
    here.setAttribute("cx", left);
    here.setAttribute("cy", top);
    here.setAttribute("visibility", "visible");
    tip.replaceChildren(el("b", {}, one.label), el("dl", {}, ...point.rows.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)])));
    tip.hidden = false;
    const room = plot.clientWidth, wide = tip.offsetWidth, high = tip.offsetHeight;
    tip.style.left = Math.max(0, left + 16 + wide > room ? left - wide - 16 : left + 16) + "px";
    tip.style.top = Math.max(0, top - high - 10) + "px";
  }

  function leave() {
    at = -1;
    pick(null);
    tip.hidden = true;
    if (here) here.setAttribute("visibility", "hidden");
  }

  new ResizeObserver(() => { if (plot.firstChild?.viewBox?.baseVal.width !== Math.max(plot.clientWidth, 220)) draw(); }).observe(plot);
  draw();
}
