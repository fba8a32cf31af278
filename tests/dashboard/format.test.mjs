import assert from "node:assert/strict";
import { test } from "node:test";
import * as format from "../../live/dashboard/format.js";

test("prices below a dollar have four decimals", () => {
  assert.deepEqual([5.1, 0.51234, null, NaN].map(format.price), ["5.10", "0.5123", "–", "–"]);
});

test("percent is signed on demand", () => {
  assert.equal(format.percent(0.0384, 1, true), "+3.8 %");
  assert.equal(format.percent(-0.0384), "−3.8 %");
});

test("volume keeps three digits", () => {
  assert.deepEqual([950, 9999, 45_678, 123_456, 4.56e6].map(format.volume), [
    "950",
    "10K",
    "45.7K",
    "123K",
    "4.56M",
  ]);
});

test("New York's clock follows its summer time", () => {
  assert.equal(format.newYork(new Date("2025-11-05T14:30:00Z")), "09:30");
  assert.equal(format.newYork(new Date("2025-07-01T13:30:05Z"), true), "09:30:05");
});

test("midnight is 00:00", () => {
  assert.equal(format.utc(new Date("2025-11-05T00:00:00Z")), "00:00");
});

test("durations show two units", () => {
  assert.deepEqual([3, 245, 7800, 273_600, NaN].map(format.duration), [
    "3 s",
    "4 min 05 s",
    "2 h 10 min",
    "3 d 4 h",
    "–",
  ]);
});

test("a session's day does not depend on the zone", () => {
  assert.equal(format.sessionDay("2025-11-05"), "Wed 5 Nov");
});

test("sparkline spans its box", () => {
  assert.equal(format.sparkline([1, 2, 1.5], 20, 10), "0.0,10.0 10.0,0.0 20.0,5.0");
});

test("flat sparkline is in the middle", () => {
  assert.equal(format.sparkline([3, 3], 20, 10), "0.0,5.0 20.0,5.0");
});

test("one close draws nothing", () => {
  assert.equal(format.sparkline([3, null], 20, 10), "");
});
