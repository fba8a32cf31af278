import assert from "node:assert/strict";
import { test } from "node:test";
import {
  alerts,
  emptySignals,
  emptyWatchlist,
  sessionText,
  status,
} from "../../live/dashboard/condition.js";

const NOW = new Date("2025-11-05T07:00:00Z");
const health = (changes = {}) => ({
  status: "ok",
  session_date: "2025-11-05",
  session_segment: null,
  pre_open_at: "2025-11-05T09:00:00Z",
  watchlist: 2,
  problems: {},
  failures: {},
  notes: [],
  ...changes,
});

test("a lost connection outweighs what was known", () => {
  assert.equal(status(health(), true).lamp, "lost");
  assert.match(
    alerts(health({ problems: { tick: "x" } }), true)[0].text,
    /^Connection lost, retrying/,
  );
});

test("problems are told with their reasons", () => {
  assert.deepEqual(alerts(health({ problems: { flush: "disk full" } }), false), [
    { level: "bad", text: "flush: disk full" },
  ]);
});

test("many failing symbols take one line", () => {
  const told = alerts(health({ failures: { AAA: "404", BBB: "404" } }), false);
  assert.deepEqual(
    told.map((alert) => alert.text),
    ["AAA: 404 (and 1 more: BBB)"],
  );
});

test("before the session the next opening is told", () => {
  assert.equal(
    sessionText(health(), NOW),
    "next Wed 5 Nov, PRE 04:00 New York (09:00 UTC), in 2 h 00 min",
  );
});

test("an empty watchlist says what to do", () => {
  assert.equal(emptyWatchlist(health(), NOW), null);
  assert.match(emptyWatchlist(health({ watchlist: 0 }), NOW), /make features/);
  assert.match(emptyWatchlist(health({ session_date: null }), NOW), /make ingest/);
});

test("no signals outside the session say when it opens", () => {
  assert.match(emptySignals(health(), NOW), /opens PRE 04:00/);
});
