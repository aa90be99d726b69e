// The page: summary first, then each folder; live pages hear of news.

const page = JSON.parse(document.getElementById("data").textContent);

function newSource(kind) {
  const id = newId("source");
  const heading = el("h2", {id});
  const summary = el("ul", {class: "findings"});
  const view = kind === "run" ? newRun() : kind === "sweep" ? newSweep() : null;
  const wrong = el("section", {}, el("h3", {}, "What went wrong"));
  const fine = el("p", {}, "Nothing: no divergence, no non-finite window, no line that could not be read.");
  const list = el("ul", {class: "problems"});
  wrong.append(fine, list);
  const origin = el("section", {}, el("h3", {}, "Provenance"));
  const settings = el("details", {}, el("summary", {}, "All settings"));
  const facts = el("div"), files = el("div");
  origin.append(facts, files, settings);
  wrong.hidden = !view;
  const root = el("article", {"aria-labelledby": id}, heading, el("section", {}, el("h3", {}, "Summary"), summary), view && view.el, wrong, view && origin);

  function update(s) {
    fill(heading, s.name, " ", el("span", {class: "kind"}, s.kind ? `${s.kind}, ${s.state}` : "no run and no sweep here yet"));
    fill(summary, s.summary.map((f) => el("li", {}, f.verdict && [badge(f.verdict), " "], f.text)));
    if (view) view.update(s.run || s.sweep);
    fine.hidden = s.problems.length > 0;
    fill(list, s.problems.map((p) => el("li", {}, el("strong", {}, p.where), ": ", p.what)), s.more_problems > 0 && el("li", {}, `and ${s.more_problems} more`));
    if (!view) return;
    const p = s.run ? runProvenance(s.run) : sweepProvenance(s.sweep);
    fill(facts, listTable("Where it comes from", p.rows));
    fill(files, s.files && listTable("Files, with SHA-256", s.files.map((f) => [f.name, [`${f.size} bytes `, el("code", {}, f.sha256)]])));
    settings.hidden = !p.settings.length;
    fill(settings, settings.querySelector("summary"), p.settings.length > 0 && listTable("Settings", p.settings));
  }
  return {el: root, kind, id, update};
}

const headline = el("section", {id: "top", "aria-labelledby": "headline"});
const nav = el("nav", {"aria-label": "Folders"});
const main = el("main", {id: "main"});
const status = el("p", {class: "status", role: "status"});
let views = [];

// inFront are the findings of a folder that have a verdict, else its first.
function inFront(s) {
  const judged = s.summary.filter((f) => f.verdict);
  return (judged.length ? judged : s.summary).slice(0, judged.length ? 3 : 1);
}

// drawHeadline puts the verdicts of all folders in front, where there is more than one.
function drawHeadline(sources) {
  headline.hidden = sources.length < 2;
  nav.hidden = sources.length < 2;
  if (sources.length < 2) return;
  const count = (v) => sources.flatMap((s) => s.summary).filter((f) => f.verdict === v).length;
  const wrong = sources.reduce((n, s) => n + s.problems.length + s.more_problems, 0);
  fill(headline, el("h2", {id: "headline"}, "Summary"),
    el("p", {}, `${sources.length} folders: won ${count("won")}, lost ${count("lost")}, open ${count("open")}, mixed ${count("mixed")}. ${wrong ? `What went wrong: ${wrong} entries, with each folder.` : "Nothing went wrong."}`),
    el("ul", {class: "findings"}, sources.map((s, i) => inFront(s).map((f) => el("li", {}, f.verdict && [badge(f.verdict), " "], el("a", {href: "#" + views[i].id}, s.name), ": ", f.text)))));
  fill(nav, el("ul", {}, sources.map((s, i) => el("li", {}, el("a", {href: "#" + views[i].id}, s.name)))));
}

function show(sources) {
  sources.forEach((s, i) => {
    if (views[i]?.kind === s.kind) return;
    const view = newSource(s.kind);
    if (views[i]) views[i].el.replaceWith(view.el);
    else main.append(view.el);
    views[i] = view;
  });
  drawHeadline(sources);
  sources.forEach((s, i) => views[i].update(s));
}

function showList(entries) {
  fill(main, el("section", {}, el("h2", {}, "Folders"), entries.length
    ? (() => {
      const t = sortTable("Runs and sweeps, as they are found", [{name: "folder"}, {name: "kind"}, {name: "state"}, {name: "task"}, {name: "progress"}, {name: "best validation loss", numeric: true}, {name: "result"}, {name: "changed"}]);
      t.update(entries.map((e) => [
        {value: e.path, show: el("a", {href: "view/" + e.path.split("/").map(encodeURIComponent).join("/")}, e.path)},
        e.kind, e.state, e.task || "–", e.progress || "–", {value: e.loss, show: digits(e.loss)}, e.verdict ? {value: e.verdict, show: badge(e.verdict)} : "–",
        {value: e.changed, show: new Date(e.changed * 1000).toLocaleString()}]));
      return t.el;
    })()
    : el("p", {}, "No run and no sweep yet. This page shows them as they come: metaopt meta-train --out in this folder.")));
}

// merge adds news to what is known of a folder.
function merge(old, news) {
  if (news.run) {
    news.run.episodes = [...old.run.episodes, ...(news.run.episodes || [])];
    news.run.validations = [...old.run.validations, ...(news.run.validations || [])];
    news.run.comparison ??= old.run.comparison;
  }
  if (news.sweep) {
    const cells = old.sweep.cells.slice();
    for (const c of news.sweep.cells || []) cells[c.index] = c;
    news.sweep.cells = cells;
  }
  return news;
}

// orderly makes lists of what Go writes as null.
function orderly(s) {
  if (s.run) for (const k of ["trainings", "episodes", "validations"]) s.run[k] ??= [];
  if (s.sweep) for (const k of ["axes", "cells"]) s.sweep[k] ??= [];
  for (const t of s.run?.trainings || []) t.settings ??= [];
  return s;
}

function listen(url) {
  let known = null, ended = false;
  const es = new EventSource(url);
  const say = (text) => {
    if (status.textContent !== text) status.textContent = text;
  };
  const receive = (event, f) => es.addEventListener(event, (e) => {
    const data = JSON.parse(e.data);
    say("Live.");
    f(data);
  });
  es.addEventListener("open", () => say("Live."));
  receive("reset", (s) => show([(known = orderly(s))]));
  receive("append", (s) => {
    if (!known || known.kind !== s.kind) { // news of what this page has not seen: begin anew
      es.close();
      if (!ended) listen(url);
      ended = true;
      return;
    }
    known = merge(known, orderly(s));
    show([known]);
  });
  receive("list", showList);
  es.addEventListener("error", () => {
    say("The server does not answer; this page tries again.");
    if (es.readyState === EventSource.CLOSED && !ended) { // refused: the browser itself gives up
      ended = true;
      setTimeout(() => listen(url), 3000);
    }
  });
}

const app = document.getElementById("app");
app.append(
  el("a", {class: "skip", href: "#main"}, "Skip to the results"),
  el("header", {}, el("h1", {}, page.title), el("div", {class: "controls"}, theme.control())),
  status, headline, nav, main,
  el("footer", {}, `Made by metaopt ${page.version}. `, page.home ? el("a", {href: page.home}, "All folders") : null));
status.hidden = !page.live && !page.list;
headline.hidden = nav.hidden = true;
if (page.list) listen(page.list);
else if (page.live) listen(page.live);
else show(page.sources.map(orderly));
