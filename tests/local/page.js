// The page of the local cloud. Everything shown comes from outside: text only, never markup.

const MEGABYTE = 1_000_000;
const LARGEST = 60 * MEGABYTE;
const $ = (id) => document.getElementById(id);
const pairs = new Map(); // path -> { item, button, cells, detail, json }
let state = null;
let open = null; // the path of the pair whose detail is shown
let opening = null; // the id of a pair that is to be shown when it comes
let scrolling = null; // the path of the pair that comes into view once its detail is there
let made = null; // the id of the pair that a button has made last
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
const UNITS = [["d", 86_400], ["h", 3600], ["min", 60], ["s", 1]];
/** A length of time: two units of a long one. */
function length(seconds) {
  if (seconds < 1) return `${(seconds * 1000).toFixed(seconds < 0.0095 ? 1 : 0)} ms`;
  if (seconds < 60) return `${seconds.toFixed(2)} s`;
  const at = UNITS.findIndex(([, unit]) => seconds >= unit);
  const [[large, whole], [small, part]] = UNITS.slice(at, at + 2);
  return `${Math.floor(seconds / whole)} ${large} ${Math.floor((seconds % whole) / part)} ${small}`;
}
const size = (bytes) => (bytes < MEGABYTE ? `${Math.ceil(bytes / 1000)} kB` : `${(bytes / MEGABYTE).toFixed(1)} MB`);

/** Say something at a place, or with no text nothing any more. */
function say(text, at = "error") {
  $(at).hidden = !text;
  setText($(at), text);
}

/** A button that copies; it says that it has. */
function copy(text, what) {
  const button = h("button", { type: "button", class: "copy", "aria-label": `Copy ${what}`, "data-key": `copy ${what} ${text}`,
    click: async () => {
      try {
        await navigator.clipboard.writeText(text);
        button.replaceChildren("Copied");
        setText($("said"), `${what} copied`);
        setTimeout(() => button.replaceChildren("Copy"), 1500);
      } catch {
        say("The browser does not let this page copy. Select the text and copy it by hand.");
      }
    } }, "Copy");
  return button;
}

/** A block of text with a button that copies it. */
function block(text, what) {
  return h("div", { class: "block" }, h("pre", { tabindex: "0", role: "group", "aria-label": what }, text), copy(text, what));
}

/** Ask the server to do something; what it refuses is shown. */
async function ask(method, path, body, at = "error") {
  say("");
  say("", at);
  say("", "note");
  const file = body instanceof Blob;
  const options = { method };
  if (body !== undefined) options.body = file ? body : JSON.stringify(body);
  if (body !== undefined && !file) options.headers = { "Content-Type": "application/json" };
  try {
    const answer = await fetch(path, options);
    const found = await answer.json();
    if (answer.ok) return found;
    say(found.error, at);
  } catch {
    say("The local cloud does not answer. Is `make local` still running?", at);
  }
  return null;
}

// --- the list of pairs ---------------------------------------------------------------------------

function stateText(pair) {
  const due = pair.due ? ` ${pair.due.slice(11, 16)}` : "";
  if (pair.state === "waiting") return `waiting for the ${pair.live ? "image" : "live package"}`;
  if (pair.state === "retrying") return due ? `retrying at${due}` : "retrying within a minute";
  const answer = pair.answer && (/^\d+$/.test(pair.answer) ? `answered ${pair.answer}` : "no answer");
  if (pair.state === "undelivered") return [answer ?? "undelivered", due && `again at${due}`].filter(Boolean).join(", ");
  if (pair.state === "given up" && answer) return `${answer}, given up`;
  if (pair.state === "refused") return "upload refused";
  return pair.state;
}

/** Why a pair has its outcome: the code, and how alike the two are beside what was asked. */
function whyText(pair) {
  const code = (pair.code ?? "").replace(/^.*\./, "");
  if (pair.similarity === null) return code;
  const beside = pair.similarity < pair.min_similarity ? "<" : "≥";
  return `${code ? `${code}, ` : ""}similarity ${pair.similarity} ${beside} ${pair.min_similarity}`;
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
    if (pair.id === opening) [opening, open, scrolling] = [null, pair.path, pair.path];
    const json = JSON.stringify(pair);
    if (json !== shown.json) {
      const before = shown.cells.badge.textContent + shown.cells.state.textContent;
      shown.json = json;
      const { badge, id, code, state: stands, took } = shown.cells;
      setText(badge, pair.outcome ?? (pair.state === "refused" ? "no upload" : "undecided"));
      badge.dataset.of = pair.outcome ?? "";
      setText(id, pair.id);
      setText(code, whyText(pair));
      setText(stands, stateText(pair));
      stands.dataset.of = pair.state;
      setText(took, pair.took === null ? "" : `in ${length(pair.took)}`);
      if (badge.textContent + stands.textContent !== before && pair.state !== "running") {
        setText($("said"), `${pair.id}: ${badge.textContent}, ${stands.textContent}`);
      }
      if (pair.path === open) refresh(pair);
    }
    if (pair.id === made) setText($("made").firstElementChild, `${pair.id}: ${shown.cells.badge.textContent}, ${stateText(pair)}.`);
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

/** Open a pair that a button has made, and say beside the button what becomes of it. */
function follow(id, button) {
  [made, opening] = [id, id];
  $("made").hidden = false;
  setText($("made").firstElementChild, `${id}: uploaded.`);
  (button.closest("ul") ?? button).after($("made"));
  renderPairs();
}

/** Once its detail is there: below the buttons, on a narrow screen, it comes to the top. */
function bringIntoView(path) {
  if (scrolling !== path) return;
  scrolling = null;
  const isNarrow = matchMedia("(max-width: 62rem)").matches;
  pairs.get(path).item.scrollIntoView({ block: isNarrow ? "start" : "nearest" });
}

let asked = 0;
async function refresh(pair) {
  const mine = ++asked;
  try {
    const answer = await fetch(`/api/pairs/${encodeURIComponent(pair.id)}`);
    if (!answer.ok || mine !== asked) return;
    renderDetail(pairs.get(pair.path).detail, await answer.json());
    bringIntoView(pair.path);
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
  const verified = attempt.verified ? "signature verified" : `signature refused: ${attempt.error}`;
  const begins = `${time(attempt.at)} ${attempt.resent ? "sent again, " : ""}`;
  const signature = h("span", { class: attempt.verified ? "good" : "bad" }, verified);
  if (attempt.seconds === null) return h("li", {}, `${begins}is being answered, `, signature);
  const said = attempt.status === null ? attempt.said || "no answer" : `answered ${attempt.status}`;
  const good = attempt.status >= 200 && attempt.status < 300;
  return h("li", {}, begins, h("span", { class: good ? "" : "bad" }, said),
    attempt.status !== null && attempt.said ? ` “${attempt.said}”` : "", ` in ${length(attempt.seconds)}, `, signature);
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
    h("h4", {}, `Message ${message.id} `, copy(message.id, "the message’s id")),
    h("ul", {}, ...message.attempts.map(renderAttempt)),
    h("details", { "data-key": `laid ${message.id}` }, h("summary", {}, "The message, laid out"),
      block(laidOut, "the message")),
    h("details", { "data-key": `raw ${message.id}` }, h("summary", {}, "Headers and exact bytes"),
      block(`${headers}\n\n${message.body}`, "headers and bytes")),
    h("button", { type: "button", "data-key": `send ${message.id}`, click: resend }, "Send it again"));
}

/** What a pair is called, whole, and the commands about it. */
function renderIds(pair) {
  const last = pair.ids.filter(([name]) => name === "Verification").at(-1)?.[1];
  const command = (name) => `.venv/bin/python -m handler --env-file local.env ${name} ${last}`;
  const rows = [...pair.ids];
  if (last) rows.push(["All about it", command("show")]);
  if (pair.state === "given up") rows.push(["Tell it again", command("redeliver")]);
  return h("dl", { class: "ids" }, ...rows.map(([name, value]) =>
    h("div", {}, h("dt", {}, name), h("dd", {}, h("code", {}, value), " ", copy(value, name)))));
}

function renderDetail(detail, pair) {
  const kept = new Set([...detail.querySelectorAll("details[open]")].map((each) => each.dataset.key));
  const focused = detail.contains(document.activeElement) ? document.activeElement : null;
  const key = focused?.dataset.key ?? focused?.parentElement?.dataset.key;
  const missing = pair.state === "waiting" || pair.outcome === "incomplete" ? (pair.live ? "image" : "live") : null;
  const complete = () => ask("POST", "/api/samples", { sample: missing === "live" ? "live-only" : "image-only", id: pair.id });
  const facts = [`${pair.calls} API ${pair.calls === 1 ? "call" : "calls"}, ${pair.billed} billed`, pair.code, whyText({ ...pair, code: null }),
    pair.refused && `the last upload was refused: ${pair.refused}`];
  detail.replaceChildren(
    h("p", { class: "quiet" }, facts.filter(Boolean).join("; ")),
    ...(missing ? [h("p", {}, h("button", { type: "button", "data-key": "missing", click: complete },
      `Upload the missing ${missing === "live" ? "live package" : "image"}`))] : []),
    ...pair.chapters.map(renderChapter),
    ...pair.sent.map(renderMessage),
    renderIds(pair),
    h("details", { "data-key": "log" }, h("summary", {}, `The function’s log, ${pair.log.length} lines`),
      block(pair.log.join("\n"), "the log")));
  for (const each of detail.querySelectorAll("[data-key]")) {
    if (kept.has(each.dataset.key)) each.open = true;
    if (key && each.dataset.key === key) (each.querySelector("summary") ?? each).focus();
  }
}

// --- everything else -----------------------------------------------------------------------------

function renderOnce() {
  for (const outcome of new Set(state.samples.map((sample) => sample.outcome))) {
    const buttons = state.samples.filter((sample) => sample.outcome === outcome).map((sample) =>
      h("li", {}, h("button", { type: "button", "data-sample": sample.name, click: (event) => upload(sample.name, event.currentTarget) }, sample.says)));
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
  for (const [name, value] of Object.entries(state.about)) {
    const button = value.startsWith("not ") ? null : copy(value, name);
    $("about").append(h("div", {}, h("dt", {}, name), h("dd", {}, value, " ", button ?? "")));
  }
  for (const [name, text] of Object.entries(state.blocks)) $("blocks").append(h("h3", {}, name), block(text, name));
  for (const [name, text] of Object.entries(state.templates)) {
    $("templates").append(h("div", {}, h("dt", {}, name), h("dd", {}, h("code", {}, text))));
  }
  for (const name of Object.keys(state.counts)) {
    $("counts").append(h("div", {}, h("dt", {}, name), h("dd", { "data-count": name }, "0")));
  }
}

/** Uploads that no pair is made of: what they are called, and what would have matched. */
function renderStrays() {
  const json = JSON.stringify(state.strays);
  if ($("strays").dataset.json === json) return;
  $("strays").dataset.json = json;
  $("strays").hidden = state.strays.length === 0;
  $("strays").querySelector("ul").replaceChildren(...state.strays.map((stray) => {
    const fits = stray.fits.filter((key) => key !== stray.key).flatMap((key, at) => [at ? " or " : "", h("code", {}, key)]);
    return h("li", {}, h("code", {}, stray.key), ` ${time(stray.at)} `, h("span", { class: "bad" }, stray.why),
      ...(fits.length ? ["; ", ...fits, " would match"] : []));
  }));
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
  renderStrays();
  renderPairs();
}

async function upload(sample, button) {
  const found = await ask("POST", "/api/samples", { sample });
  if (found) follow(found.id, button);
}

function choose(files) {
  say("", "own-error");
  for (const file of files) {
    const role = /\.gz$/i.test(file.name) ? "live" : /\.(jpe?g|png)$/i.test(file.name) ? "image" : null;
    if (!role) say(`${file.name} is neither a live package (.gz) nor an image (.jpg, .png).`, "own-error");
    else if (file.size > LARGEST) say(`${file.name} has ${size(file.size)}; here an upload may have 60 MB at most.`, "own-error");
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
  const { image, live } = chosen;
  const placed = !image || (await ask("PUT", `${at}/image`, image, "own-error"));
  const sent = placed && (!live || (await ask("PUT", `${at}/live?verdict=${$("verdict").value}`, live, "own-error")));
  $("send").disabled = false;
  if (!sent) return; // what was chosen stays, for the next try
  chosen = {};
  $("files").value = "";
  choose([]);
  follow(id, $("send"));
});
$("made").querySelector("button").addEventListener("click", () => {
  const pair = state.pairs.find((each) => each.id === made);
  if (!pair) return;
  show(pair.path);
  pairs.get(pair.path).item.scrollIntoView({ block: "start" });
  pairs.get(pair.path).button.focus({ preventScroll: true });
});
for (const button of document.querySelectorAll("[data-minutes]")) {
  button.addEventListener("click", () => ask("POST", "/api/clock", { minutes: Number(button.dataset.minutes) }));
}
$("reconcile").addEventListener("click", async () => {
  $("reconcile").disabled = true;
  const done = await ask("POST", "/api/reconcile");
  $("reconcile").disabled = false;
  if (done) say(done.says, "note");
});
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
