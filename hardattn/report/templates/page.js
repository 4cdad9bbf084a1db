// The page: one section for every task, all of it from the data that are embedded as JSON.
"use strict";

const DASHES = [null, "7 4", "2 4", "9 3 2 3", "4 2", "12 3", "2 2"];
const report = JSON.parse(document.getElementById("report-data").textContent);
const labelOf = (rule) => report.rules[rule] ?? rule;
const percent = (share) => (100 * share).toFixed(1);
const range = (pair, print) => `${print(pair[0])} to ${print(pair[1])}`;

/** What an axis of the accuracy-compute picture reads of a point; one without is not offered. */
const COSTS = {
  mflops: { text: "MFLOPs", name: "MFLOPs per image", read: (point) => point.mflops },
  glimpses: { text: "glimpses", name: "glimpses per image, mean", read: (point) => point.mean_glimpses },
  pixels: { text: "pixels", name: "pixels seen per image, mean", read: (point) => point.pixels },
  values_read: { text: "values read", name: "values per image that a sensor which bins pixels reads, mean", read: (point) => point.values_read },
  pixels_read: { text: "pixels read", name: "pixels per image that averaging in software reads, mean", read: (point) => point.pixels_read },
};
const WORTHS = {
  accuracy: { text: "accuracy", name: "test accuracy, %", read: (point) => scaled(point.accuracy), interval: (point) => pair(point, "accuracy")?.map(scaled) },
  nll: { text: "NLL", name: "test NLL, nats", read: (point) => point.nll, interval: (point) => pair(point, "nll") },
};
/** The points of all frontiers of a task. */
const frontierPoints = (task) => task.frontiers.flatMap((one) => one.points);
const known = (value) => value !== null && value !== undefined;
const scaled = (share) => (known(share) ? 100 * share : null);

/** The interval of a figure, if it is known. */
const pair = (point, name) => point.intervals?.[name] ?? null;

/** The series of all runs, by stopping rule, and of the frontier, by family. */
function computeSeries(task, cost, worth) {
  const runs = task.runs.flatMap((run, number) => {
    const rules = [...new Set(run.evaluation.curve.map((point) => point.rule))];
    return rules.map((rule) => series(run.evaluation.curve.filter((point) => point.rule === rule), {
      label: `${run.label}, ${labelOf(rule)}`, group: run.label, rule, colour: number, mark: number, ...ruleLook(task, rule),
    }, cost, worth));
  });
  const families = [...new Set(frontierPoints(task).map((point) => point.family))];
  const frontier = families.flatMap((family, order) => [true, false].map((chosen) => series(frontierPoints(task).filter((point) => point.family === family && point.chosen === chosen), {
    label: `${family}, ${chosen ? "on its frontier" : "behind its frontier"}`, group: `frontier: ${family}`, colour: task.runs.length + order, mark: task.runs.length + order, dash: "1 4", hollow: !chosen, lone: !chosen,
  }, cost, worth)));
  return [...runs, ...frontier].filter((one) => one.points.length);
}

const rulesOf = (task) => [...new Set(task.runs.flatMap((run) => run.evaluation.curve.map((point) => point.rule)))];

/** How the lines of a stopping rule look, in whatever colour. */
function ruleLook(task, rule) {
  const order = rulesOf(task).indexOf(rule);
  return { dash: DASHES[order % DASHES.length], hollow: order > 0 };
}

function series(points, look, cost, worth) {
  const placed = points.map((point) => ({ x: cost.read(point), y: worth.read(point), interval: look.lone ? null : worth.interval(point), rows: rowsOf(point) }))
    .filter((point) => known(point.x) && known(point.y)).sort((a, b) => a.x - b.x);
  return { ...look, line: placed.length > 1 && !look.lone, points: placed };
}

/** What the read-out says of a point of a curve, of all that is known of it. */
function rowsOf(point) {
  const interval = pair(point, "accuracy");
  const rows = [
    ["", point.name], ["accuracy", known(point.accuracy) ? percent(point.accuracy) + " %" : null], ["95 % interval", interval && range(interval, percent)],
    ["NLL, nats", known(point.nll) ? point.nll.toFixed(3) : null], ["MFLOPs", known(point.mflops) ? short(point.mflops) : null],
    ["glimpses", known(point.mean_glimpses) ? short(point.mean_glimpses) : null], ...["pixels", "values_read", "pixels_read"].map((key) => [COSTS[key].text, known(COSTS[key].read(point)) ? short(COSTS[key].read(point)) : null]),
    ["balanced accuracy", known(point.balanced_accuracy) ? percent(point.balanced_accuracy) + " %" : null],
    ["calibration error", known(point.calibration_error) ? percent(point.calibration_error) + " %" : null],
    ["stops after 1, 2, ..", point.stopped_at ? point.stopped_at.join(", ") : null],
    ["threshold", point.rule && point.rule !== "fixed" ? short(point.threshold) : null],
  ];
  return rows.filter(([, value]) => known(value));
}

/** A section with a heading, a note, controls on the right, and what it shows. */
function part(name, title, note, controls, ...content) {
  return el("section", { class: "part", "data-part": name }, el("div", { class: "head" }, el("div", {}, el("h3", {}, title), el("p", { class: "note" }, note)), el("div", { class: "controls" }, ...controls)), ...content);
}

function computePart(task) {
  const points = [...task.runs.flatMap((run) => run.evaluation.curve), ...frontierPoints(task)], state = { cost: "mflops", worth: "accuracy" }, host = el("div");
  const hidden = new Set(rulesOf(task).filter((rule) => !report.shown.includes(rule)).map((rule) => "rule " + rule));
  const offered = (axes) => Object.entries(axes).filter(([, axis]) => points.some((point) => known(axis.read(point)))).map(([key, axis]) => [key, axis.text]);
  const draw = () => {
    const cost = COSTS[state.cost], worth = WORTHS[state.worth], drawn = computeSeries(task, cost, worth);
    const every = drawn.flatMap((one) => one.points.map((point) => point.x)), log = Math.min(...every) > 0 && Math.max(...every) > 12 * Math.min(...every);
    chart(host, { series: drawn, x: { name: cost.name + (log ? ", logarithmic" : ""), log, format: plain }, y: { name: worth.name, format: plain }, label: `${worth.name} against ${cost.name}, ${task.name}`,
      hidden,
      rules: rulesOf(task).map((rule) => ({ rule, text: labelOf(rule), ...ruleLook(task, rule) })) });
  };
  const controls = [choices("Cost", offered(COSTS), state.cost, (key) => { state.cost = key; draw(); }), choices("Worth", offered(WORTHS), state.worth, (key) => { state.worth = key; draw(); })];
  draw();
  return part("compute", "Accuracy against compute", "Every point is a way to stop: after a fixed number of glimpses, or when a rule says that another one does not pay. Up and to the left is better.", controls, host, pointsTable(task));
}

/** The same points as a table. */
function pointsTable(task) {
  const heads = ["run", "stopping", "threshold", "glimpses", "MFLOPs", "accuracy, %", "NLL, nats"];
  const rows = task.runs.flatMap((run) => run.evaluation.curve.map((point) => [run.label, labelOf(point.rule), short(point.threshold), short(point.mean_glimpses), short(point.mflops), percent(point.accuracy), known(point.nll) ? point.nll.toFixed(3) : "–"]));
  return el("details", {}, el("summary", {}, `All ${rows.length} points as a table`), el("div", { class: "scroll" }, tableOf(heads, rows)));
}

function tableOf(heads, rows, name = null) {
  return el("table", { class: name }, el("thead", {}, el("tr", {}, ...heads.map((head) => el("th", { scope: "col" }, head)))), el("tbody", {}, ...rows.map((row) => el("tr", {}, ...row.map((cell) => el("td", {}, cell))))));
}

function trainingPart(task) {
  const host = el("div"), axes = { iteration: "iterations", seconds: "seconds" }, curves = trainingCurves(task), state = { key: "iteration", curve: "nll" };
  const draw = () => {
    const { key } = state, curve = curves[state.curve];
    const rows = (line) => [["iteration", short(line.iteration)], ["seconds", short(line.seconds)], ["NLL, nats", known(line.nll) ? line.nll.toFixed(4) : "–"], ["accuracy", percent(line.accuracy) + " %"],
      ...(state.curve in line.terms ? [[state.curve, short(curve.read(line))]] : [])];
    chart(host, {
      x: { name: `${axes[key]} of training`, format: plain }, y: { name: curve.name, format: plain }, label: `${curve.name} against ${axes[key]} of training, ${task.name}`,
      series: task.runs.map((run, number) => ({ label: run.label, group: run.label, colour: number, mark: number, line: true,
        points: run.log.filter((line) => known(curve.read(line))).map((line) => ({ x: line[key], y: curve.read(line), rows: rows(line) })) })),
    });
  };
  draw();
  const controls = [choices("Against", Object.entries(axes), state.key, (key) => { state.key = key; draw(); }), choices("Curve", Object.entries(curves).map(([key, curve]) => [key, curve.text]), state.curve, (key) => { state.curve = key; draw(); })];
  return part("training", "Training", "Of the validation images after the last glimpse, negative log-likelihood and accuracy; of the training images the weighted terms of the loss, in the last batch before every check.", controls, host);
}

/** What can be drawn of a training; a term of the loss goes by its own name. */
function trainingCurves(task) {
  const terms = [...new Set(task.runs.flatMap((run) => run.log.flatMap((line) => Object.keys(line.terms))))];
  return {
    nll: { text: "NLL", name: "validation NLL, nats", read: (line) => line.nll },
    accuracy: { text: "accuracy", name: "validation accuracy, %", read: (line) => scaled(line.accuracy) },
    ...Object.fromEntries(terms.map((name) => [name, { text: name, name: `loss: ${name}, weighted`, read: (line) => line.terms[name] }])),
  };
}

/** How wide affine crops are and where they lie, and how right a network is after each of its glimpses. */
function cropsPart(task) {
  const runs = task.runs.map((run, number) => ({ run, number })).filter(({ run }) => run.crops.length), host = el("div");
  const draw = (key) => chart(host, key === "accuracy" ? accuracyAfter(task, runs) : cropHistogram(task, runs, key));
  draw("s");
  return part("crops", "Crops", "Of the glimpses after the whole image, s being the width and (x, y) the middle of each, in an image that is 2 wide and begins at -1: the share of the test images in every twentieth of the range. Also the accuracy after every glimpse.",
    [choices("Number", ["s", "x", "y", "accuracy"].map((key) => [key, key]), "s", draw)], host);
}

/** A line of shares for every run and glimpse; see `crop_histograms` for the range of each number. */
function cropHistogram(task, runs, key) {
  const low = key === "s" ? 0 : -1, times = [...new Set(runs.flatMap(({ run }) => run.crops.map((_, at) => at)))];
  const look = (at) => ({ rule: `t = ${at + 2}`, dash: DASHES[at % DASHES.length], hollow: at > 0 });
  const points = (shares, size) => shares.map((share, bin) => {
    const from = low + bin * size;
    return { x: from + size / 2, y: scaled(share), rows: [[key, range([from, from + size], plain)], ["share of images", percent(share) + " %"]] };
  });
  return {
    x: { name: key, format: plain }, y: { name: "share of test images, %", format: plain }, label: `${key} of crops, ${task.name}`,
    rules: times.map((at) => ({ text: look(at).rule, ...look(at) })),
    series: runs.flatMap(({ run, number }) => run.crops.map((crop, at) => ({
      label: `${run.label}, ${look(at).rule}`, group: run.label, colour: number, mark: number, line: true, ...look(at), points: points(crop[key], (1 - low) / crop[key].length) }))),
  };
}

function accuracyAfter(task, runs) {
  const rows = (t, share) => [["glimpses", t], ["accuracy", percent(share) + " %"]];
  return {
    x: { name: "glimpses", format: plain }, y: { name: "test accuracy, %", format: plain }, label: `accuracy after every glimpse, ${task.name}`,
    series: runs.map(({ run, number }) => ({ label: run.label, group: run.label, colour: number, mark: number, line: true,
      points: Object.entries(run.evaluation.accuracy_at).map(([t, share]) => ({ x: Number(t), y: scaled(share), rows: rows(t, share) })) })),
  };
}

function figuresPart(task) {
  const steps = Math.max(...task.runs.map((run) => Object.keys(run.evaluation.accuracy_at).length));
  const times = Array.from({ length: steps }, (_, at) => String(at + 1)), last = (run) => String(Object.keys(run.evaluation.accuracy_at).length);
  const lastPoint = (run) => run.evaluation.curve.filter((point) => point.rule === "fixed").at(-1);
  const column = (name, head, read, print) => ({ name, head, read, print });
  const columns = [
    ...times.map((t) => column(`accuracy_at.${t}`, `t = ${t}`, (run) => run.evaluation.accuracy_at[t], percent)),
    column("nll", "NLL", (run) => run.evaluation.nll_at[last(run)], (value) => value.toFixed(3)),
    column("balanced_accuracy", "balanced, %", (run) => lastPoint(run)?.balanced_accuracy, percent),
    column("calibration_error", "calibration error, %", (run) => lastPoint(run)?.calibration_error, percent),
    column("mflops", "MFLOPs", (run) => lastPoint(run)?.mflops, short),
    column("parameters", "parameters", (run) => run.evaluation.parameters, short),
    column("iterations_to_convergence", "iterations*", (run) => run.evaluation.iterations_to_convergence, short),
    column("seconds_to_convergence", "seconds*", (run) => run.evaluation.seconds_to_convergence, short),
  ].filter(({ read }) => task.runs.some((run) => typeof read(run) === "number"));
  const best = (read) => Math.max(...task.runs.map(read).filter((value) => typeof value === "number"));
  const cell = (run, { name, read, print }) => {
    const value = read(run), top = name.startsWith("accuracy_at") && value === best(read) && task.runs.length > 1;
    return el("td", { "data-run": run.label, "data-figure": name, "data-value": value, class: top ? "best" : null }, typeof value === "number" ? print(value) : "");
  };
  const rows = task.runs.map((run, number) => el("tr", {}, el("th", { scope: "row", title: run.summary }, el("i", { class: "swatch c" + (number % COLOURS) }), run.label), ...columns.map((one) => cell(run, one))));
  const head = el("tr", {}, el("th", { scope: "col" }, "run"), ...columns.map((one) => el("th", { scope: "col" }, one.head)));
  const images = [...new Set(task.runs.map((run) => run.evaluation.test_images))].join(", ");
  const note = `Accuracy in % after t glimpses on ${images} test images; a network that sees the whole image does so at t = 1. NLL, balanced accuracy, calibration error and MFLOPs are after the last glimpse, the class being said once. * To convergence: until the validation NLL is within 0.01 nats of the run's best.`;
  return part("figures", "Figures, and the commands that made them", note, [], el("div", { class: "scroll" }, el("table", { class: "figures" }, el("thead", {}, head), el("tbody", {}, ...rows))), ...task.frontiers.map(frontierTable),
    el("ul", { class: "made" }, ...task.runs.map(madeRun), ...task.frontiers.map(madeFrontier)));
}

/** What the validation images choose of every family of a frontier. */
function frontierTable({ file, points }) {
  const families = [...new Set(points.map((point) => point.family))], chosen = points.filter((point) => point.chosen);
  const order = (point) => families.indexOf(point.family), sorted = chosen.sort((a, b) => order(a) - order(b) || a.mflops - b.mflops);
  const own = (point) => point.name.startsWith(`${point.family} `) ? point.name.slice(point.family.length + 1) : point.name;
  const heads = ["family", "network", "MFLOPs", "accuracy, %", "95 % interval", "pixels", "stopping", "threshold"];
  const rows = sorted.map((point) => [point.family, own(point), short(point.mflops), percent(point.accuracy), pair(point, "accuracy") ? range(pair(point, "accuracy"), percent) : "–", short(point.pixels), labelOf(point.rule), short(point.threshold)]);
  const note = `Of every family the points that validation images choose, on test images; from ${file}.`;
  return el("div", { class: "frontier" }, el("h4", {}, "Frontier"), el("p", { class: "note" }, note), el("div", { class: "scroll" }, tableOf(heads, rows, "points")));
}

const UNKNOWN = "Made from Python, or by a version that did not note it.";

/** The commands of a run. */
function madeRun(run) {
  const { train, evaluate } = run.commands;
  return made(run.label, run.summary, train === null ? evaluate : `${train}\n${evaluate}`, train === null ? UNKNOWN : null);
}

/** The command of a frontier. */
function madeFrontier({ file, command }) {
  return made("frontier", file, command, command === null ? UNKNOWN : null);
}

/** Commands that can be copied, of what they made. */
function made(label, summary, text, rest) {
  const copy = text === null ? null : el("button", { type: "button", class: "copy", onclick: () => navigator.clipboard?.writeText(text).then(() => { copy.textContent = "copied"; }, () => {}) }, "copy");
  return el("li", {}, el("div", {}, el("b", {}, label), el("span", { class: "note" }, summary), copy), text === null ? null : el("pre", { tabindex: 0 }, text), rest ? el("p", { class: "note" }, rest) : null);
}

function taskSection(task, number) {
  const looks = task.runs.some((run) => run.walks.length), runs = task.runs.length === 1 ? "one run" : `${task.runs.length} runs`;
  return el("section", { class: "task" + (report.tasks.length === 1 ? " alone" : ""), id: `task-${number}`, "aria-label": task.name }, el("h2", {}, task.name),
    el("p", { class: "note" }, `${runs}, ${task.classes.length} classes, images of ${task.size.height} × ${task.size.width} pixels`),
    computePart(task), trainingPart(task),
    looks ? part("player", "Glimpse by glimpse", "The network sees nothing of an image but its glimpses. Step with the buttons, or with the left and right arrow keys.", [], player(task)) : null,
    looks ? part("heat", "Where each method looks", "The share of the test images whose glimpse t covers each pixel, on their mean image; the scale is common to all of them. Where there are several sides: how many images were looked at so wide.", [], heatMaps(task)) : null,
    task.runs.some((run) => run.crops.length) ? cropsPart(task) : null,
    figuresPart(task));
}

document.getElementById("report").append(...report.tasks.map(taskSection));
if (report.tasks.length > 1) {
  const contents = document.getElementById("contents");
  contents.append(...report.tasks.map((task, number) => el("a", { href: `#task-${number}` }, task.name)));
  contents.hidden = false;
}
document.documentElement.dataset.ready = "true";
