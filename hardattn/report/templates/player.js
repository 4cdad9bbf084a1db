// What a network sees of an image, glimpse by glimpse, and heat maps of where it looks.
"use strict";

const VIRIDIS = ["#440154", "#482878", "#3e4989", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6ece58", "#b5de2b", "#fde725"]
  .map((colour) => [1, 3, 5].map((start) => parseInt(colour.slice(start, start + 2), 16)));
const SHOWN = 10; // class probabilities at once

/** The bytes of a map, see `quantised` in Python, and what they stand for. */
function unpack(map) {
  const bytes = Uint8Array.from(atob(map.bytes), (letter) => letter.charCodeAt(0));
  return { bytes, value: (at) => map.low + (bytes[at] / 255) * (map.high - map.low) };
}

/** Red, green and blue of a number from 0 to 1. */
function viridis(share) {
  const place = Math.min(Math.max(share, 0), 1) * (VIRIDIS.length - 1), low = Math.min(Math.floor(place), VIRIDIS.length - 2);
  return VIRIDIS[low].map((channel, number) => Math.round(channel + (place - low) * (VIRIDIS[low + 1][number] - channel)));
}

/** A canvas of one pixel for each value; `paint` gives its red, green, blue and opacity. */
function raster(width, height, paint) {
  const canvas = el("canvas", { width, height, "aria-hidden": "true" }), context = canvas.getContext("2d");
  const picture = context.createImageData(width, height);
  for (let at = 0; at < width * height; at++) picture.data.set(paint(at), 4 * at);
  context.putImageData(picture, 0, 0);
  return canvas;
}

/** The player of one task: `task` is an entry of the report's tasks. */
function player(task) {
  const runs = task.runs.filter((run) => run.walks.length), state = { image: 0, run: 0, step: 0, side: null };
  const { height, width } = task.size;
  const run = () => runs[state.run], walk = () => run().walks[state.image], last = () => walk().locations.length;
  const stage = el("div", { class: "stage" }), slot = el("span", { class: "keys-slot" });
  let timer = null;

  const button = (key, name, sign, act) => el("button", { type: "button", "data-act": key, "aria-label": name, title: name, onclick: act }, sign);
  const back = button("back", "One glimpse back", "‹", () => go(state.step - 1)), on = button("on", "One glimpse on", "›", () => go(state.step + 1));
  const play = button("play", "Play", "▶", toggle);
  const slider = el("input", { type: "range", min: 0, step: 1, "aria-label": "Glimpses taken", oninput: () => go(Number(slider.value)) });
  const count = el("output", { "aria-live": "polite" });
  const thumbs = task.images.map((image, number) =>
    el("button", { type: "button", "data-image": image.id, "aria-pressed": String(!number), "aria-label": `Image ${image.id}, class ${task.classes[image.class]}`, onclick: () => choose(number) },
      el("img", { src: image.picture, alt: "" }), task.classes[image.class]));
  const root = el("div", { class: "player", role: "group", "aria-label": "Player; left and right arrow keys step", tabindex: 0, onkeydown: keys },
    el("div", { class: "thumbs", role: "group", "aria-label": "Test image" }, ...thumbs),
    choices("Method", runs.map((one, number) => [number, one.label, "c" + (task.runs.indexOf(one) % COLOURS)]), 0, (number) => { state.run = number; state.side = null; go(Math.min(state.step, last())); }),
    el("div", { class: "keys" }, back, play, on, slider, count, slot), stage);

  function choose(number) {
    state.image = number;
    thumbs.forEach((thumb, other) => thumb.setAttribute("aria-pressed", String(other === number)));
    go(state.step);
  }

  function toggle() {
    if (timer) return stop();
    if (state.step === last()) go(0);
    timer = setInterval(() => (state.step < last() ? go(state.step + 1) : stop()), 1000);
    play.textContent = "❚❚";
    play.setAttribute("aria-label", "Pause");
  }

  function stop() {
    clearInterval(timer);
    timer = null;
    play.textContent = "▶";
    play.setAttribute("aria-label", "Play");
  }

  function keys(event) {
    const turn = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!turn || event.target === slider) return;
    event.preventDefault();
    stop();
    go(state.step + turn);
  }

  function go(step) {
    state.step = Math.min(Math.max(step, 0), last());
    root.dataset.step = state.step;
    slider.max = last();
    slider.value = state.step;
    back.disabled = state.step === 0;
    on.disabled = state.step === last();
    count.textContent = `${state.step} of ${last()} glimpses`;
    stage.replaceChildren(looked(), next(), told());
  }

  /** A picture of the image with the same coordinates as its pixels. */
  function frame(name, ...parts) {
    const picture = task.images[state.image].picture;
    return el("div", { class: "frame" }, el("svg:svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": name },
      el("svg:image", { href: picture, width, height, opacity: 0.3, preserveAspectRatio: "none" }), ...parts));
  }

  const several = () => run().sensor.parts.length > 1; // sides of squares
  const glance = (place) => place[2] >= Math.max(width, height); // the whole image, coarsely
  const square = (place, kind) => glance(place)
    ? el("svg:rect", { class: kind, x: 0, y: 0, width, height })
    : el("svg:rect", { class: kind, x: place[1], y: place[0], width: place[2], height: place[2] });

  /** The image, lit where it was looked at. */
  function looked() {
    const taken = walk().locations.slice(0, state.step), id = `seen-${task.name}-${state.step}`.replace(/[^\w-]/g, "");
    const sharp = (place) => (several() ? place[2] === run().sensor.glimpse_size : !glance(place));
    const clip = el("svg:clipPath", { id }, ...taken.filter(sharp).map((place) => square(place, null)));
    const coarse = taken.map((place, number) => ({ place, source: walk().glimpses[number][0] })).filter(({ place }) => several() && !sharp(place)).sort((a, b) => b.place[2] - a.place[2])
      .map(({ place: [row, col, size], source }) => el("svg:image", { class: "coarse", href: source, x: col, y: row, width: size, height: size, preserveAspectRatio: "none" }));
    const lit = el("svg:image", { href: task.images[state.image].picture, width, height, preserveAspectRatio: "none", "clip-path": `url(#${id})` });
    const windows = taken.map((place, number) => square(place, "window" + (number === state.step - 1 ? " now" : "")));
    const numbers = taken.map(([row, col, size]) => {
      const high = Math.min(size, several() ? 1.5 * run().sensor.glimpse_size : size);
      return el("svg:text", { class: "number", x: col + size / 2, y: row + size / 2, "font-size": high * 0.42, "stroke-width": high * 0.08 },
        taken.flatMap((place, number) => (place[0] === row && place[1] === col && place[2] === size ? [number + 1] : [])).join(" "));
    });
    const pictures = state.step ? walk().glimpses[state.step - 1] : [];
    const scales = pictures.map((source, scale) => el("img", { src: source, alt: `Glimpse ${state.step}` + (pictures.length > 1 ? `, ${2 ** scale} times as wide` : "") }));
    return el("figure", {}, el("figcaption", {}, el("b", {}, "Seen so far "), el("span", {}, state.step ? `glimpse ${state.step} in yellow` : "nothing yet")),
      frame(`Image with ${state.step} glimpses`, clip, ...coarse, lit, ...windows, ...numbers), el("div", { class: "seen" }, ...scales));
  }

  /** The map that chooses the next glimpse. */
  function next() {
    const { maps, locations } = walk(), chosen = locations[state.step], parts = run().sensor.parts;
    const part = parts.find(({ side }) => side === (state.side ?? chosen?.[2])) ?? parts[0], size = part.side; // of the next glimpse, unless another is asked for
    const marked = chosen ? [square(chosen, "window next")] : [], epe = run().map === "epe";
    const title = epe ? "Expected posterior entropy" : "Policy";
    const wide = chosen && several() ? `, ${chosen[2]} pixels wide` : "";
    const about = !maps ? "places are not chosen by the network" : chosen ? `dashed: glimpse ${state.step + 1}${wide}` : "after the last glimpse";
    const head = el("figcaption", {}, el("b", {}, (maps ? title : "Where next") + " "), el("span", {}, about));
    if (!maps) return el("figure", {}, head, frame("Where next", ...marked));
    const map = maps[state.step], { bytes, value } = unpack(map), flip = (share) => (epe ? 1 - share : share);
    const canvas = raster(part.cols.length, part.rows.length, (at) => [...viridis(flip(bytes[part.start + at] / 255)), 190]);
    const box = frame(`${title} of every place`, ...marked), extent = (line, whole) => {
      const pitch = line.length > 1 ? (line.at(-1) - line[0]) / (line.length - 1) : size;
      return [(100 * (line[0] + size / 2 - pitch / 2)) / whole + "%", (100 * pitch * line.length) / whole + "%"];
    };
    [canvas.style.left, canvas.style.width] = extent(part.cols, width);
    [canvas.style.top, canvas.style.height] = extent(part.rows, height);
    box.prepend(el("img", { class: "under-map", src: task.images[state.image].picture, alt: "" }), canvas);
    box.lastChild.style.position = "relative";
    box.lastChild.querySelector("image").remove();
    const before = walk().entropy[state.step], gains = [map.high, map.low].map((after) => short(before - after)).join(" to ");
    const under = el("p", { class: "under" }, epe ? `nats; bright where one is surest of the class afterwards: of H = ${short(before)} a glimpse is expected to gain ${gains}` : "log probability of looking there, in nats");
    const told = under.textContent;
    box.addEventListener("pointermove", (event) => {
      const area = canvas.getBoundingClientRect();
      const col = Math.floor(((event.clientX - area.left) / area.width) * part.cols.length), row = Math.floor(((event.clientY - area.top) / area.height) * part.rows.length);
      const inside = row >= 0 && col >= 0 && row < part.rows.length && col < part.cols.length;
      const at = part.start + row * part.cols.length + col;
      under.textContent = inside ? `${short(value(at))} nats at row ${part.rows[row]}, column ${part.cols[col]}${several() ? `, side ${part.side}` : ""}` : told;
    });
    box.addEventListener("pointerleave", () => { under.textContent = told; });
    const sides = several() ? choices("Side of the places", [[0, "next"], ...parts.map(({ side }) => [side, side])], state.side ?? 0, (side) => { state.side = side || null; go(state.step); root.focus(); }) : null;
    return el("figure", {}, head, sides, box, scaleOf(epe ? map.high : map.low, epe ? map.low : map.high, (share) => viridis(share)), under);
  }

  /** What the network says of the class, and of the next glimpse. */
  function told() {
    const { probabilities, entropy, gain } = walk(), now = probabilities[state.step], truth = task.images[state.image].class;
    const says = now.indexOf(Math.max(...now)), final = probabilities.at(-1);
    let order = now.map((_, number) => number);
    if (order.length > SHOWN) order = order.sort((a, b) => Math.max(now[b], final[b]) - Math.max(now[a], final[a])).slice(0, SHOWN);
    const bars = order.flatMap((number) => {
      const kind = (number === truth ? " true" : "") + (number === says ? " says" : "");
      const inner = el("i", {});
      inner.style.width = 100 * now[number] + "%";
      return [el("span", { class: "name" + kind }, task.classes[number]), el("span", { class: "bar" + kind, role: "presentation" }, inner), el("span", { class: "value", "data-class": number }, (100 * now[number]).toFixed(1) + " %")];
    });
    const rows = entropy.map((value, step) => el("tr", { "aria-current": step === state.step ? "step" : null, onclick: () => go(step) },
      ...[step, value.toFixed(3), (100 * probabilities[step][truth]).toFixed(1), gain[step].toFixed(3)].map((text, at) => el(at ? "td" : "th", at ? {} : { scope: "row" }, text))));
    const names = ["glimpses", "entropy", "true class, %", "next gain"];
    return el("div", {}, el("p", { class: "verdict" }, state.step ? "Says " : "Before looking, says ", el("b", {}, task.classes[says]), says === truth ? ", which is right." : `; it is ${task.classes[truth]}.`),
      el("div", { class: "bars", role: "group", "aria-label": "Class probabilities" }, ...bars),
      el("div", { class: "scroll" }, el("table", { class: "steps" }, el("thead", {}, el("tr", {}, ...names.map((name) => el("th", { scope: "col" }, name)))), el("tbody", {}, ...rows))));
  }

  go(last());
  return root;
}

/** A legend of colours from one number to another. */
function scaleOf(from, to, paint) {
  const bar = el("i", {}), stops = [0, 0.25, 0.5, 0.75, 1].map((share) => `rgb(${paint(share).slice(0, 3).join(" ")})`);
  bar.style.background = `linear-gradient(90deg, ${stops.join(", ")})`;
  return el("div", { class: "scale" }, el("span", {}, short(from)), bar, el("span", {}, short(to)));
}

/** Red, green, blue and opacity of a share of the largest: from nothing through orange to pale yellow. */
function glow(share) {
  const level = Math.sqrt(Math.min(Math.max(share, 0), 1));
  return [255, Math.round(70 + 175 * level ** 1.5), Math.round(20 + 150 * level ** 4), Math.round(255 * Math.min(1, 1.15 * level))];
}

/** For every method and every t the share of test images that attend each pixel, on their mean. */
function heatMaps(task) {
  const runs = task.runs.filter((run) => run.heat.length), steps = Math.max(...runs.map((run) => run.heat.length));
  const most = Math.max(...runs.flatMap((run) => run.heat.map((map) => map.high)));
  const cell = (run, step) => {
    const map = run.heat[step];
    if (!map) return el("td", {});
    const { value } = unpack(map), { height, width } = task.size;
    const sides = Object.entries(map.sides).filter(([, share]) => share > 0).map(([side, share]) => `${side}: ${Math.round(100 * share)} %`);
    const canvas = raster(map.width, map.height, (at) => glow(value(at) / most));
    return el("td", {}, el("div", { class: "frame" },
      el("svg:svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `Glimpse ${step + 1} of ${run.label}: ${map.places} places` },
        el("svg:image", { href: task.mean, width, height, preserveAspectRatio: "none" })), canvas), map.places === 1 ? "1 place" : `${map.places} places`, ...sides.length ? [el("br"), sides.join(", ")] : []);
  };
  const rows = runs.map((run) => el("tr", {}, el("th", { scope: "row" }, el("i", { class: "swatch c" + (task.runs.indexOf(run) % COLOURS) }), run.label), ...Array.from({ length: steps }, (_, step) => cell(run, step))));
  const head = el("tr", {}, el("td", {}), ...Array.from({ length: steps }, (_, step) => el("th", { scope: "col" }, `t = ${step + 1}`)));
  const legend = el("div", {}, scaleOf(0, 100 * most, glow), el("p", { class: "note" }, "of the test images attend the pixel, %"));
  return el("div", {}, el("div", { class: "scroll" }, el("table", { class: "heat" }, el("thead", {}, head), el("tbody", {}, ...rows))), legend);
}
