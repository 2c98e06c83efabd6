"use strict";

// The page is whole without this: it only lets columns sort, one metric be chosen, and one line stand out.

function button(text) {
  const made = document.createElement("button");
  made.type = "button";
  made.append(...text);
  return made;
}

// Sorting: a column's own way first, then the other, then the grid's order. Cells without a value come last.
function valueOf(row, column) {
  const cell = row.cells[column];
  if (cell.tagName === "TH") {
    const text = cell.textContent;
    return text === "–" ? null : text !== "" && !isNaN(text) ? Number(text) : text;
  }
  return cell.dataset.sort === undefined ? null : Number(cell.dataset.sort);
}

function compare(a, b) {
  if (typeof a === "number" && typeof b === "number") return a - b;
  return String(a).localeCompare(String(b), "en", { numeric: true });
}

function sortTable(table, rows, header, column) {
  const first = header.dataset.first || "ascending";
  const second = first === "ascending" ? "descending" : "ascending";
  const next = { [first]: second, [second]: null }[header.getAttribute("aria-sort")];
  const way = next === undefined ? first : next;
  for (const other of table.querySelectorAll("th[aria-sort]")) other.removeAttribute("aria-sort");
  const ordered = [...rows];
  if (way) {
    header.setAttribute("aria-sort", way);
    const sign = way === "ascending" ? 1 : -1;
    ordered.sort((one, other) => {
      const a = valueOf(one, column), b = valueOf(other, column);
      if (a === null || b === null) return (a === null) - (b === null);
      return sign * compare(a, b);
    });
  }
  table.tBodies[0].append(...ordered);
}

for (const table of document.querySelectorAll("table.sortable")) {
  const rows = [...table.tBodies[0].rows];
  [...table.tHead.rows[0].cells].forEach((header, column) => {
    const made = button(header.childNodes);
    made.title = "Sort by this column";
    made.addEventListener("click", () => sortTable(table, rows, header, column));
    header.append(made);
  });
}

// The choice of the metric.
for (const metrics of document.querySelectorAll(".metrics")) {
  const tables = [...metrics.querySelectorAll("details.metric")];
  const select = document.createElement("select");
  for (const table of tables) select.add(new Option(table.dataset.metric));
  const choose = () => tables.forEach((table, number) => (table.open = number === select.selectedIndex));
  select.addEventListener("change", choose);
  const label = document.createElement("label");
  label.className = "choice";
  label.append("Metric ", select);
  metrics.before(label);
  metrics.classList.add("chosen-by-script");
  choose();
}

// A line stands out while its name is pointed at, and for as long as its name is pressed.
for (const facet of document.querySelectorAll(".facet")) {
  const names = [...facet.querySelectorAll(".legend li")];
  if (names.length < 2) continue;
  let pressed = null;
  const show = (series) => {
    for (const line of facet.querySelectorAll(".chart g[data-series]"))
      line.classList.toggle("faded", series !== null && line.dataset.series !== series);
  };
  for (const name of names) {
    const made = button(name.childNodes);
    made.setAttribute("aria-pressed", "false");
    made.addEventListener("click", () => {
      pressed = pressed === name.dataset.series ? null : name.dataset.series;
      for (const other of names)
        other.firstElementChild.setAttribute("aria-pressed", String(other.dataset.series === pressed));
      show(pressed);
    });
    made.addEventListener("pointerenter", () => show(name.dataset.series));
    made.addEventListener("pointerleave", () => show(pressed));
    made.addEventListener("focus", () => show(name.dataset.series));
    made.addEventListener("blur", () => show(pressed));
    name.append(made);
  }
}
