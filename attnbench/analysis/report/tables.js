// All content is readable without the scripts. This one adds sortable columns, the choice of a metric, and highlighted
// lines.

// Moves the given nodes into a new button.
function button(nodes) {
  const element = document.createElement("button");
  element.type = "button";
  element.append(...nodes);
  return element;
}

// Sorting. A cell's value is its data-sort attribute; a name is its text, or a number where it is one; null: no value,
// which Python writes as this dash (NO_VALUE in attnbench/messages.py).
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

// The clicks on a column give, in turn: its first direction (best values on top), the other direction, the grid's order.
function sortTable(table, rows, header, column) {
  const first = header.dataset.first || "ascending";
  const second = first === "ascending" ? "descending" : "ascending";
  const next = { [first]: second, [second]: null }[header.getAttribute("aria-sort")];
  const direction = next === undefined ? first : next;
  for (const other of table.querySelectorAll("th[aria-sort]")) other.removeAttribute("aria-sort");
  const ordered = [...rows];
  if (direction) {
    header.setAttribute("aria-sort", direction);
    const sign = direction === "ascending" ? 1 : -1;
    ordered.sort((one, other) => {
      const a = valueOf(one, column), b = valueOf(other, column);
      // Cells without a value come last in both directions.
      if (a === null || b === null) return (a === null) - (b === null);
      return sign * compare(a, b);
    });
  }
  table.tBodies[0].append(...ordered);
}

for (const table of document.querySelectorAll("table.sortable")) {
  const rows = [...table.tBodies[0].rows];
  [...table.tHead.rows[0].cells].forEach((header, column) => {
    const sort = button(header.childNodes);
    sort.title = "Sort by this column";
    sort.addEventListener("click", () => sortTable(table, rows, header, column));
    header.append(sort);
  });
}

// The choice of the metric: a list instead of one foldable table per metric.
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

// Pointing at a name in a legend highlights its line; a click keeps it highlighted until a name is clicked again.
for (const facet of document.querySelectorAll(".facet")) {
  const names = [...facet.querySelectorAll(".legend li")];
  if (names.length < 2) continue;
  let pressed = null;
  const show = (series) => {
    for (const line of facet.querySelectorAll(".chart g[data-series]"))
      line.classList.toggle("faded", series !== null && line.dataset.series !== series);
  };
  for (const name of names) {
    const toggle = button(name.childNodes);
    toggle.setAttribute("aria-pressed", "false");
    toggle.addEventListener("click", () => {
      pressed = pressed === name.dataset.series ? null : name.dataset.series;
      for (const other of names)
        other.firstElementChild.setAttribute("aria-pressed", String(other.dataset.series === pressed));
      show(pressed);
    });
    toggle.addEventListener("pointerenter", () => show(name.dataset.series));
    toggle.addEventListener("pointerleave", () => show(pressed));
    toggle.addEventListener("focus", () => show(name.dataset.series));
    toggle.addEventListener("blur", () => show(pressed));
    name.append(toggle);
  }
}
