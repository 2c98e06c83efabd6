// Alignments: the choice of sentence, seed, head and training step for all panels together. A cell has a .sheet per
// seed, whose picture has the weights of every sentence, head and step, one below the other (sheets.py).
const numbers = (text) => (text ? text.split(" ").map(Number) : []);

// What the panels show: "sentence", "image" or "sentence or image".
const kindsOf = (part) => part.closest("table.panels").dataset.kinds;

// What a sheet says about one alignment: its frame, the first row of its weights, and how many words are correct.
function alignmentOf(sheet, sentence, head, step) {
  const frames = sheet.dataset.frames.split(" "), steps = numbers(sheet.dataset.steps), heads = Number(sheet.dataset.heads);
  const rows = (id) => Number(document.getElementById(id).dataset.box.split(" ")[7]);
  const tests = frames.length - (steps.length > 0);
  if (head > heads) return { missing: `no head ${head - 1}` };
  let frame = frames[sentence], part, known = null;
  if (sentence === "validation") {
    if (!steps.length) return { missing: "not recorded" };
    frame = frames[tests];
    // The last record up to the step: seeds that stopped early have fewer of them.
    known = Math.max(0, steps.filter((one) => one <= step).length - 1);
    part = (tests + known) * (1 + heads) + head;
  } else {
    if (sentence >= tests) return { missing: `no ${kindsOf(sheet)} ${sentence}` };
    part = sentence * (1 + heads) + head;
  }
  let top = 0;
  for (let n = 0; n < part; n++) top += rows(frames[Math.min(Math.floor(n / (1 + heads)), tests)]);
  const correct = numbers(sheet.dataset.correct)[part];
  return { frame, top, correct, step: known === null ? null : steps[known] };
}

function showAlignment(cell, sheet, choice) {
  const panel = cell.querySelector(".panel"), note = cell.querySelector("small.why");
  const found = sheet ? alignmentOf(sheet, choice.sentence, choice.head, choice.step) : { missing: `no seed ${choice.seed}` };
  panel.classList.toggle("absent", Boolean(found.missing));
  note.textContent = found.missing || "";
  if (found.missing) return;
  const frame = document.getElementById(found.frame);
  const [width, height, x, y, w, h, columns, rows] = numbers(frame.dataset.box);
  const weights = panel.querySelector("svg");
  const image = sheet.picture.cloneNode(true);
  weights.replaceChildren(image);
  for (const [name, value] of Object.entries({ x, y, width: w, height: h })) weights.setAttribute(name, value);
  weights.setAttribute("viewBox", `0 ${found.top} ${columns} ${rows}`);
  panel.setAttribute("viewBox", `0 0 ${width} ${height}`);
  panel.setAttribute("width", width);
  panel.setAttribute("height", height);
  panel.querySelector("use").setAttribute("href", `#${found.frame}`);
  const linked = Number(frame.dataset.linked);
  const parts = [
    choice.sentence === "validation" ? `validation ${kindsOf(cell)} at step ${found.step}` : `test ${kindsOf(cell)} ${choice.sentence}`,
    choice.head ? `head ${choice.head - 1}` : "",
    linked ? `${found.correct} of ${linked} target words with gold links have their largest weight on one` : "",
  ];
  const name = `${cell.dataset.name} (cell ${sheet.dataset.cell}, seed ${sheet.dataset.seed})`;
  panel.querySelector("title").textContent = `${name}: ${parts.filter(Boolean).join("; ")}`;
}

for (const table of document.querySelectorAll("table.panels")) {
  const cells = [...table.querySelectorAll("td")].filter((cell) => cell.querySelector(".sheet"));
  const sheets = cells.flatMap((cell) => [...cell.querySelectorAll(".sheet")]);
  for (const cell of cells) {
    const own = [...cell.querySelectorAll(".sheet")];
    own.forEach((sheet, n) => (sheet.picture = (n ? sheet : cell.querySelector(".panel")).querySelector("image")));
    const note = document.createElement("small");
    note.className = "why";
    cell.append(note);
  }
  const most = (count) => Math.max(...sheets.map(count));
  const seeds = [...new Set(sheets.map((sheet) => sheet.dataset.seed))].sort((a, b) => compare(Number(a), Number(b)));
  const steps = [...new Set(sheets.flatMap((sheet) => numbers(sheet.dataset.steps)))].sort((a, b) => a - b);
  const tests = most((sheet) => sheet.dataset.frames.split(" ").length - (sheet.dataset.steps !== ""));
  const heads = most((sheet) => Number(sheet.dataset.heads));
  const kinds = kindsOf(table);

  const controls = document.createElement("div");
  controls.className = "choice panel-choice";
  const select = (name, options) => {
    const list = document.createElement("select"), label = document.createElement("label");
    for (const [text, value] of options) list.add(new Option(text, value));
    label.append(`${name} `, list);
    label.hidden = options.length < 2;
    controls.append(label);
    list.addEventListener("change", show);
    return list;
  };
  // From 0, as in `attnbench show --example` and `--head`.
  const counted = (number, name) => Array.from({ length: number }, (_, n) => [`${name} ${n}`, n]);
  const validation = steps.length ? [[`validation ${kinds}, by training step`, "validation"]] : [];
  const sentence = select(kinds[0].toUpperCase() + kinds.slice(1), [...counted(tests, `test ${kinds}`), ...validation]);
  const seed = select("Seed", seeds.map((one) => [one, one]));
  const head = select("Head", [["mean", 0], ...counted(heads, "head").map(([text, n]) => [text, n + 1])]);
  const slider = document.createElement("input"), step = document.createElement("label"), shown = document.createElement("output");
  Object.assign(slider, { type: "range", min: 0, max: Math.max(0, steps.length - 1), step: 1 });
  slider.value = slider.max; // as in MLflow, the last step
  slider.addEventListener("input", show);
  step.append("Step ", slider, " ", shown);
  controls.append(step);

  function show() {
    const byStep = sentence.value === "validation", at = steps[Number(slider.value)];
    step.hidden = !byStep;
    shown.textContent = byStep ? String(at) : "";
    const choice = { sentence: byStep ? "validation" : Number(sentence.value), seed: seed.value, head: Number(head.value), step: at };
    for (const cell of cells) {
      const own = [...cell.querySelectorAll(".sheet")];
      for (const note of cell.querySelectorAll("small.seed")) note.remove();
      showAlignment(cell, own.find((sheet) => sheet.dataset.seed === choice.seed), choice);
    }
  }
  step.hidden = true;
  table.closest(".scroll").before(controls);
}
