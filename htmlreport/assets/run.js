// A run: its comparison, its training, its diagnostics.

// rateText is a rule's learning rate, or the factor on a learned rule's updates.
const rateText = (r) => (finite(r.multiplier) ? "× " + short(r.multiplier) : short(r.learning_rate));

// stepTime is the time of a step in milliseconds, and updateShare the update's part of it; null if they are not known.
const stepTime = (r) => (finite(r.gradient_seconds) && finite(r.update_seconds) ? 1000 * (r.gradient_seconds + r.update_seconds) : null);
const updateShare = (r) => (stepTime(r) > 0 ? (1000 * r.update_seconds) / stepTime(r) : null);

// ruleRows are the rows of a table of rules.
function ruleRows(rules) {
  const text = (s) => s || "–";
  return rules.map((r) => [
    {value: r.name, show: r.learned ? el("strong", {}, r.name) : r.name},
    r.learned ? "learned" : "hand-designed",
    {value: r.learning_rate, show: rateText(r)},
    r.mean_loss,
    {value: r.mean_loss_ci95[1], show: finite(r.mean_loss_ci95[1]) ? `${digits(r.mean_loss_ci95[0])}–${digits(r.mean_loss_ci95[1])}` : "–"},
    r.final_loss,
    {value: r.diverged, show: text(`${r.diverged}/${r.runs}`)},
    {value: stepTime(r), show: finite(stepTime(r)) ? short(stepTime(r)) : "–"},
    {value: updateShare(r), show: finite(updateShare(r)) ? Math.round(100 * updateShare(r)) + " %" : "–"},
    {value: r.valid_loss, show: digits(r.valid_loss)},
    {value: r.test_accuracy, show: finite(r.test_accuracy) ? (100 * r.test_accuracy).toFixed(2) + " %" : "–"},
  ]);
}

const ruleColumns = [
  {name: "rule"}, {name: "kind"}, {name: "learning rate", numeric: true}, {name: "mean loss", numeric: true, title: "over all steps, start included"},
  {name: "95 % interval", numeric: true}, {name: "final loss", numeric: true, title: "over the last five steps"}, {name: "diverged", numeric: true},
  {name: "ms a step", numeric: true, title: "gradient and update, on one core of the machine that measured it"}, {name: "update", numeric: true, title: "the update's part of a step"},
  {name: "valid loss", numeric: true}, {name: "test accuracy", numeric: true},
];

// ruleTable leaves out the columns that no rule fills.
function ruleTable(caption) {
  const box = el("div");
  let table, shape;
  return {el: box, update(rules) {
    const optional = {4: (r) => r.mean_loss_ci95[1], 7: stepTime, 8: updateShare, 9: (r) => r.valid_loss, 10: (r) => r.test_accuracy};
    const keep = ruleColumns.map((c, i) => !optional[i] || rules.some((r) => finite(optional[i](r))));
    if (String(keep) !== shape) {
      shape = String(keep);
      table = sortTable(caption, ruleColumns.filter((_, i) => keep[i]));
      fill(box, table.el);
    }
    table.update(ruleRows(rules).map((row) => row.filter((_, i) => keep[i])));
  }};
}

function curveSeries(rules, styleOf) {
  return rules.filter((r) => r.curve).map((r) => ({
    name: r.name, style: styleOf(r.name, r.learned), x: r.curve.steps, y: r.curve.mean, lo: r.curve.lo, hi: r.curve.hi,
  }));
}

// timeSeries are the curves against wall time in milliseconds. At each of some 200 times every rule has the loss of the last step
// that it has done, up to the end of its run, so that the legend can show them side by side.
function timeSeries(rules, styleOf) {
  const timed = rules.filter((r) => r.curve && stepTime(r) > 0);
  if (!timed.length) return [];
  const end = (r) => stepTime(r) * r.curve.steps[r.curve.steps.length - 1];
  const first = Math.min(...timed.map(stepTime)), last = Math.max(...timed.map(end)), count = 200;
  const at = Array.from({length: count + 1}, (_, k) => first * (last / first) ** (k / count)).concat(timed.map(end)).sort((a, b) => a - b);
  return timed.map((r) => {
    const x = at.filter((t) => t <= end(r)), c = r.curve;
    let k = 0;
    const done = x.map((t) => {
      while (k + 1 < c.steps.length && c.steps[k + 1] * stepTime(r) <= t * (1 + 1e-9)) k++;
      return k;
    });
    const pick = (values) => values && done.map((i) => values[i]);
    return {name: r.name, style: styleOf(r.name, r.learned), x, y: pick(c.mean), lo: pick(c.lo), hi: pick(c.hi)};
  });
}

const timeChart = (title) => newChart({title, x: "ms", y: "loss", logY: true, logX: true});

// diagnosticCharts are the charts of numbers that validations carry: which paths each one shows.
const diagnosticCharts = [
  ["Update over gradient", "ratio of RMS", true, /^(\w+)\.update_to_gradient$/],
  ["Saturated gates in training", "share of activations", false, /^(training)\.gates\.(\d+)\.(\w+)$/],
  ["Saturated gates in validation", "share of activations", false, /^(validation)\.gates\.(\d+)\.(\w+)$/],
  ["Inputs that are clipped or zero", "share of inputs", false, /^(\w+)\.(?:inputs\.)?(small_gradients|clipped_signs|zero_gradients)$/],
  ["Meta-gradient norm since the last validation", "norm", true, /^(\w+)\.meta_gradient\.(mean_norm|max_norm)$/],
  ["Clipped meta-gradients", "share of windows", false, /^(\w+)\.meta_gradient\.(clipped)$/],
];

const plain = (s) => s.replaceAll("_", " ");

// diagnosticName and diagnosticStyle: gates go by layer (dashes) and letter (colours), the rest by phase.
function diagnosticName([, phase, ...rest]) {
  if (rest.length === 2) return `layer ${Number(rest[0]) + 1}, gate ${rest[1]}`;
  return rest[0] ? `${phase}: ${plain(rest[0])}` : phase;
}

function diagnosticStyle([, phase, ...rest], name, styleOf) {
  if (rest.length !== 2) return styleOf(name, phase === "training");
  const gate = Math.max(0, "ifgo".indexOf(rest[1]));
  return {colours: [learnedColours[0], learnedColours[1], otherColours[0], otherColours[2]][gate], dash: learnedDashes[rest[0] % learnedDashes.length], width: 1.8};
}

function diagnosticSeries(validations, pattern, styleOf) {
  const found = new Map();
  const last = validations.length ? validations[validations.length - 1].training : 0;
  for (const v of validations) {
    if (v.training !== last) continue; // of several seeds the latest
    for (const [path, value] of Object.entries(v.diagnostics || {})) {
      const match = pattern.exec(path);
      if (!match) continue;
      const name = diagnosticName(match);
      if (!found.has(name)) found.set(name, {name, style: diagnosticStyle(match, name, styleOf), x: [], y: [], points: true});
      found.get(name).x.push(v.meta_step);
      found.get(name).y.push(value);
    }
  }
  return [...found.values()].sort((a, b) => a.name.localeCompare(b.name, "en", {numeric: true}));
}

const workerColumns = [
  {name: "worker"}, {name: "process"}, {name: "at a time", numeric: true}, {name: "units", numeric: true}, {name: "units/s", numeric: true},
  {name: "time of a unit, s", numeric: true, title: "smoothed"}, {name: "waiting", numeric: true, title: "pieces of work that it has"},
  {name: "episodes", numeric: true, title: "that it holds"}, {name: "replayed", numeric: true, title: "windows that it computed again"},
];

// workerSection shows the workers of a training that is under way on many machines.
function workerSection() {
  const sentence = el("p", {class: "about workers"});
  const table = sortTable("Workers", workerColumns);
  const box = el("section", {}, el("h3", {}, "Workers"), sentence, table.el);
  box.hidden = true;
  return {el: box, update(w) {
    box.hidden = !w;
    if (!w) return;
    const slowest = w.list[w.slowest];
    fill(sentence, `${w.list.length} ${w.list.length === 1 ? "worker computes" : "workers compute"} ${short(w.units_per_second)} units a second. `,
      `Queue: ${w.waiting} wait. Redelivered: ${w.redelivered}. `, slowest ? `Slowest: ${slowest.name}, ${short(slowest.unit_seconds)} s a unit.` : null);
    table.update(w.list.map((x) => [x.name, x.process, {value: x.slots, show: String(x.slots)}, {value: x.units, show: String(x.units)}, {value: x.units_per_second, show: short(x.units_per_second)},
      {value: x.unit_seconds, show: x.unit_seconds > 0 ? short(x.unit_seconds) : "–"}, {value: x.waiting, show: String(x.waiting)}, {value: x.held, show: String(x.held)}, {value: x.replayed, show: String(x.replayed)}]));
  }};
}

function newRun() {
  const workers = workerSection();
  const trainingStyle = newStyles();
  const curves = newChart({title: "Learning curves on fresh instances, with 95 % intervals", x: "step", y: "loss", logY: true, hint: true});
  const times = timeChart("Learning curves against wall time on one core");
  const rules = ruleTable("Rules on the same fresh instances");
  const losses = newChart({title: "Losses of episodes and validations", x: "meta-step", y: "loss", logY: true});
  const norms = newChart({title: "Meta-gradient norm, mean of an episode", x: "meta-step", y: "norm", logY: true});
  const diagnostics = diagnosticCharts.map(([title, y, logY, pattern]) => ({pattern, styleOf: newStyles(), chart: newChart({title, x: "meta-step", y, logY})}));
  const about = el("p", {class: "about"});
  const results = el("section", {}, el("h3", {}, "Comparison"), about, curves.el, times.el, rules.el);
  const numbers = el("details", {}, el("summary", {}, "All diagnostics of the last validation"));
  const why = el("section", {}, el("h3", {}, "Diagnostics"), el("div", {class: "grid"}, diagnostics.map((d) => d.chart.el)), numbers);
  const training = el("section", {}, el("h3", {}, "Meta-training"), el("div", {class: "grid"}, losses.el, norms.el));

  function update(run) {
    workers.update(run.workers);
    const c = run.comparison;
    results.hidden = !c;
    if (c) {
      fill(about, `${c.task}: ${c.steps} steps, averages over ${c.runs} fresh instances of seed ${c.seed}. Mean loss: over all steps, start included. Final loss: over the last five.`);
      const styleOf = placedStyles(c.styles);
      curves.update(curveSeries(c.rules, styleOf));
      times.update(timeSeries(c.rules, styleOf));
      rules.update(c.rules);
    }
    const many = run.trainings.length > 1;
    const of = (t, what) => (many ? `${what}, seed ${run.trainings[t].seed}` : what);
    const train = [], valid = [], norm = [];
    run.trainings.forEach((_, t) => {
      const episodes = run.episodes.filter((e) => e[0] === t), checks = run.validations.filter((v) => v.training === t);
      const styled = (kind, learned) => trainingStyle(`${kind} ${t}`, learned);
      train.push({name: of(t, "episodes"), style: {...styled("episodes", false), dash: [], width: 1}, x: episodes.map((e) => e[1]), y: episodes.map((e) => e[2])});
      valid.push({name: of(t, "validation"), style: styled("validation", true), x: checks.map((v) => v.meta_step), y: checks.map((v) => v.loss), points: true});
      norm.push({name: of(t, "norm"), style: {...styled("norm", false), dash: [], width: 1.2}, x: episodes.map((e) => e[1]), y: episodes.map((e) => e[4])});
    });
    training.hidden = !run.episodes.length && !run.validations.length;
    losses.update([...valid, ...train]);
    norms.update(norm);
    const carrying = run.validations.filter((v) => v.diagnostics);
    why.hidden = !carrying.length;
    for (const d of diagnostics) d.chart.update(diagnosticSeries(carrying, d.pattern, d.styleOf));
    if (carrying.length) {
      const last = carrying[carrying.length - 1];
      fill(numbers, numbers.querySelector("summary"), listTable(`Diagnostics at meta-step ${last.meta_step}`,
        Object.entries(last.diagnostics).map(([k, v]) => [plain(k), finite(v) ? String(v) : "–"])));
    }
  }
  return {el: el("div", {}, results, workers.el, training, why), update};
}

function runProvenance(run) {
  const t = run.trainings[0];
  const rows = [];
  if (run.command) rows.push(["command", el("code", {}, run.command)]);
  if (t) {
    rows.push(["seed", run.trainings.map((x) => x.seed).join(", ")], ["version", t.version || "–"]);
    const by = Object.fromEntries(t.settings.map((s) => [s.name, s.value]));
    if (by.go) rows.push(["made with", `${by.go} ${by.os}/${by.arch}, kernels ${by.kernels}`]);
  }
  return {rows, settings: t ? t.settings.map((s) => [s.name, s.value]) : []};
}
