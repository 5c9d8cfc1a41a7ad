"use strict";
(() => {
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const store = {
    get() { try { return localStorage.getItem("attnexport-theme"); } catch { return null; } },
    set(value) { try { localStorage.setItem("attnexport-theme", value); } catch { /* a page may have no storage */ } },
  };
  const button = document.getElementById("theme");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : dark.matches);
  const named = () => { button.textContent = isDark() ? "Light" : "Dark"; };
  if (store.get()) root.dataset.theme = store.get();
  named();
  dark.addEventListener("change", named);
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    store.set(root.dataset.theme);
    named();
  });

  // The search: rows that do not hold all words are hidden; what holds a hit opens, and closes again when the box is emptied.
  const box = document.getElementById("search");
  const hits = document.getElementById("hits");
  const nothing = document.getElementById("nothing");
  const rows = [...document.querySelectorAll("tr[data-row]")];
  const folds = [...document.querySelectorAll("main details")];
  const texts = new Map();
  const text = (row) => {
    if (!texts.has(row)) texts.set(row, row.textContent.toLowerCase());
    return texts.get(row);
  };
  let opened = null;
  const filter = () => {
    const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
    const active = words.length > 0;
    if (active && !opened) opened = new Map(folds.map((fold) => [fold, fold.open]));
    root.classList.toggle("searching", active);
    let found = 0;
    const holding = new Set();
    for (const row of rows) {
      const hit = words.every((word) => text(row).includes(word));
      row.hidden = !hit;
      if (!active || !hit) continue;
      found += 1;
      for (let up = row.parentElement; up; up = up.parentElement) {
        if (up.matches("details, section, .wide")) holding.add(up);
      }
    }
    for (const part of document.querySelectorAll("main section, main .wide, main details")) {
      part.classList.toggle("hit", holding.has(part));
    }
    for (const fold of folds) {
      if (!fold.querySelector("tr[data-row]")) continue;
      if (active) fold.open = holding.has(fold);
      else if (opened) fold.open = opened.get(fold);
    }
    if (!active) opened = null;
    hits.textContent = active ? `${found} ${found === 1 ? "row" : "rows"}` : "";
    nothing.hidden = !active || found > 0;
  };
  let waiting = 0;
  box.addEventListener("input", () => { cancelAnimationFrame(waiting); waiting = requestAnimationFrame(filter); });
  addEventListener("keydown", (event) => {
    if (event.key === "/" && document.activeElement !== box) { event.preventDefault(); box.focus(); }
    if (event.key === "Escape" && document.activeElement === box) { box.value = ""; filter(); box.blur(); }
  });

  // On paper, what is short is open.
  let before = null;
  addEventListener("beforeprint", () => {
    before = folds.map((fold) => fold.open);
    for (const fold of folds) if (fold.classList.contains("printed")) fold.open = true;
  });
  addEventListener("afterprint", () => {
    if (before) folds.forEach((fold, i) => { fold.open = before[i]; });
  });
})();
