// Tables that sort by any column.

// sortTable makes a table. columns are {name, numeric, title}; rows are lists of cells, a cell being text, a number (shown by
// digits, sorted by size), or {value, show}: what it is sorted by and the element or text to show.
function sortTable(caption, columns, options = {}) {
  const state = {rows: [], by: -1, down: false};
  const body = el("tbody");
  const heads = columns.map((c, i) => {
    const button = el("button", {type: "button", class: "sort", title: c.title, on: {click: () => sort(i)}}, c.name, el("span", {class: "arrow", "aria-hidden": "true"}));
    return el("th", {scope: "col", class: c.numeric ? "number" : null, "aria-sort": "none"}, button);
  });
  const table = el("table", {}, el("caption", {}, caption), el("thead", {}, el("tr", {}, heads)), body);
  const box = el("div", {class: "scroll sorted", tabindex: "0", role: "region", "aria-label": caption}, table);

  const valueOf = (cell) => (cell && typeof cell === "object" ? cell.value : cell);
  const missing = (v) => v == null || v === "" || (typeof v === "number" && !Number.isFinite(v));

  function sort(i) {
    state.down = state.by === i && !state.down;
    state.by = i;
    draw();
  }

  function draw() {
    const rows = state.rows.slice();
    if (state.by >= 0) {
      const sign = state.down ? -1 : 1;
      rows.sort((a, b) => {
        const x = valueOf(a[state.by]), y = valueOf(b[state.by]);
        if (missing(x) || missing(y)) return missing(x) - missing(y); // last, either way
        return sign * (typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y), "en", {numeric: true}));
      });
    }
    heads.forEach((h, i) => h.setAttribute("aria-sort", i !== state.by ? "none" : state.down ? "descending" : "ascending"));
    fill(body, rows.map((row) => el("tr", {}, row.map((cell, i) => {
      const show = cell && typeof cell === "object" ? cell.show : typeof cell === "number" || cell == null ? digits(cell) : cell;
      return i === 0 && !options.plain
        ? el("th", {scope: "row", class: columns[i].numeric ? "number" : null}, show)
        : el("td", {class: columns[i].numeric ? "number" : null}, show);
    }))));
  }

  return {el: box, update(rows) {
    state.rows = rows;
    draw();
  }};
}

// listTable is a table of names and values.
function listTable(caption, pairs) {
  return el("div", {class: "scroll", tabindex: "0", role: "region", "aria-label": caption},
    el("table", {class: "list"}, el("caption", {}, caption), el("tbody", {}, pairs.map(([name, value]) =>
      el("tr", {}, el("th", {scope: "row"}, name), el("td", {}, value))))));
}
