"use strict";
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const one = (selector, root = document) => root.querySelector(selector);
  all(".screen[hidden]").forEach((element) => { element.hidden = false; });

  // Theme: as the system says, dark, light, and round again. Storage may be refused to pages from disk.
  const button = one(".theme");
  const remembered = { get: () => { try { return localStorage.getItem("featstore-theme"); } catch { return null; } },
                       set: (v) => { try { localStorage.setItem("featstore-theme", v); } catch { /* not kept */ } } };
  const setTheme = (name) => {
    if (name === "auto") document.documentElement.removeAttribute("data-theme");
    else document.documentElement.dataset.theme = name;
    button.textContent = `Theme: ${name}`;
  };
  const themes = ["auto", "dark", "light"];
  let theme = themes.includes(remembered.get()) ? remembered.get() : "auto";
  setTheme(theme);
  button.addEventListener("click", () => {
    theme = themes[(themes.indexOf(theme) + 1) % themes.length];
    remembered.set(theme);
    setTheme(theme);
  });

  // Which run the sections about classes, confusions and calibration show.
  all("select.run").forEach((select) => select.addEventListener("change", () => {
    all("select.run").forEach((other) => { other.value = select.value; });
    all("[data-run]").forEach((panel) => { panel.hidden = panel.dataset.run !== select.value; });
  }));

  // Tables that can be sorted: the heading becomes a button.
  all("table.sortable").forEach((table) => {
    all("thead th[data-sort]", table).forEach((heading) => {
      const column = heading.cellIndex;
      const push = document.createElement("button");
      push.type = "button";
      push.textContent = heading.textContent;
      heading.replaceChildren(push);
      push.addEventListener("click", () => {
        const up = heading.getAttribute("aria-sort") !== "ascending";
        all("th", heading.parentNode).forEach((other) => other.removeAttribute("aria-sort"));
        heading.setAttribute("aria-sort", up ? "ascending" : "descending");
        const body = table.tBodies[0];
        const key = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent.trim();
        const compare = new Intl.Collator("en", { numeric: true }).compare;
        const known = (text) => text !== "" && text !== "–";
        [...body.rows]
          .sort((a, b) => known(key(b)) - known(key(a)) || (up ? 1 : -1) * compare(key(a), key(b)))
          .forEach((row) => body.append(row));
      });
    });
  });

  // A matrix too large to be read at once can be enlarged.
  all(".zoom").forEach((tools) => {
    const svg = one("svg.confusion", tools.nextElementSibling);
    let factor = 1;
    all("button", tools).forEach((push) => push.addEventListener("click", () => {
      factor = Math.min(Math.max(factor * Number(push.dataset.by), 1), 8);
      svg.style.width = `${100 * factor}%`;
      svg.style.maxWidth = factor > 1 ? "none" : "";
      svg.classList.toggle("large", svg.clientWidth / svg.viewBox.baseVal.width > 1.25);
    }));
  });

  // The map: point at a mark, or walk with the arrow keys.
  const map = one("svg.map");
  if (!map) return;
  const data = JSON.parse(one("#map-data").textContent);
  const marks = all("use[data-i]", map);
  map.tabIndex = 0;
  map.setAttribute("role", "application");
  const box = one(".readout");
  const picture = one(".readout .pic");
  const words = one(".readout p");
  let now = -1;
  const place = (mark) => [mark.x.baseVal.value, mark.y.baseVal.value];
  const show = (i) => {
    marks[now]?.classList.remove("now");
    now = i;
    const mark = marks[i];
    mark.classList.add("now");
    const [name, answer, confidence, cell] = data.points[i];
    const part = (label, value) => {
      const bold = document.createElement("b");
      bold.textContent = value;
      const line = document.createElement("span");
      line.append(`${label} `, bold, document.createElement("br"));
      return line;
    };
    const answered = answer === null ? [] : [part("answer", data.classes[answer])];
    const sure = confidence === null ? [] : [part("confidence", `${confidence} %`)];
    const file = document.createElement("span");
    file.className = "file";
    file.textContent = name;
    words.replaceChildren(part("true", data.classes[mark.dataset.c]), ...answered, ...sure, file);
    const sheet = data.sheet;
    const known = sheet && cell !== null;
    picture.hidden = !known;
    if (known) {
      const at = (index, count) => (count > 1 ? `${(100 * index) / (count - 1)}%` : "0");
      picture.style.backgroundSize = `${100 * sheet.columns}% ${100 * sheet.rows}%`;
      picture.style.backgroundPosition =
        `${at(cell % sheet.columns, sheet.columns)} ${at(Math.floor(cell / sheet.columns), sheet.rows)}`;
    }
    box.classList.add("there");
    const scale = map.clientWidth / map.viewBox.baseVal.width;
    const [x, y] = place(mark).map((value) => value * scale);
    const left = x + 16 + box.offsetWidth > map.clientWidth ? x - 16 - box.offsetWidth : x + 16;
    box.style.left = `${Math.max(left, 0)}px`;
    box.style.top = `${Math.max(Math.min(y - 40, map.clientHeight - box.offsetHeight), 0)}px`;
  };
  const hide = () => {
    marks[now]?.classList.remove("now");
    box.classList.remove("there");
  };
  map.addEventListener("pointerover", (event) => { if (event.target.dataset?.i) show(Number(event.target.dataset.i)); });
  map.addEventListener("click", (event) => { if (event.target.dataset?.i) show(Number(event.target.dataset.i)); });
  map.addEventListener("pointerleave", () => { if (document.activeElement !== map) hide(); });
  map.addEventListener("blur", hide);
  map.addEventListener("focus", () => { if (map.matches(":focus-visible")) show(Math.max(now, 0)); });
  const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  map.addEventListener("keydown", (event) => {
    if (event.key === "Escape") hide();
    const way = ways[event.key];
    if (!way) return;
    event.preventDefault();
    const [x, y] = place(marks[Math.max(now, 0)]);
    let best = -1;
    let least = Infinity;
    marks.forEach((mark, i) => {
      const [a, b] = place(mark);
      const along = (a - x) * way[0] + (b - y) * way[1];
      const aside = Math.abs((a - x) * way[1]) + Math.abs((b - y) * way[0]);
      if (i !== now && along > 0 && along + 2 * aside < least) { least = along + 2 * aside; best = i; }
    });
    if (best >= 0) show(best);
  });
  all(".legend button").forEach((push) => push.addEventListener("click", () => {
    const on = push.getAttribute("aria-pressed") !== "true";
    push.setAttribute("aria-pressed", String(on));
    const lit = new Set(all('.legend button[aria-pressed="true"]').map((other) => other.dataset.c));
    map.classList.toggle("dim", lit.size > 0);
    all("[data-c]", map).forEach((mark) => mark.classList.toggle("lit", lit.has(mark.dataset.c)));
  }));
})();
