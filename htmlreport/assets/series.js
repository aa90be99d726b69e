// Series to what uPlot draws: one list of x for all, null where there is no value to draw.

// A series is {name, style: {colours, dash, width}, x, y, lo, hi, points, note}.

// perSeries is the number of columns that align makes of a series.
const perSeries = 4;

// windowOf returns the number of points that curves should be averaged over to be read, 0 if none of them is noisy: the same rule as
// Window of package report.
function windowOf(series) {
  const noisy = series.some((s) => {
    if (s.points || s.y.length < 40) return false;
    const changes = [];
    let turns = 0, before = 0;
    for (let i = 1; i < s.y.length; i++) {
      const d = s.y[i] - s.y[i - 1], size = (Math.abs(s.y[i]) + Math.abs(s.y[i - 1])) / 2;
      if (!finite(s.y[i]) || !finite(s.y[i - 1]) || size === 0) {
        before = 0;
        continue;
      }
      changes.push(Math.abs(d) / size);
      if (d * before < 0) turns++;
      before = d;
    }
    changes.sort((a, b) => a - b);
    return changes.length >= 20 && changes[Math.floor(changes.length / 2)] > 0.08 && turns > 0.4 * changes.length;
  });
  if (!noisy) return 0;
  return Math.min(Math.max(Math.floor(Math.max(...series.map((s) => s.y.length)) / 20), 5), 101) | 1;
}

// movingAverage returns the means of window neighbouring values: as many before as after each, so fewer near the start, and fewer after it at the
// end. Where one of them is not finite there is no mean.
function movingAverage(y, window) {
  return y.map((_, i) => {
    const reach = Math.min((window - 1) / 2, i);
    const near = y.slice(i - reach, i + reach + 1);
    return near.every(finite) ? near.reduce((a, b) => a + b, 0) / near.length : null;
  });
}

// align returns uPlot's data: x, then y, lo, hi and the faint points of each series. With a window, y, lo and hi are averages, and the faint
// points are what they are averages of. Where a series has no point at an x
// the value is undefined, over which lines go on; where it has one that cannot be drawn it is null, a gap.
function align(series, logX, logY, window) {
  const drawable = (v) => finite(v) && (!logY || v > 0);
  const at = new Map();
  for (const s of series) for (const x of s.x) if (finite(x) && (!logX || x > 0)) at.set(x, 0);
  const xs = [...at.keys()].sort((a, b) => a - b);
  xs.forEach((x, i) => at.set(x, i));
  const data = [xs];
  for (const s of series) {
    const band = s.lo && s.hi;
    const averaged = window > 0 && !s.points;
    const mean = (values) => (averaged ? movingAverage(values, window) : values);
    const columns = [mean(s.y), band ? mean(s.lo) : [], band ? mean(s.hi) : [], averaged ? s.y : []].map((values) => {
      const column = new Array(xs.length);
      values.forEach((v, i) => {
        const k = at.get(s.x[i]);
        if (k !== undefined) column[k] = drawable(v) ? v : null;
      });
      return column;
    });
    data.push(...columns);
  }
  return data;
}

const canLog = (series) => series.some((s) => s.y.some((v) => finite(v) && v > 0));

const hasNonPositive = (series) => series.some((s) => s.y.some((v) => finite(v) && v <= 0));

// logSplits are the ticks of a logarithmic axis: the rounder the longer the axis is.
function logSplits(min, max) {
  if (!(min > 0) || !(max > min)) return [];
  const decades = Math.log10(max / min);
  const mantissas = decades < 1 ? [1, 1.5, 2, 3, 4, 5, 7] : decades < 3.2 ? [1, 2, 5] : [1];
  const every = Math.max(1, Math.ceil(decades / 7));
  const ticks = [];
  for (let e = Math.floor(Math.log10(min)); e <= Math.ceil(Math.log10(max)); e++) {
    if (mantissas.length === 1 && e % every !== 0) continue;
    for (const m of mantissas) {
      const v = Number((m * 10 ** e).toPrecision(3));
      if (v >= min && v <= max) ticks.push(v);
    }
  }
  return ticks.length > 1 ? ticks : linearSplits(min, max);
}

// linearSplits are some round numbers from min to max: what is left where an axis is shorter than from 1 to 2.
function linearSplits(min, max) {
  const power = 10 ** Math.floor(Math.log10((max - min) / 3));
  const step = [5, 2, 1].map((m) => m * power).find((s) => (max - min) / s >= 2.5) || power;
  const ticks = [];
  for (let k = Math.ceil(min / step); k * step <= max; k++) ticks.push(Number((k * step).toPrecision(12)));
  return ticks;
}

function tick(v) {
  if (v == null) return "";
  const a = Math.abs(v);
  if (a !== 0 && (a < 1e-3 || a >= 1e5)) return v.toExponential().replace(/^(-?\d(?:\.\d{1,2})?)\d*e\+?/, "$1e");
  return String(Number(v.toPrecision(6)));
}

// place prints a value of the x axis: a step in full, a time with six digits.
const place = (x) => (Number.isInteger(x) ? String(x) : tick(x));

// describe is the text of a chart for those who do not see it.
function describe(title, xLabel, yLabel, series) {
  const parts = series.map((s) => {
    let last = -1;
    s.y.forEach((v, i) => {
      if (finite(v)) last = i;
    });
    return last < 0 ? s.name + " has no finite value" : `${s.name} ends at ${digits(s.y[last])} (${xLabel} ${place(s.x[last])})`;
  });
  return `Line chart: ${title}. ${yLabel} over ${xLabel}. ${parts.join("; ")}. The table below has the values; the arrow keys move through them.`;
}

// sampleRows are at most about count rows of the series, the last one among them.
function sampleRows(series, count) {
  const xs = [...new Set(series.flatMap((s) => s.x))].filter(finite).sort((a, b) => a - b);
  const every = Math.max(1, Math.ceil(xs.length / count));
  const kept = xs.filter((_, i) => i % every === 0 || i === xs.length - 1);
  const maps = series.map((s) => new Map(s.x.map((x, i) => [x, s.y[i]])));
  return kept.map((x) => [{value: x, show: place(x)}, ...maps.map((m) => (finite(m.get(x)) ? m.get(x) : null))]);
}
