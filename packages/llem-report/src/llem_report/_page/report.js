"use strict";
// The page is complete without this script. It adds tooltips, a highlight and sorted tables.
(() => {
  const views = new Map();
  const select = document.getElementById("highlight");

  function picked() {
    return select && select.value ? select.value.split(",").map(Number) : [];
  }

  // Tables: a click on a heading sorts by its column, a second click the other way.
  for (const table of document.querySelectorAll("table.data")) {
    const body = table.tBodies[0];
    if (body.rows.length < 2) continue;
    [...table.tHead.rows[0].cells].forEach((heading, column) => {
      const isNumber = table.classList.contains(`n${column + 1}`);
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = heading.textContent;
      heading.textContent = "";
      heading.append(button);
      button.addEventListener("click", () => {
        const down = heading.getAttribute("aria-sort") === "ascending";
        for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
        heading.setAttribute("aria-sort", down ? "descending" : "ascending");
        const rows = [...body.rows].map((row, place) => ({ row, place, value: sortKey(row.cells[column], isNumber) }));
        rows.sort((a, b) => (compare(a.value, b.value) || a.place - b.place) * (down ? -1 : 1));
        body.append(...rows.map((item) => item.row));
      });
    });
  }

  function sortKey(cell, isNumber) {
    const content = cell.dataset.v ?? cell.textContent.trim();
    if (!isNumber) return content !== "" && Number.isFinite(Number(content)) ? Number(content) : content;
    // As written: a narrow space after thousands, a sign of times, a true minus sign.
    const number = parseFloat(content.replace(/\u202f/g, "").replace(/^\u00d7/, "").replace("\u2212", "-"));
    return Number.isNaN(number) ? content : number;
  }

  function compare(a, b) {
    if (typeof a === "number" && typeof b === "number") return a - b;
    if (typeof a === "number") return -1; // a dash, for none, is last
    if (typeof b === "number") return 1;
    return a < b ? -1 : a > b ? 1 : 0;
  }

  const filter = document.getElementById("filter");
  if (filter) {
    filter.addEventListener("input", () => {
      const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
      for (const row of document.getElementById("points").tBodies[0].rows) {
        const content = row.textContent.toLowerCase();
        row.hidden = !words.every((word) => content.includes(word));
      }
    });
  }

  // Figures: each one becomes interactive when it comes into view.
  const specs = document.getElementById("figures");
  if (specs && window.vegaEmbed) {
    const { figures, datasets: tables } = JSON.parse(specs.textContent);
    const datasets = Object.fromEntries(
      Object.entries(tables).map(([name, table]) => [name, table.rows.map((row) => record(table, row))]),
    );
    const options = {
      actions: false,
      ast: true, // expressions are interpreted, so the page needs no eval
      defaultStyle: false,
      renderer: "svg",
      tooltip: { disableDefaultStyle: true },
    };
    const show = async (plot) => {
      const spec = figures[plot.dataset.figure];
      const names = spec.datasets;
      spec.datasets = Object.fromEntries(Object.entries(names).map(([name, key]) => [name, datasets[key]]));
      const live = document.createElement("div");
      live.hidden = true;
      plot.append(live);
      try {
        const { view } = await vegaEmbed(live, spec, options);
        views.set(plot.dataset.figure, view);
        await highlight(view);
        plot.firstElementChild.remove();
        live.hidden = false;
        plot.dataset.live = "yes";
      } catch (error) {
        live.remove(); // the picture stays
        console.error(error);
      }
    };
    const watcher = new IntersectionObserver(
      (entries) => {
        for (const entry of entries) {
          if (!entry.isIntersecting) continue;
          watcher.unobserve(entry.target);
          show(entry.target);
        }
      },
      { rootMargin: "300px" },
    );
    for (const plot of document.querySelectorAll("[data-figure]")) watcher.observe(plot);
  }

  function record({ names, words, same }, row) {
    const values = names.map((name, i) => [name, words[name]?.[row[i]] ?? row[i]]);
    const item = Object.fromEntries(values.filter(([, value]) => value !== null));
    for (const [name, other] of Object.entries(same)) if (other in item) item[name] = item[other];
    return item;
  }

  async function highlight(view) {
    if (!("picked" in view.getState().signals)) return;
    await view.signal("picked", picked()).runAsync();
  }

  if (select && window.vegaEmbed) {
    document.querySelector(".tools").hidden = false;
    select.addEventListener("change", () => Promise.all([...views.values()].map(highlight)));
  }
  for (const element of document.querySelectorAll("[data-script]")) element.hidden = false;

  addEventListener("beforeprint", () => {
    for (const details of document.querySelectorAll("details:not(.long)")) details.open = true;
  });
})();
