"use strict";
// The test page: one image in, its label out. Text from the network only ever becomes text, never markup.

const byId = (id) => document.getElementById(id);
const KEY = "lightbox-key";
const LOOK_AGAIN_MS = 5000;
const NAMES = { recall: "Recall", specificity: "Specificity", precision: "Precision", accuracy: "Accuracy", auc: "ROC AUC" };
const PROTOCOLS = {
  cross_validation: "by cross-validation: each image judged by a model that saw neither it nor a copy of it",
  holdout: "on images held out from training",
  given_split: "on the given test set",
};

// What a refusal means to a person at this page; the rest is told in the endpoint's own words.
const REFUSED = {
  unauthorized: () => "This endpoint asks for a key: type it above, then drop the image again.",
  not_ready: () => "No model is served yet, so that no image can be judged.",
  body_too_large: (limit) => `This file is too large: at most ${Math.floor(limit / 2 ** 20)} MiB.`,
  busy: () => "The endpoint has too much to do at this moment. Try again in a few seconds.",
  time_out: () => "Judging this image took too long. Try again in a moment, or a smaller image.",
  body_too_slow: () => "The image came too slowly. Try again with a better connection.",
};

class Refusal extends Error {
  constructor({ code, message, limit }) {
    super(REFUSED[code] ? REFUSED[code](limit) : message);
  }
}

let model = null;
let picture = null;
let overlay = null;
let latest = 0;

function element(tag, text, className) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function headers() {
  const key = sessionStorage.getItem(KEY);
  return key ? { Authorization: "Bearer " + key } : {};
}

async function ask(url, options) {
  const answer = await fetch(url, { ...options, headers: { ...headers(), ...(options && options.headers) } });
  const content = await answer.json();
  if (answer.status === 401) askForKey();
  if (!answer.ok) throw new Refusal(content.error || { message: "HTTP " + answer.status });
  return { content, answer };
}

function askForKey() {
  byId("key-hint").textContent = sessionStorage.getItem(KEY)
    ? "That key does not open this endpoint."
    : "It stays in this tab and is forgotten when the tab closes.";
  byId("key-form").hidden = false;
}

async function loadModel() {
  try {
    const { content } = await ask("/model");
    model = content.champion || null;
    byId("key-form").hidden = true;
    if (model) showModel();
    await tellOfNoModel();
  } catch (error) {
    byId("model-card").hidden = true;
  }
}

async function tellOfNoModel() {
  byId("no-model").hidden = model !== null;
  if (model) return;
  setTimeout(loadModel, LOOK_AGAIN_MS);
  const answer = await fetch("/health/ready", { headers: headers() });
  const { status, reason } = await answer.json();
  byId("no-model-reason").textContent = reason ? "In the way now: " + reason : "State: " + status;
}

function showModel() {
  byId("model-name").textContent = model.name;
  byId("model-version").textContent = "version " + model.version;
  const rows = Object.entries(NAMES).filter(([name]) => model.figures[name]).map(([name, title]) => {
    const figure = model.figures[name];
    const row = element("tr");
    if (name === "recall") row.className = "leading";
    const heading = element("th", name === "recall" && model.positive_class ? `Recall of “${model.positive_class}”` : title);
    heading.scope = "row";
    const interval = element("td", `${figure.lower.toFixed(3)} to ${figure.upper.toFixed(3)}`, "interval");
    row.append(heading, element("td", figure.value.toFixed(3), "value"), interval);
    return row;
  });
  byId("figures").replaceChildren(...rows);
  const first = rows.length ? Object.values(model.figures)[0] : null;
  byId("protocol").textContent = first
    ? `With 95 % intervals, measured ${PROTOCOLS[model.protocol] || model.protocol}.`
    : "No figures stand in this bundle.";
  byId("model-card").hidden = false;
}

async function judge(file) {
  const turn = ++latest;
  showPicture(file);
  byId("result").setAttribute("aria-busy", "true");
  byId("answer").hidden = byId("problem").hidden = true;
  byId("waiting").hidden = false;
  byId("waiting").textContent = "Judging…";
  const started = performance.now();
  try {
    const { content } = await ask("/predict?explain=1", {
      method: "POST", body: file, headers: { "Content-Type": "application/octet-stream" },
    });
    if (turn === latest) showAnswer(content.predictions[0], performance.now() - started);
  } catch (error) {
    if (turn === latest) showProblem(error);
  } finally {
    if (turn === latest) byId("result").setAttribute("aria-busy", "false");
  }
}

function showPicture(file) {
  if (picture) URL.revokeObjectURL(picture);
  picture = URL.createObjectURL(file);
  overlay = null;
  byId("show-overlay").disabled = true;
  byId("drop").classList.add("filled");
  byId("drop-text").hidden = true;
  byId("picture-bar").hidden = false;
  const shown = byId("picture");
  shown.hidden = false;
  shown.alt = file.name;
  shown.onload = () => { shown.hidden = false; byId("drop").classList.add("filled"); byId("drop-text").hidden = true; };
  shown.onerror = () => { shown.hidden = true; byId("drop").classList.remove("filled"); byId("drop-text").hidden = false; };
  show(false);
}

function show(withOverlay) {
  byId("picture").src = withOverlay && overlay ? overlay : picture;
  byId("show-picture").setAttribute("aria-pressed", String(!withOverlay));
  byId("show-overlay").setAttribute("aria-pressed", String(withOverlay));
  byId("overlay-hint").hidden = !withOverlay;
}

function showAnswer(found, milliseconds) {
  byId("waiting").hidden = true;
  byId("label").textContent = found.label;
  const classes = Object.entries(found.probabilities).sort((a, b) => b[1] - a[1]);
  const positive = model && model.positive_class;
  byId("bars").replaceChildren(...classes.slice(0, 8).map(([name, value]) =>
    bar(name, value, name === found.label, name === positive ? found.threshold : null)));
  byId("rule").textContent = found.threshold === null || !positive
    ? "The most probable class is named."
    : `“${positive}” is named at or above ${percent(found.threshold)}.`;
  overlay = found.overlay || null;
  byId("show-overlay").disabled = !overlay;
  facts(byId("answer-facts"), [
    ["Answered in", Math.round(milliseconds) + " ms"],
    ["Version", found.model_version],
    ["SHA-256", found.sha256.slice(0, 16) + "…"],
  ]);
  byId("answer").hidden = false;
}

function bar(name, value, chosen, threshold) {
  const item = element("li", undefined, chosen ? "chosen" : "");
  const text = element("div", undefined, "name");
  text.append(element("span", name), element("span", percent(value)));
  const track = svg("svg", { class: "track", viewBox: "0 0 1000 14", preserveAspectRatio: "none", "aria-hidden": "true" });
  track.append(
    svg("rect", { class: "back", width: 1000, height: 14, rx: 4 }),
    svg("rect", { class: "fill", width: Math.max(4, 1000 * value), height: 14, rx: 4 }),
  );
  if (threshold !== null && threshold !== undefined) {
    const at = 1000 * threshold;
    track.append(svg("line", { x1: at, x2: at, y1: 0, y2: 14, "vector-effect": "non-scaling-stroke" }));
  }
  item.append(text, track);
  return item;
}

function svg(tag, attributes) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

function facts(list, pairs) {
  list.replaceChildren(...pairs.flatMap(([name, value]) => [element("dt", name), element("dd", value)]));
}

function percent(value) {
  const shown = (100 * value).toFixed(1);
  if (shown === "100.0" && value < 1) return "> 99.9 %";
  return shown === "0.0" && value > 0 ? "< 0.1 %" : shown + " %";
}

function showProblem(error) {
  byId("waiting").hidden = true;
  byId("problem").textContent = error instanceof TypeError ? "The endpoint does not answer." : error.message;
  byId("problem").hidden = false;
  byId("picture-bar").hidden = true;
}

function snippets() {
  const base = location.origin;
  return [
    ["curl: a file", `curl -H "Authorization: Bearer $LIGHTBOX_KEY" \\\n     -F files=@image.jpg \\\n     ${base}/predict`],
    ["Python: a file", `import os\nimport urllib.request\n\nwith open("image.jpg", "rb") as file:\n    request = urllib.request.Request(\n        "${base}/predict",\n        data=file.read(),\n        headers={\n            "Content-Type": "application/octet-stream",\n            "Authorization": "Bearer " + os.environ["LIGHTBOX_KEY"],\n        },\n    )\nprint(urllib.request.urlopen(request).read().decode())`],
    ["Python: the Designer endpoint's format", `import base64\nimport json\nimport os\nimport urllib.request\n\nwith open("image.jpg", "rb") as file:\n    image = "data:image/jpeg;base64," + base64.b64encode(file.read()).decode()\nbody = {"Inputs": {"WebServiceInput0": [{"image": image, "id": 1}]}, "GlobalParameters": {}}\nrequest = urllib.request.Request(\n    "${base}/score",\n    data=json.dumps(body).encode(),\n    headers={\n        "Content-Type": "application/json",\n        "Authorization": "Bearer " + os.environ["LIGHTBOX_KEY"],\n    },\n)\nprint(json.load(urllib.request.urlopen(request))["Results"]["WebServiceOutput0"])`],
    ["curl: AutoML's format", `base64 -w0 image.jpg | \\\n  sed 's/.*/{"input_data": {"columns": ["image"], "data": ["&"]}}/' | \\\n  curl -H "Authorization: Bearer $LIGHTBOX_KEY" \\\n       -H "Content-Type: application/json" \\\n       -d @- ${base}/score`],
  ];
}

function showSnippets() {
  byId("snippets").replaceChildren(...snippets().map(([title, code]) => {
    const block = element("section", undefined, "snippet");
    const head = element("header");
    const copy = element("button", "Copy", "copy");
    copy.type = "button";
    copy.onclick = async () => {
      await navigator.clipboard.writeText(code);
      copy.textContent = "Copied";
      setTimeout(() => { copy.textContent = "Copy"; }, 1500);
    };
    head.append(element("h2", title));
    if (navigator.clipboard) head.append(copy);
    const pre = element("pre");
    pre.tabIndex = 0;
    pre.append(element("code", code));
    block.append(head, pre);
    return block;
  }));
}

function choose(name) {
  for (const tab of ["test", "consume"]) {
    const chosen = tab === name;
    byId("panel-" + tab).hidden = !chosen;
    byId("tab-" + tab).setAttribute("aria-selected", String(chosen));
    byId("tab-" + tab).tabIndex = chosen ? 0 : -1;
  }
}

byId("tab-test").onclick = () => { location.hash = ""; choose("test"); };
byId("tab-consume").onclick = () => { location.hash = "consume"; choose("consume"); };
document.querySelector("[role=tablist]").onkeydown = (event) => {
  if (event.key !== "ArrowRight" && event.key !== "ArrowLeft") return;
  const other = byId("panel-test").hidden ? "tab-test" : "tab-consume";
  byId(other).click();
  byId(other).focus();
};
byId("file").onchange = (event) => { if (event.target.files.length) judge(event.target.files[0]); event.target.value = ""; };
byId("show-picture").onclick = () => show(false);
byId("show-overlay").onclick = () => show(true);
byId("key-form").onsubmit = (event) => {
  event.preventDefault();
  sessionStorage.setItem(KEY, byId("key").value.trim());
  byId("key").value = "";
  loadModel();
};
for (const kind of ["dragenter", "dragover"]) {
  document.addEventListener(kind, (event) => { event.preventDefault(); byId("drop").classList.add("over"); });
}
document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) byId("drop").classList.remove("over"); });
document.addEventListener("drop", (event) => {
  event.preventDefault();
  byId("drop").classList.remove("over");
  if (event.dataTransfer.files.length) judge(event.dataTransfer.files[0]);
});
document.addEventListener("paste", (event) => {
  const file = [...event.clipboardData.files][0];
  if (file) judge(file);
});

showSnippets();
choose(location.hash === "#consume" ? "consume" : "test");
loadModel();
