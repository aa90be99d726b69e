// A sweep: its heat map, the curves of a cell, the table of all cells.

function newSweep() {
  let sweep = null;
  const heading = el("h4", {"aria-live": "polite"});
  const curves = newChart({title: "Learning curves of the cell, with 95 % intervals", x: "step", y: "loss", logY: true, hint: true});
  const times = timeChart("Learning curves of the cell against wall time on one core");
  const rules = ruleTable("Rules in the cell");
  const detail = el("div", {class: "detail"}, heading, curves.el, times.el, rules.el);
  detail.hidden = true;
  const heat = newHeatMap(show);
  let table, shape;
  const all = el("div");

  function show(cell) {
    detail.hidden = false;
    fill(heading, `Cell: ${cell.name}; ${cell.steps} steps, seed ${cell.seed}`);
    const styleOf = placedStyles(sweep.styles);
    curves.update(curveSeries(cell.rules, styleOf));
    times.update(timeSeries(cell.rules, styleOf));
    rules.update(cell.rules);
  }

  // cellRows has a row a rule and cell.
  function cellRows() {
    return sweep.cells.flatMap((c) => c.rules.map((r) => {
      const own = (c.pairs || []).filter((p) => p.learned === r.name);
      const rank = {won: 0, open: 1, lost: 2};
      const worst = own.slice().sort((a, b) => rank[b.verdict] - rank[a.verdict] || b.ratio - a.ratio)[0];
      return [
        ...sweep.axes.map((a) => {
          const v = c.at[a.name] ?? "";
          return {value: v !== "" && finite(Number(v)) ? Number(v) : v, show: v || "–"};
        }),
        {value: r.name, show: r.learned ? el("strong", {}, r.name) : r.name},
        {value: r.learning_rate, show: rateText(r) + (r.tuned ? ` (tuned: ${r.tuned})` : "")},
        r.mean_loss, r.final_loss, {value: r.diverged, show: `${r.diverged}/${r.runs}`},
        worst ? {value: worst.ratio, show: [badge(worst.verdict), ` ${short(worst.ratio)} × ${worst.baseline}`]} : {value: null, show: "–"},
      ];
    }));
  }

  function update(next) {
    sweep = next;
    heat.update(sweep);
    const names = sweep.axes.map((a) => a.name);
    if (String(names) !== shape) {
      shape = String(names);
      table = sortTable("All cells, a row for each rule", [...sweep.axes.map((a) => ({name: a.name, numeric: a.values.every((v) => finite(Number(v)))})),
        {name: "rule"}, {name: "learning rate", numeric: true}, {name: "mean loss", numeric: true}, {name: "final loss", numeric: true}, {name: "diverged", numeric: true},
        {name: "mean loss against the best", title: "the hand-designed rule that it does worst against"}], {plain: true});
      fill(all, table.el);
    }
    table.update(cellRows());
    const cell = sweep.cells.find((c) => c.index === heat.chosen());
    if (cell) show(cell);
    else detail.hidden = true;
  }

  return {el: el("div", {}, el("section", {}, el("h3", {}, "Heat map"), heat.el, detail), el("section", {}, el("h3", {}, "Cells"), all)), update};
}

function sweepProvenance(sweep) {
  const sources = new Map();
  for (const c of sweep.cells) for (const r of c.rules) if (r.source || r.digest) sources.set(r.name, `${r.source || "–"}${r.digest ? `, digest ${r.digest}` : ""}`);
  const rows = [["seed", sweep.seeds?.join(", ") || "–"], ["version", sweep.versions?.join(", ") || "–"]];
  for (const [name, text] of sources) rows.push([name, text]);
  return {rows, settings: (sweep.settings || []).map((s) => [s.name, s.value])};
}
