// Filters: a box per axis value; what shows only values whose box is not ticked is hidden. `data-of` of a part has its
// "axis:value" numbers (filters.py).
for (const form of document.querySelectorAll("details.filters")) {
  const boxes = [...form.querySelectorAll("input")];
  const parts = [...document.querySelectorAll("[data-of]")];
  const rows = parts.filter((part) => part.matches("#comparison details.metric:first-child tbody tr"));
  const summary = form.querySelector("summary");

  const hide = (parts, isHidden) => parts.forEach((part) => part.classList.toggle("filtered", isHidden(part)));
  const isEmpty = (part, inside) => {
    const found = [...part.querySelectorAll(inside)];
    return found.length > 0 && found.every((one) => one.closest(".filtered"));
  };
  const apply = () => {
    const off = new Set(boxes.filter((box) => !box.checked).map((box) => box.value));
    hide(parts, (part) => part.dataset.of.split(" ").some((value) => off.has(value)));
    // A chart without a line, and a group of charts without a chart.
    const figures = [...document.querySelectorAll("figure.chart")];
    hide(figures.filter((figure) => !figure.matches(".filtered")), (figure) => isEmpty(figure, "g[data-series]"));
    hide([...document.querySelectorAll(".facet")], (facet) => isEmpty(facet, "figure"));
    const left = rows.filter((row) => !row.matches(".filtered")).length;
    summary.textContent = off.size ? `Filter: ${left} of ${rows.length} rows shown` : "Filter";
  };
  for (const group of form.querySelectorAll("fieldset")) {
    // One click for the most frequent wish: this value alone, or all of them.
    const all = button(["all"]), none = button(["none"]);
    for (const [choice, checked] of [[all, true], [none, false]])
      choice.addEventListener("click", () => {
        for (const box of group.querySelectorAll("input")) box.checked = checked;
        apply();
      });
    group.append(all, none);
  }
  form.addEventListener("change", apply);
  form.hidden = false;
}
