// The page: what comes from the proxy, put where it belongs.

import { chart } from "./chart.js";
import { Rates } from "./rates.js";
import { watch } from "./source.js";
import { table } from "./tables.js";
import * as words from "./words.js";

const EVENTS = "/v1/overview/events";
const TOKEN = "spliceway.token";
/** A worker is seen each second: one that was not for so many milliseconds hangs. */
const HANGS = 3000;

const WAYS = ["spliced", "copied", "filtered"];

const at = (id) => document.getElementById(id);
const set = (id, text) => {
  const place = at(id);
  if (place.textContent !== text) place.textContent = text;
};

const rates = new Rates();
let stop = null;
let isPaused = false;
let token = sessionStorage.getItem(TOKEN);
let countdown;

// ---- the connection to the proxy ----

function begin() {
  stop?.();
  stop = watch(EVENTS, token, heard, changed);
}

function heard(overview) {
  const rate = rates.add(overview);
  if (isPaused) return;
  at("ask").hidden = true;
  at("figures").hidden = false;
  at("pause").disabled = false;
  at("forget").hidden = token === null;
  if (token !== null) sessionStorage.setItem(TOKEN, token);
  show(overview, rate);
}

function changed(state, { reason, wait }) {
  clearInterval(countdown);
  at("link").dataset.state = state;
  set("link-detail", "");
  switch (state) {
    case "connecting":
      if (at("link-text").textContent === "") set("link-text", "Connecting to the proxy.");
      return;
    case "live":
      set("link-text", isPaused ? "Paused: the figures are not up to date." : "");
      return;
    case "lost": {
      set("link-text", "The connection to the proxy is lost.");
      const due = Date.now() + wait;
      const say = () => set("link-detail", `${reason} Trying again in ${Math.max(0, Math.ceil((due - Date.now()) / 1000))}s.`);
      say();
      countdown = setInterval(say, 1000);
      return;
    }
    case "denied":
      askForToken(token === null ? "" : reason);
  }
}

function askForToken(error) {
  token = null;
  sessionStorage.removeItem(TOKEN);
  at("link").dataset.state = "live";
  set("link-text", "");
  at("figures").hidden = true;
  at("process").hidden = true;
  at("about").hidden = true;
  at("forget").hidden = true;
  at("pause").disabled = true;
  at("ask").hidden = false;
  set("ask-error", error);
  at("token").value = "";
  at("token").focus();
}

at("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  const said = at("token").value.trim();
  // Others cannot stand in a header.
  if (!/^[\x21-\x7e]+$/.test(said)) {
    return set("ask-error", "This is no token: it is one line of visible characters.");
  }
  set("ask-error", "");
  token = said;
  begin();
});

at("forget").addEventListener("click", () => {
  stop?.();
  askForToken("");
});

at("pause").addEventListener("click", () => {
  isPaused = !isPaused;
  const button = at("pause");
  button.setAttribute("aria-pressed", String(isPaused));
  button.textContent = isPaused ? "Go on" : "Pause";
  document.body.classList.toggle("paused", isPaused);
  set("link-text", isPaused ? "Paused: the figures are not up to date." : "");
});

// Nobody looks at a page that is hidden, and the proxy need not look for it.
document.addEventListener("visibilitychange", () => {
  if (!at("ask").hidden) return;
  if (document.hidden) {
    stop?.();
    stop = null;
  } else if (stop === null) {
    begin();
  }
});

// ---- what is shown ----

const part = (direction, way) => ({ name: way, of: (point) => point[direction][way] });
const drawBytes = chart(
  at("bytes-chart"),
  "Bytes a second over the last three minutes, to servers above the line and to clients below it. The table has the figures.",
  WAYS.map((way) => part("up", way)),
  WAYS.map((way) => part("down", way)),
  words.bytesPerSecond,
);
const drawConnections = chart(
  at("connections-chart"),
  "Connections that were open over the last three minutes.",
  [{ name: "open", of: (point) => point.open, hasEdge: true }],
  [],
  (most) => `${words.count(most)} open`,
);

const peer = (connection) => connection.client ?? "unix socket";
const target = (connection) => ({ text: connection.server ?? "–", note: connection.upstream ?? "" });
const number = (title, cell) => ({ title, cell, kind: "n" });
const failed = (listener) => listener.connections - finished(listener);
const finished = (listener) =>
  Object.entries(listener.outcomes).reduce((all, [outcome, count]) => all + (outcome.startsWith("relay.finished.") ? count : 0), 0);

const showWays = table(
  at("ways"),
  [
    { title: "Path", cell: ({ way }) => ({ text: way, mark: `way ${way}` }) },
    number("Up", ({ way, rate }) => (rate ? words.bytesPerSecond(rate.up[way]) : "–")),
    number("Down", ({ way, rate }) => (rate ? words.bytesPerSecond(rate.down[way]) : "–")),
    number("Up, total", ({ way, traffic }) => words.bytes(traffic.up[way])),
    number("Down, total", ({ way, traffic }) => words.bytes(traffic.down[way])),
  ],
  3,
  "",
);

const showWorkers = table(
  at("workers"),
  [
    { title: "Worker", cell: ({ index }) => String(index) },
    number("Seen", (worker) => ({ text: `${words.time(worker.silent_ms)} ago`, mark: worker.silent_ms > HANGS ? "bad" : "" })),
    number("Late, 99 %", (worker) => words.short(worker.delay_us)),
    number("Pipes lent", (worker) => words.count(worker.pipes)),
  ],
  8,
  "",
);

const showListeners = table(
  at("listeners"),
  [
    { title: "Listener", cell: (row) => row.name, kind: "long" },
    { title: "Address", cell: (row) => ({ text: row.address, note: row.tls ? "TLS" : "" }), kind: "long" },
    { title: "Leads to", cell: leadsTo, kind: "long" },
    { title: "Filters", cell: (row) => row.filters.join(", ") || "–", kind: "long" },
    number("Ended", (row) => words.count(row.connections)),
    number("Failed", (row) => ({ text: words.count(failed(row)), mark: failed(row) > 0 ? "bad" : "", title: outcomes(row) })),
    number("Up", (row) => words.bytes(words.total(row.up))),
    number("Down", (row) => words.bytes(words.total(row.down))),
  ],
  10,
  "There is no listener.",
);

const showUpstreams = table(
  at("upstreams"),
  [
    { title: "Server", cell: ({ server }) => ({ text: server.address, note: names(server) }), kind: "long" },
    { title: "Upstream", cell: ({ upstream }) => upstream.name, kind: "long" },
    { title: "State", cell: ({ server }) => ({ text: server.state, mark: STATES[server.state] ?? "idle" }) },
    { title: "Health", cell: ({ server }) => ({ text: server.health, mark: STATES[server.health] ?? "idle" }) },
    number("Weight", ({ server }) => ({ text: words.count(server.weight), note: weight(server) })),
    number("Open", ({ server }) => ({
      text: words.count(server.connections),
      note: server.max_connections === undefined ? "" : `of ${words.count(server.max_connections)}`,
    })),
    number("Ups and downs", ({ server }) => words.count(server.transitions)),
  ],
  10,
  "There is no upstream.",
);

const STATES = { up: "good", down: "bad", ejected: "bad", draining: "warn", disabled: "idle", unknown: "idle" };

const showFilters = table(
  at("filters"),
  [
    { title: "Filter", cell: ({ filter }) => filter.name, kind: "long" },
    number("Generation", ({ generation }) => ({ text: String(generation.number), title: generation.digest })),
    { title: "State", cell: ({ generation }) => ({ text: generation.state, mark: GENERATIONS[generation.state] ?? "idle" }) },
    number("Calls", ({ rate }) => `${words.rate(rate?.perSecond ?? 0)}/s`),
    number("A call takes", ({ rate }) => (rate?.each == null ? "–" : words.short(rate.each))),
    number("Instances", ({ generation }) => words.count(generation.instances)),
    number("Memory", ({ generation }) => words.bytes(generation.memory_bytes)),
    number("Shown", ({ generation }) => words.bytes(generation.shown_bytes)),
    number("Failures", ({ generation }) => ({
      text: words.count(generation.failures),
      mark: generation.failures > 0 ? "bad" : "",
    })),
  ],
  10,
  "There is no filter.",
);

const GENERATIONS = { stable: "good", canary: "warn", quarantined: "bad", previous: "idle", old: "idle" };

const id = { title: "Connection", cell: (row) => String(row.id) };
const client = { title: "Client", cell: (row) => ({ text: peer(row), note: row.listener }), kind: "long" };
const server = { title: "Server", cell: target, kind: "long" };

const showSlowest = table(
  at("slowest"),
  [
    id,
    client,
    server,
    { title: "Stage", cell: (row) => ({ text: row.stage, mark: row.stage === "relay" ? "" : "warn" }) },
    number("Waited", (row) => (row.stage === "relay" ? words.time(row.connect_ms ?? 0) : words.time(row.age_ms))),
  ],
  5,
  "No connection is open.",
);

const showBiggest = table(
  at("biggest"),
  [
    id,
    client,
    server,
    number("Age", (row) => words.time(row.age_ms)),
    number("Up", (row) => words.bytes(words.total(row.up))),
    number("Down", (row) => words.bytes(words.total(row.down))),
    { title: "Mostly", cell: (row) => ({ text: words.mainWay(row.up, row.down), mark: `way ${words.mainWay(row.up, row.down)}` }) },
  ],
  5,
  "No connection is open.",
);

const showRecent = table(
  at("recent"),
  [
    { title: "Time", cell: (row) => ({ text: words.clock(row.at_ms), title: new Date(row.at_ms).toISOString() }) },
    { title: "Outcome", cell: (row) => ({ text: row.outcome, mark: row.ok ? "good" : "bad" }), kind: "long" },
    client,
    server,
    number("Lasted", (row) => words.time(row.duration_ms)),
    number("Up", (row) => words.bytes(words.total(row.up))),
    number("Down", (row) => words.bytes(words.total(row.down))),
  ],
  10,
  "No connection has ended yet.",
);

const showErrors = table(
  at("errors"),
  [
    { title: "Time", cell: (row) => ({ text: words.clock(row.at_ms), title: new Date(row.at_ms).toISOString() }) },
    { title: "Level", cell: (row) => ({ text: row.level, mark: row.level === "error" ? "bad" : "warn" }) },
    { title: "Line", cell: (row) => row.text, kind: "long mono" },
  ],
  5,
  "Nothing has gone wrong.",
);

function show(overview, rate) {
  const { status, traffic } = overview;
  showProcess(status);
  set("open", words.count(status.connections));
  set("accepted", words.count(traffic.accepted));
  const ended = overview.listeners.reduce((all, listener) => all + listener.connections, 0);
  const bad = overview.listeners.reduce((all, listener) => all + failed(listener), 0);
  set("failed", words.count(bad));
  set("failed-share", ended > 0 ? `of ${words.count(ended)}` : "");
  at("failed").parentElement.classList.toggle("bad", bad > 0);
  set("accepted-rate", rate ? words.rate(rate.accepted) : "–");
  set("up-rate", rate ? words.bytesPerSecond(rate.up.total) : "–");
  set("down-rate", rate ? words.bytesPerSecond(rate.down.total) : "–");
  showWays(WAYS.map((way) => ({ way, rate, traffic })));
  showWorkers(overview.workers.map((worker, index) => ({ ...worker, index })));
  drawBytes(rates.points, overview.at_ms);
  drawConnections(rates.points, overview.at_ms);

  showListeners(overview.listeners);
  const servers = overview.upstreams.flatMap((upstream) => upstream.servers.map((server) => ({ upstream, server })));
  // What is not as it should be comes first.
  servers.sort((one, other) => (one.server.state === "up") - (other.server.state === "up"));
  showUpstreams(servers);
  const { all, up } = overview.servers;
  set("upstreams-sum", up < all ? `${all - up} of ${all} servers not up` : all > 0 ? `all ${all} servers up` : "");
  at("upstreams-sum").classList.toggle("bad", up < all);
  showFilters(
    overview.filters.flatMap((filter) =>
      filter.generations.map((generation) => ({
        filter,
        generation,
        rate: rate?.calls.get(`${filter.name}\n${generation.number}`),
      })),
    ),
  );
  showSlowest(overview.slowest);
  showBiggest(overview.biggest);
  showRecent(overview.recent);
  const failures = overview.recent.filter((past) => !past.ok).length;
  set("recent-sum", failures > 0 ? `${failures} of ${overview.recent.length} failed` : "");
  at("recent-sum").classList.toggle("bad", failures > 0);
  showErrors(overview.errors);
}

function showProcess(status) {
  at("process").hidden = false;
  at("about").hidden = false;
  at("process").dataset.state = status.draining ? "draining" : "serving";
  set("state", status.draining ? "draining" : "serving");
  set("version", status.version);
  set("pid", String(status.pid));
  set("uptime", words.time(status.uptime_ms));
  set("log-level", status.log_level);
  document.title = `${words.count(status.connections)} open · Spliceway`;
}

function leadsTo(listener) {
  const routes = listener.routes.length > 0 ? `routes ${listener.routes.join(", ")}` : "";
  return listener.upstream ? { text: listener.upstream, note: routes } : routes || "–";
}

function outcomes(listener) {
  return Object.entries(listener.outcomes)
    .filter(([outcome]) => !outcome.startsWith("relay.finished."))
    .map(([outcome, count]) => `${outcome}: ${words.count(count)}`)
    .join("\n");
}

function names(server) {
  const address = server.address.replace(/:\d+$/, "").replace(/^\[|\]$/g, "");
  const host = server.host !== "" && server.host !== address ? server.host : "";
  return [host, server.backup ? "backup" : ""].filter((word) => word !== "").join(", ");
}

function weight(server) {
  return server.weight === server.configured_weight ? "" : `configured: ${server.configured_weight}`;
}

begin();
