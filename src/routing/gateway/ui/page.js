"use strict";
// The page at /ui: looks at /ui/state, shows it, talks to /v1. Text goes in as text only.

const $ = (id) => document.getElementById(id);
const POLL_MS = 500, LIVE_MS = 200;  // without and with requests on their way

function element(tag, text = "", className = "") {
  const out = document.createElement(tag);
  out.textContent = text;
  if (className) out.className = className;
  return out;
}

function headers() {
  const key = sessionStorage.getItem("baton-key");
  return key ? { Authorization: "Bearer " + key } : {};
}

async function getJson(path) {
  const answer = await fetch(path, { headers: headers() });
  $("key-form").hidden = answer.status !== 401;
  if (!answer.ok) throw new Error("HTTP " + answer.status + " from " + path);
  return answer.json();
}

const ms = (n) => (n ? (n < 10 ? n.toFixed(1) : Math.round(n)) + " ms" : "");
function bytes(n) {
  const units = ["B", "KB", "MB", "GB"];
  let i = 0;
  while (n >= 1000 && i + 1 < units.length) { n /= 1000; i += 1; }
  return n ? (i ? n.toFixed(1) : n) + " " + units[i] : "";
}

// Only what changed is replaced: focus and selection stay where they are.
function replaceIfChanged(node, state, make) {
  const text = JSON.stringify(state);
  if (node.dataset.state === text) return;
  node.dataset.state = text;
  node.replaceChildren(...make());
}

function podCard(pod) {
  const card = element("div", "", "pod");
  card.dataset.pod = pod.name;
  const load = pod.load || {};
  if (pod.state !== "Ready") card.classList.add("waiting");
  if (load.running || load.waiting) card.classList.add("busy");
  card.append(element("b", pod.name));
  card.append(element("p", pod.state + (pod.detail ? ": " + pod.detail : "") + (pod.restarts ? ", restarted " + pod.restarts : "")));
  if (pod.load) {
    card.append(element("p", `${load.running} running, ${load.waiting} waiting`));
    const meter = document.createElement("meter");
    meter.max = 1;
    meter.value = load.kvUsage;
    meter.title = meter.ariaLabel = "KV cache in use: " + Math.round(load.kvUsage * 100) + " %";
    card.append(meter);
  }
  const moved = pod.kvBytes ? ", " + bytes(pod.kvBytes) + " of KV came in" : "";
  card.append(element("p", pod.requests + " requests" + moved));
  return card;
}

function showPods(state) {
  const loads = Object.fromEntries(state.loads.map((l) => [l.pod, l]));
  const pods = state.stack.pods.map((p) => ({ ...p, containers: 0, load: loads[p.name] }));
  replaceIfChanged($("pods"), pods, () => {
    const lanes = [];
    for (const [role, title] of [["prefill", "Prefill"], ["decode", "Decode"], ["both", "Both"], ["", "Others"]]) {
      const mine = pods.filter((p) => p.role === role);
      if (!mine.length) continue;
      const lane = element("div", "", "lane");
      lane.append(element("h3", title), ...mine.map(podCard));
      lanes.push(lane);
    }
    return lanes;
  });
}

// The stages that a request is in: as its engines say, or as far as the gateway knows. KV may move
// while its prompt is computed: then there are two.
function stagesNow(request) {
  if (["done", "failed", "left"].includes(request.stage)) return [];
  if (!request.engines.length) return [request.stage === "answering" ? "decode" : request.stage];
  return request.engines.map((e) => (e.phase === "prefill" && e.pod !== request.prefill ? "decode" : e.phase));
}

const share = (told) => (told && told.readyTokens ? ` ${told.readyTokens} of ${told.promptTokens}` : "");

// The stages that a request takes, those it is in marked.
function way(request) {
  const out = element("td", "", "way");
  const now = stagesNow(request);
  const told = (phase, pod) => request.engines.find((e) => e.phase === phase && (!pod || e.pod === pod));
  const stages = [["picking", "pick"]];
  if (told("queue")) stages.push(["queue", "queue " + short(told("queue").pod)]);
  if (request.prefill) stages.push(["prefill", "prefill " + short(request.prefill) + share(told("prefill", request.prefill))]);
  if (request.remoteTokens || told("transfer")) stages.push(["transfer", "KV" + share(told("transfer"))]);
  if (request.decode) stages.push(["decode", "decode " + short(request.decode) + share(told("prefill", request.decode))]);
  let past = true;
  for (const [stage, label] of stages) {
    if (now.includes(stage)) past = false;
    out.append(element("span", label, now.includes(stage) ? "now" : past ? "past" : ""), " ");
  }
  if (!now.length) out.append(element("span", request.stage, request.stage === "failed" ? "bad" : "past"));
  return out;
}

const short = (pod) => (pod.length > 14 ? "…" + pod.slice(-12) : pod);

function promptBar(request) {
  const cell = element("td");
  const total = request.promptTokens;
  if (!total) return cell;
  const label = `${total} tokens: ${request.remoteTokens} moved, ${request.cachedTokens} cached, ${request.computedTokens} computed`;
  const bar = element("span", "", "bar");
  bar.title = label;
  bar.setAttribute("role", "img");
  bar.setAttribute("aria-label", label);
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 100 10");
  svg.setAttribute("preserveAspectRatio", "none");
  let x = 0;
  for (const [kind, count] of [["remote", request.remoteTokens], ["cached", request.cachedTokens], ["computed", request.computedTokens]]) {
    const part = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    const width = (100 * count) / total;
    for (const [name, value] of Object.entries({ x, y: 0, width, height: 10, class: kind })) part.setAttribute(name, value);
    svg.append(part);
    x += width;
  }
  bar.append(svg);
  cell.append(bar, " " + total);
  return cell;
}

function requestRow(request) {
  const row = document.createElement("tr");
  row.dataset.serial = request.serial;
  row.dataset.id = request.id;
  row.append(element("td", request.id.slice(0, 8)), way(request), promptBar(request),
    element("td", bytes(request.kvBytes)), element("td", String(request.tokens || "")),
    element("td", ms(request.firstByteMs)), element("td", ms(request.totalMs)));
  const cell = element("td");
  if (request.explained) {
    const button = element("button", "Why this pod");
    button.type = "button";
    button.addEventListener("click", () => explain(request.serial));
    cell.append(button);
  }
  row.append(cell);
  return row;
}

function showRequests(requests) {
  const body = $("requests");
  const known = new Map([...body.children].map((row) => [row.dataset.serial, row]));
  const rows = requests.map((request) => {
    const text = JSON.stringify(request);
    const old = known.get(String(request.serial));
    if (old && old.dataset.state === text) return old;
    const row = requestRow(request);
    row.dataset.state = text;
    if (old && old.contains(document.activeElement)) setTimeout(() => row.querySelector("button")?.focus());
    return row;
  });
  if (rows.length !== body.children.length || rows.some((row, i) => row !== body.children[i])) body.replaceChildren(...rows);
}

function table(head, rows) {
  const out = document.createElement("table");
  const first = document.createElement("tr");
  first.append(...head.map((h) => element("th", h)));
  out.append(first);
  for (const { cells, picked } of rows) {
    const row = document.createElement("tr");
    if (picked) row.className = "picked";
    row.append(...cells.map((c) => element("td", c)));
    out.append(row);
  }
  return out;
}

function profile(run) {
  const out = element("section");
  const title = { prefill: "Prefill pod", decode: "Decode pod" }[run.profile] || run.profile;
  out.append(element("h3", `${title}: ${run.picked || "none"}`));
  for (const drop of run.dropped || []) out.append(element("p", `${drop.plugin} leaves out ${drop.pods.join(", ")}`));
  const candidates = run.candidates || [];
  const scorers = Object.keys(candidates[0]?.scores || {});
  out.append(table(["Pod", ...scorers, "total"], candidates.map((c) => ({
    picked: c.pod === run.picked,
    cells: [c.pod + (c.pod === run.picked ? " (picked)" : ""), ...scorers.map((s) => c.scores[s].toFixed(3)), c.total.toFixed(3)],
  }))));
  return out;
}

const NO_PREFILL = {
  "below-threshold": "No prefill pod: the decode pod lacks too little of the prompt.",
  "not-requested": "No prefill pod: the service has none in its way.",
  "no-prefill-pods": "No prefill pod: none is there.",
};

async function explain(serial) {
  const text = $("why-text");
  try {
    const { request, record } = await getJson("/ui/requests/" + serial);
    const picked = request.prefill ? `${request.prefill} computes the prompt, ${request.decode} answers.` : `${request.decode} answers.`;
    text.replaceChildren(element("p", `Request ${request.id}, model ${request.model || "?"}: ${picked}`));
    if (request.noPrefill) text.append(element("p", NO_PREFILL[request.noPrefill] || request.noPrefill));
    const pods = record.endpoints.map((e) => ({ picked: false, cells: [e.name, String(e.matchedBlocks ?? 0), String(e.running ?? ""), String(e.waiting ?? ""), String(e.reserved ?? 0)] }));
    text.append(element("h3", `What was known: ${record.request.promptBlocks} blocks of prompt`),
      table(["Pod", "blocks held", "running", "waiting", "on their way"], pods));
    text.append(...record.decision.profiles.map(profile));
    if (request.timing) text.append(element("p", "Times, ms: " + request.timing.replaceAll(";dur=", " ")));
  } catch (error) {
    text.replaceChildren(element("p", "There is no record of it any more: " + error.message));
  }
  if (!$("why").open) $("why").showModal();
  $("close").focus();
}

async function look() {
  let live = 0;
  if (!document.hidden) {
    try {
      const state = await getJson("/ui/state");
      const ready = state.stack.ready ? "ready" : "not ready";
      live = state.requests.filter((r) => stagesNow(r).length).length;
      $("summary").textContent = `${ready}; ${live} requests on their way, ${state.tokensPerSecond.toFixed(0)} tokens/s` +
        (state.stack.standIn ? `; STAND-IN for every model: ${state.stack.standIn}` : "");
      showPods(state);
      showRequests(state.requests);
      if (!$("model").options.length) await listModels();
    } catch (error) {
      $("summary").textContent = "no answer: " + error.message;
    }
  }
  setTimeout(look, live ? LIVE_MS : POLL_MS);
}

async function listModels() {
  const models = await getJson("/v1/models");
  $("model").replaceChildren(...models.data.map((m) => new Option(m.id)));
}

const conversation = [];
let answering = null;  // the AbortController of an answer that comes

function say(text, className) {
  const line = element("p", text, className);
  $("log").append(line);
  line.scrollIntoView({ block: "end" });
  return line;
}

// The text of each event as it comes.
async function* deltas(answer) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      if (!line.startsWith("data: {")) continue;
      const event = JSON.parse(line.slice(6));
      if (event.error) throw new Error(event.error.message);
      yield event.choices[0]?.delta?.content || "";
    }
  }
}

async function send() {
  const text = $("message").value.trim();
  if (!text || answering) return;
  $("message").value = "";
  say(text, "user");
  conversation.push({ role: "user", content: text });
  const line = say("", "assistant");
  answering = new AbortController();
  $("stop").disabled = false;
  let content = "";
  try {
    if (!$("model").value) await listModels();
    const answer = await fetch("/v1/chat/completions", {
      method: "POST",
      headers: { "Content-Type": "application/json", ...headers() },
      body: JSON.stringify({ model: $("model").value, messages: conversation, stream: true, max_tokens: 256 }),
      signal: answering.signal,
    });
    if (!answer.ok) throw new Error((await answer.json()).error.message);
    for await (const delta of deltas(answer)) {
      content += delta;
      line.textContent = content;
    }
  } catch (error) {
    say(error.name === "AbortError" ? "[stopped]" : error.message, "trouble");
  }
  if (content) conversation.push({ role: "assistant", content });
  else conversation.pop();
  answering = null;
  $("stop").disabled = true;
}

$("chat-form").addEventListener("submit", (event) => { event.preventDefault(); send(); });
$("message").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey) { event.preventDefault(); send(); }
});
document.addEventListener("keydown", (event) => { if (event.key === "Escape") answering?.abort(); });
$("stop").addEventListener("click", () => answering?.abort());
$("fresh").addEventListener("click", () => { answering?.abort(); conversation.length = 0; $("log").replaceChildren(); });
$("key-form").addEventListener("submit", (event) => { event.preventDefault(); sessionStorage.setItem("baton-key", $("key").value); });
look();
