// Heat maps: tables of buttons, coloured by a measure. The number is in each cell: colour only repeats it.

const mix = (a, b, t) => a.map((v, i) => Math.round(v + (b[i] - v) * t));
const poles = {won: [0, 114, 178], lost: [213, 94, 0], ink: [0, 92, 75]};
const paper = () => (theme.dark() ? [44, 46, 50] : [244, 244, 242]);

// tint colours an element: t from -1 (won) over 0 to 1 (lost).
function tint(e, pole, t) {
  const c = mix(paper(), pole, Math.min(1, Math.max(0, t)));
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
  const marks = {won: "▲", lost: "▼", open: "○"};
  for (const {learned, baseline} of pairs.values()) {
    const find = (c) => (c.pairs || []).find((p) => p.learned === learned && p.baseline === baseline);
    out.push({id: JSON.stringify(["ratio", learned, baseline]), text: `mean loss, ${learned} ÷ ${baseline}`, scale: "ratio", legend: `▲ blue: ${learned} won, ▼ orange: it lost, ○ open: the 95 % interval holds 1`, value(c) {
      const p = find(c);
      if (!p) return null;
      const note = finite(p.ci95[0]) && finite(p.ci95[1]) ? `95 % interval ${short(p.ci95[0])}–${short(p.ci95[1])}` : "runs diverged";
      return {x: finite(p.ratio) ? p.ratio : {won: 0.25, open: 1, lost: 4}[p.verdict], known: finite(p.ratio), text: finite(p.ratio) ? short(p.ratio) : "div.", mark: marks[p.verdict], note: `${p.verdict}, ${note}`};
    }});
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

// colour gives the shade of each value under a scale.
function colour(e, v, scale, range) {
  if (!v.known && scale === "log") return e.classList.add("diverged");
  if (scale === "log") {
    const t = range[1] > range[0] ? (Math.log(v.x) - range[0]) / (range[1] - range[0]) : 0.5;
    return tint(e, poles.ink, 1 - (finite(t) ? t : 1));
  }
  const t = (Math.log2(v.x) * (scale === "inverse" ? -1 : 1)) / 2;
  tint(e, t < 0 ? poles.won : poles.lost, Math.abs(t));
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
    if (!names.includes(state.columns)) state.columns = order[order.length > 1 && varied.length > 1 ? 1 : 0] ?? null;
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
    const logs = grid.flat().filter((g) => g.v?.known && g.v.x > 0).map((g) => Math.log(g.v.x));
    const range = [Math.min(...logs), Math.max(...logs)];
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
