import assert from "node:assert/strict";
import { test } from "node:test";
import { closeness, sorted } from "../../live/dashboard/ordering.js";

const rows = [
  { symbol: "AAA", rank: 1, close: null, state: "Idle" },
  { symbol: "BBB", rank: 2, close: 3, state: "RePump", rules: 4, rules_passed: 4 },
  {
    symbol: "CCC",
    rank: 3,
    close: 9,
    state: "Base",
    rules: 4,
    rules_passed: 3,
    fails_by_fraction: 0.5,
  },
  {
    symbol: "DDD",
    rank: 4,
    close: 3,
    state: null,
    rules: 4,
    rules_passed: 3,
    fails_by_fraction: 0.1,
  },
];
const symbols = (column, descending) => sorted(rows, column, descending).map((row) => row.symbol);

test("rows without a value come last, both ways", () => {
  assert.deepEqual(symbols("close", false), ["BBB", "DDD", "CCC", "AAA"]);
  assert.deepEqual(symbols("close", true), ["CCC", "BBB", "DDD", "AAA"]);
});

test("states are ordered by how hot they are", () => {
  assert.deepEqual(symbols("state", true), ["BBB", "CCC", "AAA", "DDD"]);
});

test("nearest to an entry comes first", () => {
  assert.deepEqual(symbols("entry", true), ["BBB", "DDD", "CCC", "AAA"]);
});

test("a rule of unknown value is far away", () => {
  const [unknown, far] = [null, 0.9].map((fails_by_fraction) =>
    closeness({ rules: 4, rules_passed: 2, fails_by_fraction }),
  );
  assert.ok(unknown < far && unknown > 2);
});

test("sorting leaves the rows as they are", () => {
  sorted(rows, "close", true);
  assert.equal(rows[0].symbol, "AAA");
});
