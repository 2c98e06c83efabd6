// Charts and alignments as SVG files. The page's style sheet is not in a file, so every element gets the properties that
// it has on the page, in the light colours.
const PROPERTIES = [
  "fill", "stroke", "stroke-width", "stroke-dasharray", "stroke-linejoin", "opacity", "font-family", "font-size", "text-anchor",
  "vector-effect", "overflow", "display", "image-rendering", "font-variant-numeric",
];

function svgElement(name, attributes, ...children) {
  const made = document.createElementNS(document.querySelector("svg").namespaceURI, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

// A copy with its styles in it; <use> becomes a copy of what it refers to.
function withStyles(element) {
  const target = element.tagName === "use" ? document.getElementById(element.getAttribute("href").slice(1)) : element;
  const copy = target.cloneNode(false);
  for (const name of ["class", "id", "data-of", "data-series", "data-box", "data-linked"]) copy.removeAttribute(name);
  if (target instanceof SVGElement && target.tagName !== "title") {
    const style = getComputedStyle(target);
    for (const name of PROPERTIES) if (style.getPropertyValue(name)) copy.style.setProperty(name, style.getPropertyValue(name));
  }
  copy.append(...[...target.childNodes].map((child) => (child.nodeType === 1 ? withStyles(child) : child.cloneNode())));
  return copy;
}

// A chart has its numbers around its SVG; the file has its title above and its legend below.
function chartFile(figure) {
  const svg = figure.querySelector("svg"), { width, height } = svg.getBoundingClientRect();
  const left = 48, right = 14, top = 30, below = 44, line = 18;
  const copy = withStyles(svg);
  Object.entries({ x: left, y: top, width, height }).forEach(([name, value]) => copy.setAttribute(name, value));
  const text = (x, y, content) => svgElement("text", { x, y, "font-family": "sans-serif", "font-size": 12, fill: "#1b1f24" }, content);
  const parts = [text(left, 18, figure.querySelector("figcaption").firstChild.textContent)];
  const inChart = new Set([...figure.querySelectorAll("g[data-series]:not(.filtered)")].map((one) => one.dataset.series));
  const names = [...figure.closest(".facet").querySelectorAll(".legend li")].filter((one) => inChart.has(one.dataset.series));
  names.forEach((name, n) => {
    const y = top + height + below + n * line, sample = withStyles(name.querySelector("svg"));
    Object.entries({ x: left, y: y - 10, width: 24, height: 12 }).forEach(([key, value]) => sample.setAttribute(key, value));
    parts.push(sample, text(left + 32, y, name.textContent.trim()));
  });
  const size = [left + width + right, top + height + below + names.length * line];
  return svgFile(size, copy, ...parts);
}

function svgFile([width, height], ...parts) {
  const ground = svgElement("rect", { width: "100%", height: "100%", fill: "#fff" });
  const file = svgElement("svg", { width, height, viewBox: `0 0 ${width} ${height}` }, ground, ...parts);
  return new XMLSerializer().serializeToString(file);
}

function panelFile(panel) {
  const size = [Number(panel.getAttribute("width")), Number(panel.getAttribute("height"))];
  return svgFile(size, withStyles(panel));
}

function save(text, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "image/svg+xml" }));
  link.download = `${name.replace(/[^\p{L}\p{N}.@_-]+/gu, "-")}.svg`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

function addDownload(place, title, name, content) {
  const load = button(["SVG"]);
  load.className = "download";
  load.title = "Save as SVG";
  load.setAttribute("aria-label", `Save ${title} as SVG`);
  load.addEventListener("click", () => {
    document.documentElement.classList.add("light"); // a file is for paper, whatever the page looks like
    const text = content();
    document.documentElement.classList.remove("light");
    save(text, `${document.querySelector("h1").textContent}-${name()}`);
  });
  place.append(load);
}

for (const figure of document.querySelectorAll("figure.chart")) {
  const caption = figure.querySelector("figcaption"), title = caption.textContent;
  const group = figure.closest("details.metric"), section = figure.closest("section").id;
  addDownload(caption, `the chart of ${title}`, () => [section, group && group.dataset.metric, title].filter(Boolean).join("-"), () => chartFile(figure));
}
for (const cell of document.querySelectorAll(".panels td[data-name]")) {
  const panel = cell.querySelector(".panel");
  addDownload(cell, `the alignment of ${cell.dataset.name}`, () => `alignment-${cell.dataset.name}`, () => panelFile(panel));
}
