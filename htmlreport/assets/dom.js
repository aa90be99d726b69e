// Elements. All text from data goes through text nodes and attributes set by name, never through markup.

const SVG = "http://www.w3.org/2000/svg";

// el makes an element: attributes, "on" handlers, children that are elements or text.
function el(tag, attributes, ...children) {
  const e = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name === "on") for (const [event, f] of Object.entries(value)) e.addEventListener(event, f);
    else if (value === true) e.setAttribute(name, "");
    else if (value !== false && value != null) e.setAttribute(name, value);
  }
  put(e, children);
  return e;
}

function put(e, children) {
  for (const c of children.flat(Infinity)) if (c != null && c !== false) e.append(c);
}

function fill(e, ...children) {
  e.replaceChildren();
  put(e, children);
}

function svg(tag, attributes) {
  const e = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) e.setAttribute(name, value);
  return e;
}

let ids = 0;
const newId = (prefix) => prefix + "-" + ++ids;

const finite = (x) => typeof x === "number" && Number.isFinite(x);

// digits prints a number with four digits, as the command's tables do.
function digits(x) {
  if (!finite(x)) return "–";
  const a = Math.abs(x);
  if (a >= 0.001 && a < 10) return x.toFixed(4);
  if (a === 0) return "0";
  if (a < 1e-4 || a >= 1e6) return x.toExponential(3).replace("e+", "e");
  return String(Number(x.toPrecision(4)));
}

const short = (x) => (finite(x) ? String(Number(x.toPrecision(3))) : "–");

// labelled is a control with its label before it.
function labelled(text, control) {
  control.id = newId("control");
  return el("span", {class: "control"}, el("label", {for: control.id}, text), control);
}

// switchBox is a labelled check box.
function switchBox(text, checked, change) {
  const box = el("input", {type: "checkbox", on: {change: () => change(box.checked)}});
  box.checked = checked;
  box.id = newId("control");
  return el("span", {class: "control"}, box, el("label", {for: box.id}, text));
}

// choose is a labelled select over [value, text] pairs.
function choose(text, pairs, value, change) {
  const s = el("select", {on: {change: () => change(s.value)}}, pairs.map(([v, t]) => el("option", {value: v}, t)));
  s.value = value;
  return labelled(text, s);
}

const badgeText = {won: "▲ won", lost: "▼ lost", open: "○ open", mixed: "◐ mixed"};
const badge = (verdict) => el("span", {class: "badge " + (verdict === "won" || verdict === "lost" ? verdict : "open")}, badgeText[verdict] || badgeText.open);
