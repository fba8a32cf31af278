import assert from "node:assert/strict";
import { test } from "node:test";
import { firstSince, received, retryDelay } from "../../live/dashboard/resume.js";

test("each signal counts once", () => {
  const seqs = [5, 6, 6, 5, 7];
  let seq = 4;
  const kinds = seqs.map((next) => {
    const step = received(seq, { seq: next });
    seq = step.seq;
    return step.kind;
  });
  assert.deepEqual(kinds, ["signal", "signal", "duplicate", "duplicate", "signal"]);
});

test("a heartbeat moves where to resume", () => {
  assert.deepEqual(received(4, { type: "heartbeat", last_seq: 9 }), { seq: 9, kind: "heartbeat" });
});

test("a service that begins anew is told", () => {
  assert.deepEqual(received(4, { type: "heartbeat", last_seq: 0 }), { seq: 0, kind: "reset" });
});

test("a gap leaves the place, as its signals follow", () => {
  assert.deepEqual(received(4, { type: "gap", from_seq: 5, to_seq: 9 }), { seq: 4, kind: "gap" });
});

test("what is told of a forming bar is no signal and leaves the place", () => {
  for (const type of ["provisional", "confirmed", "retracted"]) {
    const message = { type, symbol: "ABCD", signal_seq: 9 };
    assert.deepEqual(received(4, message), { seq: 4, kind: "other" });
  }
});

test("retries wait longer, ten seconds at most, and never at once", () => {
  assert.deepEqual(
    [0, 1, 2, 30].map((n) => retryDelay(n, 0)),
    [250, 500, 1000, 5000],
  );
  assert.equal(retryDelay(30, 1), 10_000);
});

test("old signals are bounded", () => {
  assert.deepEqual([firstSince(3, 100), firstSince(250, 100)], [0, 150]);
});
