import assert from "node:assert/strict";
import { test } from "node:test";
import { figureOf, verdict } from "../../live/dashboard/why.js";

const check = (changes) => ({
  rule: "base_range",
  passes: false,
  fails_by: 0.012,
  fails_by_fraction: 0.2,
  is_required: true,
  null_rule: null,
  ...changes,
});

test("each rule has its unit", () => {
  const shown = [
    ["base_range", 0.06],
    ["rvol_1m", 2],
    ["cooldown", 15],
    ["spread", null],
  ];
  assert.deepEqual(
    shown.map(([rule, value]) => figureOf(rule, value)),
    ["6.00 %", "2.00 ×", "15 min", "unknown"],
  );
});

test("a failing rule tells by how much", () => {
  assert.equal(verdict(check({})), "fails by 1.20 % (20 %)");
});

test("a rule of unknown value tells why", () => {
  const unknown = check({ fails_by: null, null_rule: "fewer than 10 bars" });
  assert.equal(verdict(unknown), "unknown: fewer than 10 bars");
});

test("what only a RePump needs is marked", () => {
  assert.match(verdict(check({ rule: "pumped", is_required: false })), /, for RePump only$/);
});
