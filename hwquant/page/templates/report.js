"use strict";
// Tooltips: each <title> of a drawing becomes one that appears at once, and under a finger too.
const tip = document.getElementById("tip");
for (const title of document.querySelectorAll("svg title")) {
  const shape = title.parentNode;
  shape.dataset.tip = title.textContent.trim().replace(/\s*\n\s*/g, "\n");
  shape.setAttribute("aria-label", shape.dataset.tip);
  title.remove();
}
addEventListener("pointermove", (event) => {
  const shape = event.target.closest && event.target.closest("[data-tip]");
  tip.style.visibility = shape ? "visible" : "hidden";
  if (!shape) return;
  tip.textContent = shape.dataset.tip;
  const { width, height } = tip.getBoundingClientRect();
  tip.style.left = Math.max(8, Math.min(event.clientX + 14, innerWidth - width - 8)) + "px";
  tip.style.top = (event.clientY + 18 + height > innerHeight ? event.clientY - height - 12 : event.clientY + 18) + "px";
});
// Tables sort by the column whose head is clicked; a third click brings the order of execution back.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0], rows = [...body.rows];
  for (const head of table.tHead.rows[0].cells) {
    const button = document.createElement("button");
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const next = { none: "descending", descending: "ascending", ascending: "none" };
      const order = next[head.getAttribute("aria-sort") || "none"];
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      if (order !== "none") head.setAttribute("aria-sort", order);
      const key = (row) => row.cells[head.cellIndex].dataset.key ?? row.cells[head.cellIndex].textContent;
      const compare = (a, b) => key(a).localeCompare(key(b), "en", { numeric: true }) * (order === "ascending" ? 1 : -1);
      body.append(...(order === "none" ? rows : [...rows].sort(compare)));
    });
  }
}
