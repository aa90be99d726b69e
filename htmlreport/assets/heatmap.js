// Heat maps: tables of buttons, coloured by a measure. The number is in each cell: colour only repeats it.

const mix = (a, b, t) => a.map((v, i) => Math.round(v + (b[i] - v) * t));

// The colours and the ends of the scale of ratios are those of the pictures (report/heatcolour.go, report/heatmap.go).
const heatStops = [[10, 42, 96], [44, 92, 150], [112, 142, 178], [182, 182, 180], [222, 203, 120], [246, 218, 74], [255, 236, 120]];
const heatLimits = [1.25, 1.5, 2, 4, 10];
const lossInk = [0, 92, 75];
const paper = () => (theme.dark() ? [44, 46, 50] : [244, 244, 242]);

// heatColour is the colour at a place from 0 to 1 of the scale of ratios.
function heatColour(p) {
  const at = Math.min(1, Math.max(0, p)) * (heatStops.length - 1), i = Math.min(Math.floor(at), heatStops.length - 2);
  return mix(heatStops[i], heatStops[i + 1], at - i);
}

// heatLimit is the upper end of the scale that holds all the ratios, and the lower end is its inverse.
function heatLimit(ratios) {
  const most = Math.max(1, ...ratios.flatMap((x) => [x, 1 / x]).filter(finite));
  return heatLimits.find((l) => most <= l) ?? heatLimits[heatLimits.length - 1];
}

// paint colours an element, with letters that can be read on the colour.
function paint(e, c) {
  const linear = c.map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
  const luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  e.style.backgroundColor = `rgb(${c})`;
  e.style.color = luminance > 0.179 ? "#000" : "#fff";
}

// measures are what a heat map of these cells can show: {id, text, value(cell) → {x, text, mark, note}, scale}. A scale "ratio" has 1 in its
// middle, "inverse" too, larger being better; "log" runs from the least to the greatest.
function measures(cells) {
  const pairs = new Map(), rules = new Set();
  for (const c of cells) {
    for (const p of c.pairs || []) pairs.set(JSON.stringify([p.learned, p.baseline]), p);
    for (const r of c.rules) rules.add(r.name);
  }
  const out = [];
  const learnedRules = new Set(cells.flatMap((c) => (c.best || []).map((p) => p.learned)));
  const marks = {won: "▲", lost: "▼", open: "○"};
  const ratio = (learned, id, against, find) => ({
    id: JSON.stringify(["ratio", learned, id]), text: `mean loss, ${learned} ÷ ${against}`, scale: "ratio",
    legend: `blue: below 1, ${learned} is better; grey: 1; yellow: above 1; ▲ it won, ▼ it lost, ○ open: the 95 % interval holds 1`, value(c) {
      const p = find(c);
      if (!p) return null;
      const known = finite(p.ratio) && p.ratio > 0;
      const note = finite(p.ci95[0]) && finite(p.ci95[1]) ? `95 % interval ${short(p.ci95[0])}–${short(p.ci95[1])}` : "runs diverged";
      const diverged = c.rules.find((r) => r.name === learned)?.diverged > 0;
      return {x: known ? p.ratio : diverged ? Infinity : 0, known, text: finite(p.ratio) ? short(p.ratio) : "div.", mark: marks[p.verdict], note: `${p.verdict} against ${p.baseline}, ${note}`};
    }});
  for (const learned of learnedRules) out.push(ratio(learned, null, "the best tuned rule", (c) => (c.best || []).find((p) => p.learned === learned)));
  for (const {learned, baseline} of pairs.values()) {
    const find = (c) => (c.pairs || []).find((p) => p.learned === learned && p.baseline === baseline);
    out.push(ratio(learned, baseline, baseline, find));
    if (cells.some((c) => finite(find(c)?.speed_up))) {
      out.push({id: JSON.stringify(["speed", learned, baseline]), text: `speed-up, steps of ${baseline} ÷ steps of ${learned}`, scale: "inverse", legend: `steps that ${baseline} needs to reach the final loss of ${learned}; > where it did not get there`, value(c) {
        const p = find(c);
        return finite(p?.speed_up) ? {x: p.speed_up, known: true, text: (p.censored ? "> " : "") + short(p.speed_up) + "×", mark: "", note: p.censored ? "a lower bound" : ""} : null;
      }});
    }
  }
  for (const name of rules) {
    for (const [field, words] of [["mean_loss", "mean loss"], ["final_loss", "final loss"]]) {
      out.push({id: JSON.stringify([field, name]), text: `${words} of ${name}`, scale: "log", legend: "darker green: lower loss", value(c) {
        const r = c.rules.find((q) => q.name === name);
        if (!r) return null;
        const known = finite(r[field]);
        return {x: r[field], known, text: known ? short(r[field]) : `div. ${r.diverged}/${r.runs}`, mark: "", note: r.diverged ? `diverged in ${r.diverged} of ${r.runs} runs` : ""};
      }});
    }
  }
  return out;
}

// colour gives the shade of each value under a scale, with the range of scaleRange.
function colour(e, v, scale, range) {
  if (!v.known && scale === "log") return e.classList.add("diverged");
  if (scale === "log") {
    const t = range[1] > range[0] ? (Math.log(v.x) - range[0]) / (range[1] - range[0]) : 0.5;
    return paint(e, mix(paper(), lossInk, 1 - (finite(t) ? t : 1)));
  }
  const t = Math.log(v.x) / Math.log(range[1]);
  paint(e, heatColour(0.5 + 0.5 * (scale === "inverse" ? -t : t)));
}

// scaleRange is what colours go by: the least and the greatest logarithm of the losses in the grid, or the ends of the scale of all cells' ratios.
function scaleRange(measure, grid, cells) {
  const known = (values) => values.filter((v) => v?.known && v.x > 0).map((v) => v.x);
  if (measure?.scale === "log") {
    const logs = known(grid.flat().map((g) => g.v)).map(Math.log);
    return [Math.min(...logs), Math.max(...logs)];
  }
  const limit = measure ? heatLimit(known(cells.map((c) => measure.value(c)))) : 1;
  return [1 / limit, limit];
}

function newHeatMap(select) {
  const state = {sweep: null, measure: null, rows: null, columns: null, fixed: {}, chosen: -1};
  const controls = el("div", {class: "controls"});
  const legend = el("p", {class: "about"});
  const box = el("div", {class: "scroll", tabindex: "0", role: "region", "aria-label": "Heat map"});
  const root = el("div", {}, controls, legend, box);
  let shape = "";

  function settle(known) {
    const axes = state.sweep.axes, names = axes.map((a) => a.name);
    const varied = axes.filter((a) => a.values.length > 1).map((a) => a.name);
    const order = [...varied, ...names.filter((n) => !varied.includes(n))];
    if (!names.includes(state.columns)) state.columns = order[0] ?? null; // as in the pictures
    if (!names.includes(state.rows) || state.rows === state.columns) state.rows = order.find((n) => n !== state.columns) ?? null;
    for (const a of axes) if (!a.values.includes(state.fixed[a.name])) state.fixed[a.name] = a.values[0];
    if (!known.some((m) => m.id === state.measure)) state.measure = known[0]?.id ?? null;
  }

  function drawControls(known) {
    const axes = state.sweep.axes;
    const now = JSON.stringify([axes, known.map((m) => m.id), state.measure, state.rows, state.columns]);
    if (now === shape) return;
    shape = now;
    const names = axes.map((a) => [a.name, a.name]);
    fill(controls,
      known.length > 0 && choose("Show", known.map((m) => [m.id, m.text]), state.measure, (v) => set("measure", v)),
      axes.length > 1 && choose("Rows", names, state.rows, (v) => swap("rows", "columns", v)),
      axes.length > 1 && choose("Columns", names, state.columns, (v) => swap("columns", "rows", v)),
      axes.filter((a) => a.name !== state.rows && a.name !== state.columns && a.values.length > 1).map((a) =>
        choose(a.name, a.values.map((v) => [v, v]), state.fixed[a.name], (v) => {
          state.fixed[a.name] = v;
          draw();
        })));
  }

  function set(name, value) {
    state[name] = value;
    refocus(draw);
  }

  function swap(name, other, value) {
    if (state[other] === value) state[other] = state[name];
    set(name, value);
  }

  // refocus keeps the focus on the control that was used while the controls are made anew.
  function refocus(f) {
    const i = [...controls.querySelectorAll("select")].indexOf(document.activeElement);
    f();
    if (i >= 0) controls.querySelectorAll("select")[i]?.focus();
  }

  function draw() {
    const {sweep} = state;
    const known = measures(sweep.cells);
    settle(known);
    drawControls(known);
    const axis = (n) => sweep.axes.find((a) => a.name === n) || {name: "", values: [""]};
    const rows = axis(state.rows), columns = axis(state.columns);
    const measure = known.find((m) => m.id === state.measure);
    const at = (r, c) => sweep.cells.find((cell) => sweep.axes.every((a) =>
      cell.at[a.name] === (a.name === rows.name ? r : a.name === columns.name ? c : state.fixed[a.name])));
    const grid = rows.values.map((r) => columns.values.map((c) => {
      const cell = at(r, c);
      return {cell, v: cell && measure ? measure.value(cell) : null};
    }));
    const range = scaleRange(measure, grid, sweep.cells);
    const focused = document.activeElement?.dataset?.cell;
    const title = (measure ? measure.text : "Heat map") + (columns.name ? `; columns: ${columns.name}` : "") + (rows.name ? `; rows: ${rows.name}` : "");
    fill(legend, measure ? el("strong", {}, measure.text) : "", measure ? ". " + measure.legend + ". Choose a cell to see its curves." : "No cell has a result yet.");
    fill(box, el("table", {class: "heat"},
      el("caption", {class: "unseen"}, title),
      el("thead", {}, el("tr", {}, el("td", {class: "corner"}, rows.name), columns.values.map((c) => el("th", {scope: "col"}, columns.name ? `${columns.name} ${c}` : c)))),
      el("tbody", {}, grid.map((row, i) => el("tr", {}, el("th", {scope: "row"}, rows.values[i]), row.map((g) => square(g, measure, range)))))));
    if (focused) box.querySelector(`[data-cell="${Number(focused)}"]`)?.focus();
  }

  function square({cell, v}, measure, range) {
    if (!cell || !v) return el("td", {class: "empty"}, el("span", {"aria-label": "no result"}, "·"));
    const chosen = cell.index === state.chosen;
    const b = el("button", {type: "button", "data-cell": cell.index, "aria-pressed": String(chosen), title: [cell.name, v.note].filter(Boolean).join(": "), on: {click: () => {
      state.chosen = cell.index;
      for (const other of box.querySelectorAll("[data-cell]")) other.setAttribute("aria-pressed", String(other === b));
      select(cell);
    }}}, el("span", {class: "big"}, v.text), v.mark && el("span", {class: "mark", "aria-hidden": "true"}, v.mark), el("span", {class: "unseen"}, " " + [v.note, cell.name].filter(Boolean).join(", ")));
    colour(b, v, measure.scale, range);
    return el("td", {}, b);
  }

  theme.listeners.add(() => state.sweep && draw());
  return {el: root, chosen: () => state.chosen, update(sweep) {
    state.sweep = sweep;
    draw();
  }};
}
