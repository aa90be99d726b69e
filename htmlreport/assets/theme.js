// Light, dark, or what the system asks for.

const theme = {
  names: ["system", "light", "dark"],
  listeners: new Set(),
  system: matchMedia("(prefers-color-scheme: dark)"),
  chosen: "system",
  dark() {
    return this.chosen === "dark" || (this.chosen === "system" && this.system.matches);
  },
  set(name) {
    this.chosen = this.names.includes(name) ? name : "system";
    if (this.chosen === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = this.chosen;
    try {
      localStorage.setItem("metaopt-theme", this.chosen);
    } catch {
      // A file or a private window may have no storage.
    }
    for (const f of this.listeners) f();
  },
  control() {
    try {
      this.set(localStorage.getItem("metaopt-theme"));
    } catch {
      this.set("system");
    }
    this.system.addEventListener("change", () => this.set(this.chosen));
    return choose("Theme", this.names.map((n) => [n, n]), this.chosen, (v) => this.set(v));
  },
};

const cssValue = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// The colours of Okabe and Ito, each for light and dark paper. On light paper they are the colours of the other pictures (report/style.go).
const learnedColours = [["#d55e00", "#ff8a3d"], ["#0072b2", "#58b4f0"], ["#000000", "#f2f2f2"], ["#781c81", "#d78be0"], ["#005c3e", "#7fe3c0"]];
const otherColours = [["#009e73", "#2fd0a2"], ["#3a9bd1", "#8fd0f5"], ["#b5558b", "#e59cc6"], ["#b87900", "#f0b840"], ["#6e6e6e", "#b0b0b0"], ["#6e3c0f", "#c9956a"]];
const learnedDashes = [[], [14, 3], [14, 3, 3, 3], [5, 2]];
const otherDashes = [[7, 3], [2, 2], [9, 2, 2, 2], [4, 2], [9, 2, 2, 2, 2, 2], [14, 4], [1, 3]];

// styleAt is the style at a place in the list of learned rules, or of others.
function styleAt(learned, i) {
  return learned
    ? {colours: learnedColours[i % learnedColours.length], dash: learnedDashes[i % learnedDashes.length], width: 2.4}
    : {colours: otherColours[i % otherColours.length], dash: otherDashes[i % otherDashes.length], width: 1.5};
}

// placedStyles are the styles of rules whose places the page's data have, so that a rule looks as in the pictures of the same rules.
const placedStyles = (places) => (name, learned) => styleAt(learned, places?.[name] ?? 0);

// newStyles gives names styles in the order in which they come, so that a name that comes later changes no other.
function newStyles() {
  const known = new Map();
  let l = 0, o = 0;
  return (name, learned) => {
    const key = (learned ? "l:" : "o:") + name;
    if (!known.has(key)) known.set(key, styleAt(learned, learned ? l++ : o++));
    return known.get(key);
  };
}
