// A chart: curves of uPlot, a legend of buttons, switches, and a table of the values.

const chartHeight = (width) => Math.round(Math.max(220, Math.min(420, width * 0.55)));

// swatch shows a series' line in the legend.
function swatch(style) {
  const s = svg("svg", {width: 30, height: 10, "aria-hidden": "true", focusable: "false"});
  s.append(svg("line", {x1: 1, y1: 5, x2: 29, y2: 5, stroke: style.colours[theme.dark() ? 1 : 0], "stroke-width": style.width, "stroke-dasharray": style.dash.join(" ")}));
  return s;
}

// newChart makes a chart of {title, x, y, logY, logX, hint}: labels, which axes begin logarithmic, whether it says how it is used.
function newChart(options) {
  const state = {series: [], hidden: new Set(), logY: !!options.logY, logX: !!options.logX, window: 0, average: true, plot: null, shape: ""};
  const caption = el("figcaption", {id: newId("chart")}, options.title);
  const area = el("div", {class: "plot", tabindex: "0", role: "img", on: {keydown: key}});
  const readout = el("p", {class: "readout", "aria-live": "off"});
  const spoken = el("p", {class: "unseen", "aria-live": "polite"});
  const legend = el("div", {class: "legend", role: "group", "aria-label": "Curves of " + options.title});
  const logYBox = switchBox("log " + options.y, state.logY, (on) => {
    state.logY = on;
    state.chosen = true;
    rebuild();
  });
  const logXBox = switchBox("log " + options.x, state.logX, (on) => {
    state.logX = on;
    rebuild();
  });
  const averageBox = switchBox("averages", state.average, (on) => {
    state.average = on;
    rebuild();
  });
  const values = el("details", {class: "values", on: {toggle: fillValues}}, el("summary", {}, "Values as a table"));
  const figure = el("figure", {"aria-labelledby": caption.id},
    caption, el("div", {class: "controls"}, logYBox, logXBox, averageBox), legend, area, readout, spoken, values);
  figure.hidden = true;

  const buttons = new Map();

  function drawLegend() {
    const focused = [...buttons].find(([, b]) => b.button === document.activeElement)?.[0];
    buttons.clear();
    fill(legend, state.series.map((s) => {
      const value = el("span", {class: "value"});
      const button = el("button", {type: "button", class: "rule", "aria-pressed": String(!state.hidden.has(s.name)), on: {click: () => toggle(s.name)}},
        swatch(s.style), el("span", {class: "name"}, s.name), value);
      buttons.set(s.name, {button, value});
      return button;
    }));
    if (focused) buttons.get(focused)?.button.focus();
  }

  function toggle(name) {
    const show = state.hidden.has(name);
    if (show) state.hidden.delete(name);
    else state.hidden.add(name);
    buttons.get(name).button.setAttribute("aria-pressed", String(show));
    if (!state.plot) return;
    const k = 1 + perSeries * state.series.findIndex((s) => s.name === name);
    state.plot.batch(() => {
      for (let i = k; i < k + perSeries; i++) state.plot.setSeries(i, {show});
    });
  }

  // move shows the values at an index of the x axis, null for none.
  function move(index) {
    const data = state.plot?.data;
    const on = data && index != null && data[0][index] !== undefined;
    const parts = [];
    state.series.forEach((s, i) => {
      const column = 1 + perSeries * i, v = on ? data[column + (averages() && !s.points ? 3 : 0)][index] : undefined;
      const text = on && finite(v) ? digits(v) : "";
      const b = buttons.get(s.name);
      if (b) b.value.textContent = text;
      if (text && !state.hidden.has(s.name)) parts.push(s.name + " " + text);
    });
    const at = on ? `${options.x} ${tick(data[0][index])}` : "";
    const average = averages() ? `Lines: means of ${state.window} points; faint: each point. ` : "";
    readout.textContent = on ? at : average + (options.hint ? "Point at the curves, or focus them and use the arrow keys; drag to zoom, double-click to go back." : "");
    return at + ": " + parts.join(", ");
  }

  function key(e) {
    const u = state.plot;
    const step = {ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -Infinity, End: Infinity}[e.key];
    if (!u || step === undefined || !u.data[0].length) return;
    e.preventDefault();
    const last = u.data[0].length - 1;
    const from = u.cursor.idx == null ? (step < 0 ? last + 1 : -1) : u.cursor.idx;
    const index = Math.max(0, Math.min(last, from + step));
    u.setCursor({left: u.valToPos(u.data[0][index], "x"), top: u.over.clientHeight / 2});
    spoken.textContent = move(index);
  }

  function fillValues() {
    if (!values.open) return;
    const table = sortTable(`${options.title}: ${options.y} by ${options.x}`, [{name: options.x, numeric: true}, ...state.series.map((s) => ({name: s.name, numeric: true}))]);
    table.update(sampleRows(state.series, 40));
    fill(values, values.querySelector("summary"), table.el);
  }

  function build() {
    state.plot?.destroy();
    state.plot = null;
    const width = Math.floor(area.clientWidth);
    if (!width || !state.series.length) return;
    const dark = theme.dark() ? 1 : 0;
    const ink = cssValue("--soft"), grid = cssValue("--grid");
    const series = [{}], bands = [], marks = [0];
    for (const s of state.series) {
      const colour = s.style.colours[dark], show = !state.hidden.has(s.name), i = series.length;
      series.push({label: s.name, show, stroke: colour, width: s.style.width, dash: s.style.dash, spanGaps: false, pxAlign: 0, points: {show: s.points === true, size: 5, fill: colour}});
      for (let k = 0; k < 2; k++) series.push({show, stroke: null, width: 0, pxAlign: 0, points: {show: false}});
      series.push({show, stroke: colour + (dark ? "70" : "60"), width: 1, spanGaps: false, pxAlign: 0, points: {show: false}});
      marks.push(7, 0, 0, 0);
      bands.push({series: [i + 2, i + 1], fill: colour + (dark ? "30" : "24")});
    }
    const padded = (log) => (u, min, max) => {
      if (min == null || max == null) return [log ? 0.1 : 0, 1];
      if (log) return min === max ? [min / 2, max * 2] : [min / (max / min) ** 0.04, max * (max / min) ** 0.04];
      const pad = (max - min || Math.abs(max) || 1) * 0.05;
      return [min >= 0 && min - pad < 0 ? 0 : min - pad, max + pad];
    };
    const axis = (label, log) => ({
      stroke: ink, grid: {stroke: grid, width: 1}, ticks: {stroke: grid, width: 1, size: 5}, label, labelSize: 22, labelGap: 2, labelFont: "13px system-ui, sans-serif", font: "12px system-ui, sans-serif",
      values: (u, splits) => splits.map(tick),
      ...(log ? {splits: (u, i, min, max) => logSplits(min, max), filter: (u, splits) => splits} : {}),
    });
    state.plot = new uPlot({
      width, height: chartHeight(width), series, bands, padding: [10, 12, 0, 0],
      legend: {show: false},
      cursor: {y: false, drag: {x: true, y: false}, points: {size: (u, i) => marks[i], fill: (u, i) => u.series[i].stroke?.(u, i) || "transparent"}},
      scales: {x: {time: false, distr: state.logX ? 3 : 1, ...(state.logX ? {range: (u, min, max) => (min === max ? [min / 2, max * 2] : [min, max])} : {})},
        y: {distr: state.logY ? 3 : 1, range: padded(state.logY)}},
      axes: [{...axis(options.x, state.logX), size: 30, space: 55}, {...axis(options.y, state.logY), size: 58, space: 32}],
      hooks: {setCursor: [(u) => move(u.cursor.idx)]},
    }, align(state.series, state.logX, state.logY, averages()), area);
    state.width = width;
    move(null);
  }

  // averages is the number of points that lines are averages of, 0 if they are the points.
  function averages() {
    return state.average ? state.window : 0;
  }

  function rebuild() {
    area.setAttribute("aria-label", describe(options.title, options.x, options.y, state.series));
    drawLegend();
    build();
  }

  new ResizeObserver(() => {
    const width = Math.floor(area.clientWidth);
    if (!width || width === state.width) return;
    if (!state.plot) return build();
    state.width = width;
    state.plot.setSize({width, height: chartHeight(width)});
  }).observe(area);
  theme.listeners.add(() => state.series.length && rebuild());

  // update shows other series, or the same ones with more points.
  function update(series) {
    series = series.filter((s) => s.y.some(finite));
    figure.hidden = !series.length;
    // A logarithmic axis hides values that are not positive, so it is not the default where there are any.
    if (!canLog(series) || !state.chosen && hasNonPositive(series)) state.logY = logYBox.firstChild.checked = false;
    logYBox.firstChild.disabled = !canLog(series);
    const shape = JSON.stringify(series.map((s) => [s.name, s.style.colours, s.points]));
    const same = state.plot && shape === state.shape;
    state.series = series;
    state.shape = shape;
    state.window = windowOf(series);
    averageBox.hidden = !state.window;
    if (!same) return rebuild();
    state.plot.setData(align(series, state.logX, state.logY, averages()));
    area.setAttribute("aria-label", describe(options.title, options.x, options.y, series));
    fillValues();
  }

  return {el: figure, update};
}
