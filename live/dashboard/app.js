/** The page: what is fetched when, and who is told. */

import * as api from "./api.js";
import { observed, serviceTime } from "./clock.js";
import { byId, setAttributes, setText } from "./dom.js";
import { showClocks, showHealth } from "./health.js";
import { firstSince } from "./resume.js";
import { SignalFeed } from "./signals.js";
import { SignalSocket } from "./socket.js";
import { initSwitches, tellOf } from "./switches.js";
import { SymbolPanel } from "./symbol.js";
import { askToken } from "./token.js";
import { Watchlist } from "./watchlist.js";

const REFRESH_MS = 5_000;
const AFTER_SIGNAL_MS = 300;
const CLOCK_MS = 250;
const OLD_SIGNALS = 100;
const SYMBOL_IN_ADDRESS = /^#symbol=([A-Za-z0-9.^=-]{1,16})$/;

const watchlist = new Watchlist((symbol) => choose(symbol));
const feed = new SignalFeed((symbol) => choose(symbol));
const panel = new SymbolPanel();
const reached = { byFetch: true, bySocket: true, trouble: null };

let health = null;
let clock = null;
let socket = null;
let watched = { of: null, rows: [] };
let rows = new Map();
let selected = SYMBOL_IN_ADDRESS.exec(location.hash)?.[1].toUpperCase() ?? null;
let drawn = null;
let lastOld = 0;
let unseen = 0;
let timer = null;
let isRefreshing = false;

const now = () => serviceTime(clock, performance.now());

function refreshIn(milliseconds) {
  clearTimeout(timer);
  timer = setTimeout(refresh, milliseconds);
}

async function refresh() {
  timer = null;
  if (isRefreshing) return refreshIn(AFTER_SIGNAL_MS);
  isRefreshing = true;
  try {
    if (!document.hidden) await tried(fetchAll);
  } finally {
    isRefreshing = false;
    if (timer === null) refreshIn(REFRESH_MS);
  }
}

/** Do what asks the service, and show whether it was reached. */
async function tried(asks) {
  try {
    await asks();
    Object.assign(reached, { byFetch: true, trouble: null });
  } catch (error) {
    if (!(error instanceof api.ApiError)) throw error;
    if (error.status === 401) await enter();
    else if (error.status === 0) reached.byFetch = false;
    else Object.assign(reached, { byFetch: true, trouble: error.message });
  }
  showCondition();
}

async function fetchAll() {
  health = await api.health();
  clock = observed(clock, performance.now(), Date.parse(health.now));
  if (!socket) listen();
  const [states] = await Promise.all([api.states(), freshenWatchlist()]);
  const bySymbol = new Map(states.map((state) => [state.symbol, state]));
  rows = new Map(watched.rows.map((row) => [row.symbol, { ...bySymbol.get(row.symbol), ...row }]));
  watchlist.show([...rows.values()], health, now());
  feed.explainEmpty(health, now());
  selected ??= watched.rows[0]?.symbol ?? null;
  if (selected) await showSelected();
}

async function freshenWatchlist() {
  const of = `${health.session_date} ${health.snapshot} ${health.watchlist}`;
  if (of !== watched.of) watched = { of, rows: (await api.watchlist()).symbols };
}

/** Draw the selected symbol where it, or its newest bar, is not the one drawn. */
async function showSelected() {
  watchlist.select(selected);
  const row = rows.get(selected);
  const wanted = `${selected} ${health?.session_date} ${row?.available_at}`;
  if (wanted === drawn) return;
  drawn = wanted;
  try {
    await panel.show(selected, row, feed.signals, health, now());
  } catch (error) {
    drawn = null;
    throw error;
  }
}

function choose(symbol) {
  selected = symbol;
  history.replaceState(null, "", `#symbol=${symbol}`);
  showPanel("symbol");
  tried(showSelected);
}

function listen() {
  lastOld = health.last_seq;
  socket = new SignalSocket(firstSince(lastOld, OLD_SIGNALS), api.token, {
    signal: took,
    gap: (gap) => feed.addGap(gap),
    reset: () => feed.clear(),
    heartbeat: () => showCondition(),
    connected: () => reach(true),
    lost: () => reach(false),
    refused: () => enter(),
  });
  socket.connect();
}

function reach(isReached) {
  const isBack = isReached && !reached.bySocket;
  reached.bySocket = isReached;
  showCondition();
  if (isBack) refreshIn(0);
}

function took(signal) {
  const isFresh = signal.seq > lastOld;
  feed.add(signal, isFresh);
  if (!isFresh) return;
  tellOf(signal);
  if (document.body.dataset.panel !== "signals") showUnseen(unseen + 1);
  if (signal.symbol === selected) panel.mark(feed.signals);
  refreshIn(AFTER_SIGNAL_MS);
}

/** Ask for the token, then go on. */
async function enter() {
  await askToken();
  socket?.connect();
  refreshIn(0);
}

function showCondition() {
  const isLost = !(reached.byFetch && reached.bySocket);
  showHealth(health, { isLost, trouble: reached.trouble }, now());
}

/** On a narrow screen one panel is shown at a time. */
function showPanel(name) {
  document.body.dataset.panel = name;
  for (const button of document.querySelectorAll("[data-show]")) {
    setAttributes(button, { "aria-pressed": button.dataset.show === name });
  }
  if (name === "signals") showUnseen(0);
  if (name === "symbol") requestAnimationFrame(() => panel.fit());
}

function showUnseen(count) {
  unseen = count;
  setText(byId("unseen"), String(count));
  byId("unseen").hidden = count === 0;
}

function wakeUp() {
  if (document.hidden) return;
  socket?.connect();
  refreshIn(0);
}

for (const button of document.querySelectorAll("[data-show]")) {
  button.onclick = () => showPanel(button.dataset.show);
}
document.addEventListener("visibilitychange", wakeUp);
addEventListener("online", wakeUp);
setInterval(() => clock && showClocks(now()), CLOCK_MS);
initSwitches();
refresh();
