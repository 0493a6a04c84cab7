// The page of the local cloud. Everything shown comes from outside: text only, never markup.

const MEGABYTE = 1_000_000;
const LARGEST = 60 * MEGABYTE;
const $ = (id) => document.getElementById(id);
const pairs = new Map(); // path -> { item, button, cells, detail, json }
let state = null;
let open = null; // the path of the pair whose detail is shown
let opening = null; // the id of a pair that is to be shown when it comes
let chosen = {}; // role -> File
let offset = 0; // of the cloud's clock, in ms

/** An element with attributes and children; strings become text. */
function h(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(key, value);
    else if (value !== null && value !== false) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

const time = (iso) => iso.slice(11, 19);
const length = (seconds) =>
  seconds >= 1 ? `${seconds.toFixed(2)} s` : `${(seconds * 1000).toFixed(seconds < 0.0095 ? 1 : 0)} ms`;
const size = (bytes) => (bytes < MEGABYTE ? `${Math.ceil(bytes / 1000)} kB` : `${(bytes / MEGABYTE).toFixed(1)} MB`);

function fail(text) {
  $("error").hidden = !text;
  setText($("error"), text);
}

/** Ask the server to do something; what it refuses is shown. */
async function ask(method, path, body) {
  fail("");
  const file = body instanceof Blob;
  const options = { method };
  if (body !== undefined) options.body = file ? body : JSON.stringify(body);
  if (body !== undefined && !file) options.headers = { "Content-Type": "application/json" };
  try {
    const answer = await fetch(path, options);
    const found = await answer.json();
    if (answer.ok) return found;
    fail(found.error);
  } catch {
    fail("The local cloud does not answer. Is `make local` still running?");
  }
  return null;
}

// --- the list of pairs ---------------------------------------------------------------------------

function stateText(pair) {
  const due = pair.due ? ` ${pair.due.slice(11, 16)}` : "";
  if (pair.state === "waiting") return `waiting for the ${pair.live ? "image" : "live package"}`;
  if (pair.state === "retrying") return due ? `retrying at${due}` : "retrying within a minute";
  if (pair.state === "undelivered") return due ? `undelivered, again at${due}` : "undelivered";
  return pair.state;
}

function makePair(path) {
  const cells = {
    badge: h("span", { class: "badge" }), id: h("b"), code: h("small"),
    state: h("span", { class: "state" }), took: h("span", { class: "took ms" }),
  };
  const detail = h("div", { class: "detail", id: `detail ${path}`.replaceAll(" ", "-"), hidden: true });
  const button = h("button", { type: "button", "aria-expanded": "false", "aria-controls": detail.id,
    click: () => show(open === path ? null : path) }, ...Object.values(cells));
  const item = h("li", { class: "pair" }, h("h3", {}, button), detail);
  return { item, button, cells, detail, json: "" };
}

function renderPairs() {
  $("empty").hidden = state.pairs.length > 0;
  let place = $("pairs").firstElementChild;
  for (const pair of state.pairs) {
    let shown = pairs.get(pair.path);
    if (!shown) pairs.set(pair.path, (shown = makePair(pair.path)));
    if (shown.item === place) place = place.nextElementSibling;
    else $("pairs").insertBefore(shown.item, place);
    if (pair.id === opening) {
      [opening, open] = [null, pair.path];
      shown.item.scrollIntoView({ block: "nearest" });
    }
    const json = JSON.stringify(pair);
    if (json !== shown.json) {
      const before = shown.cells.badge.textContent + shown.cells.state.textContent;
      shown.json = json;
      const { badge, id, code, state: stands, took } = shown.cells;
      setText(badge, pair.outcome ?? "undecided");
      badge.dataset.of = pair.outcome ?? "";
      setText(id, pair.id);
      setText(code, (pair.code ?? "").replace(/^.*\./, ""));
      setText(stands, stateText(pair));
      stands.dataset.of = pair.state;
      setText(took, pair.took === null ? "" : `in ${length(pair.took)}`);
      if (badge.textContent + stands.textContent !== before && pair.state !== "running") {
        setText($("said"), `${pair.id}: ${badge.textContent}, ${stands.textContent}`);
      }
      if (pair.path === open) refresh(pair);
    }
  }
  const listed = new Set(state.pairs.map((pair) => pair.path));
  for (const [path, { item }] of pairs) {
    if (!listed.has(path)) {
      item.remove();
      pairs.delete(path);
    }
  }
  show(open);
}

function show(path) {
  const changed = open !== path;
  open = path;
  for (const [key, { button, detail, json }] of pairs) {
    const on = key === open;
    button.setAttribute("aria-expanded", String(on));
    if (on && (changed || !detail.hasChildNodes())) refresh(JSON.parse(json));
    detail.hidden = !on;
  }
}

let asked = 0;
async function refresh(pair) {
  const mine = ++asked;
  try {
    const answer = await fetch(`/api/pairs/${encodeURIComponent(pair.id)}`);
    if (answer.ok && mine === asked) renderDetail(pairs.get(pair.path).detail, await answer.json());
  } catch {
    // the stream of events tells that the server is gone
  }
}

// --- one pair ------------------------------------------------------------------------------------

/** Times on the axis: few round numbers. */
function ticks(span) {
  const rough = span / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((value) => value >= rough);
  return Array.from({ length: Math.floor(span / step) + 1 }, (_, index) => index * step);
}

function bar(row, span) {
  const made = h("i");
  made.style.left = `min(${(100 * row.start) / span}%, 100% - 3px)`;
  made.style.width = `${(100 * row.seconds) / span}%`;
  return made;
}

function renderRow(row, span) {
  return h("li", { class: "row", "data-kind": row.kind, "data-step": row.label, "data-bad": String(row.bad) },
    h("span", { class: "name" }, row.label),
    h("span", { class: "track", "aria-hidden": "true" }, bar(row, span)),
    h("span", { class: "ms" }, row.open ? "…" : length(row.seconds)),
    h("span", { class: "note" }, row.note));
}

function renderChapter(chapter, index, chapters) {
  const before = chapters[index - 1];
  const later = before && Math.round((new Date(chapter.at) - new Date(before.at)) / 1000);
  const gap = later ? (later < 90 ? `${later} s later` : `${Math.round(later / 60)} min later`) : "";
  const axis = h("div");
  for (const at of ticks(chapter.span)) {
    const tick = h("span", {}, at === 0 ? "0" : length(at).replace(/\.0+ /, " ").replace(/(\.\d)0 /, "$1 "));
    tick.style.left = `${(100 * at) / chapter.span}%`;
    if (at < chapter.span * 0.93) axis.append(tick);
  }
  return h("section", { class: "chapter" },
    h("h4", {}, time(chapter.at), h("span", {}, gap)),
    h("div", { class: "axis", "aria-hidden": "true" }, axis),
    h("ol", {}, ...chapter.rows.map((row) => renderRow(row, chapter.span))));
}

function renderAttempt(attempt) {
  const status = attempt.status ?? "no answer";
  const verified = attempt.verified ? "signature verified" : `signature refused: ${attempt.error}`;
  const took = attempt.seconds === null ? "…" : length(attempt.seconds);
  return h("li", {}, `${time(attempt.at)} ${attempt.resent ? "sent again, " : ""}answered ${status} in ${took}, `,
    h("span", { class: attempt.verified ? "good" : "bad" }, verified));
}

function renderForwarded(answer) {
  const said = answer.status ? `${answer.status} ${answer.text}` : answer.error;
  return h("li", {}, `${time(answer.at)} ${answer.to} → `,
    h("span", { class: answer.ok ? "good" : "bad" }, said), ` in ${length(answer.seconds)}`);
}

function renderMessage(message) {
  let laidOut = message.body;
  try {
    laidOut = JSON.stringify(JSON.parse(message.body), null, 2);
  } catch {
    // shown as it came
  }
  const headers = Object.entries(message.headers).map(([name, value]) => `${name}: ${value}`).join("\n");
  const resend = () => ask("POST", `/api/messages/${encodeURIComponent(message.id)}/resend`);
  return h("section", { class: "message" },
    h("h4", {}, `Message ${message.id}`),
    h("ul", {}, ...message.attempts.map(renderAttempt), ...message.forwarded.map(renderForwarded)),
    h("details", { "data-key": `laid ${message.id}` }, h("summary", {}, "The message, laid out"), h("pre", {}, laidOut)),
    h("details", { "data-key": `raw ${message.id}` }, h("summary", {}, "Headers and exact bytes"),
      h("pre", {}, `${headers}\n\n${message.body}`)),
    h("button", { type: "button", "data-key": `send ${message.id}`, click: resend }, "Send it again"));
}

function renderDetail(detail, pair) {
  const kept = new Set([...detail.querySelectorAll("details[open]")].map((each) => each.dataset.key));
  const focused = detail.contains(document.activeElement) ? document.activeElement : null;
  const key = focused?.dataset.key ?? focused?.parentElement?.dataset.key;
  const missing = pair.state === "waiting" || pair.outcome === "incomplete" ? (pair.live ? "image" : "live") : null;
  const complete = () => ask("POST", "/api/samples", { sample: missing === "live" ? "live-only" : "image-only", id: pair.id });
  const facts = `${pair.calls} API ${pair.calls === 1 ? "call" : "calls"}, ${pair.billed} billed${pair.code ? `; ${pair.code}` : ""}`;
  detail.replaceChildren(
    h("p", { class: "quiet" }, facts),
    ...(missing ? [h("p", {}, h("button", { type: "button", "data-key": "missing", click: complete },
      `Upload the missing ${missing === "live" ? "live package" : "image"}`))] : []),
    ...pair.chapters.map(renderChapter),
    ...pair.sent.map(renderMessage),
    h("details", { "data-key": "log" }, h("summary", {}, `The function’s log, ${pair.log.length} lines`),
      h("pre", {}, pair.log.join("\n"))));
  for (const each of detail.querySelectorAll("[data-key]")) {
    if (kept.has(each.dataset.key)) each.open = true;
    if (key && each.dataset.key === key) (each.querySelector("summary") ?? each).focus();
  }
}

// --- everything else -----------------------------------------------------------------------------

function renderOnce() {
  for (const outcome of new Set(state.samples.map((sample) => sample.outcome))) {
    const buttons = state.samples.filter((sample) => sample.outcome === outcome).map((sample) =>
      h("li", {}, h("button", { type: "button", "data-sample": sample.name, click: () => upload(sample.name) }, sample.says)));
    $("samples").append(h("h3", { class: "badge", "data-of": outcome }, outcome), h("ul", {}, ...buttons));
    for (const sample of state.samples.filter((each) => each.outcome === outcome && !["incomplete"].includes(outcome))) {
      if (!["blurred", "oversized", "empty"].includes(sample.name)) {
        $("verdict").append(h("option", { value: sample.name }, `${outcome}: ${sample.says}`));
      }
    }
  }
  for (const fault of state.faults) {
    $("faults").append(h("li", {}, h("button", { type: "button", role: "switch", "data-fault": fault.name,
      click: (event) => ask("POST", "/api/faults", { name: fault.name,
        on: event.currentTarget.getAttribute("aria-checked") !== "true" }) },
      h("i", { "aria-hidden": "true" }), h("b", {}, fault.label), h("small", {}, fault.says))));
  }
  for (const [name, value] of Object.entries(state.about)) $("about").append(h("div", {}, h("dt", {}, name), h("dd", {}, value)));
  for (const name of Object.keys(state.counts)) {
    $("counts").append(h("div", {}, h("dt", {}, name), h("dd", { "data-count": name }, "0")));
  }
}

function render(found) {
  const first = state === null;
  if (!first && found.started !== state.started) return location.reload(); // another cloud, at the same address
  state = found;
  if (first) renderOnce();
  offset = new Date(state.now) - Date.now();
  const ahead = Math.round(state.ahead / 60);
  setText($("ahead"), state.passing ? "passing …" : ahead ? `${ahead} min ahead` : "");
  for (const button of document.querySelectorAll("[data-minutes]")) button.disabled = state.passing;
  for (const fault of state.faults) {
    document.querySelector(`[data-fault=${fault.name}]`).setAttribute("aria-checked", String(fault.on));
  }
  for (const [name, count] of Object.entries(state.counts)) {
    setText(document.querySelector(`[data-count="${name}"]`), String(count));
  }
  renderPairs();
}

async function upload(sample) {
  const made = await ask("POST", "/api/samples", { sample });
  if (made) {
    opening = made.id;
    renderPairs();
  }
}

function choose(files) {
  fail("");
  for (const file of files) {
    const role = /\.gz$/i.test(file.name) ? "live" : /\.(jpe?g|png)$/i.test(file.name) ? "image" : null;
    if (!role) fail(`${file.name} is neither a live package (.gz) nor an image (.jpg, .png).`);
    else if (file.size > LARGEST) fail(`${file.name} has ${size(file.size)}; here an upload may have 60 MB at most.`);
    else chosen[role] = file;
  }
  $("chosen").replaceChildren(...Object.entries(chosen).map(([role, file]) =>
    h("li", {}, `${role === "live" ? "Live package" : "Image"}: ${file.name}, ${size(file.size)}`)));
  $("send").disabled = Object.keys(chosen).length === 0;
}

$("files").addEventListener("change", (event) => choose(event.target.files));
for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    $("drop").classList.toggle("over", kind === "dragover");
    $("mine").open ||= kind === "drop";
    if (kind === "drop") choose(event.dataTransfer.files);
  });
}
$("own").addEventListener("submit", async (event) => {
  event.preventDefault();
  const id = $("pair").value.trim() || `own-${Date.now().toString(36)}`;
  const at = `/api/uploads/${encodeURIComponent(id)}`;
  $("send").disabled = true;
  const image = chosen.image && (await ask("PUT", `${at}/image`, chosen.image));
  if (image !== null && chosen.live) await ask("PUT", `${at}/live?verdict=${$("verdict").value}`, chosen.live);
  [chosen, opening] = [{}, id];
  $("files").value = "";
  choose([]);
  renderPairs();
});
for (const button of document.querySelectorAll("[data-minutes]")) {
  button.addEventListener("click", () => ask("POST", "/api/clock", { minutes: Number(button.dataset.minutes) }));
}
$("reconcile").addEventListener("click", () => ask("POST", "/api/reconcile"));
setInterval(() => state && setText($("now"), new Date(Date.now() + offset).toISOString().slice(11, 19)), 250);

const events = new EventSource("/api/events");
events.addEventListener("state", (event) => {
  setText($("link"), "live");
  $("link").dataset.state = "live";
  render(JSON.parse(event.data));
});
events.addEventListener("error", () => {
  setText($("link"), "not connected, trying again …");
  $("link").dataset.state = "gone";
});
