import assert from "node:assert/strict";
import { test } from "node:test";
import { observed, serviceTime } from "../../live/dashboard/clock.js";

const after = (samples, local) =>
  serviceTime(
    samples.reduce((estimate, [at, service]) => observed(estimate, at, service), null),
    local,
  );

test("a fast clock is followed", () => {
  assert.equal(
    +after(
      [
        [0, 0],
        [5000, 300_000],
      ],
      6000,
    ),
    360_000,
  );
});

test("a real clock's jitter is no speed", () => {
  assert.equal(
    +after(
      [
        [0, 0],
        [5000, 5200],
      ],
      6000,
    ),
    6200,
  );
});

test("a clock that is set back stays believable", () => {
  assert.equal(
    +after(
      [
        [0, 100_000],
        [5000, 0],
      ],
      6000,
    ),
    1000,
  );
});

test("samples close together are skipped", () => {
  assert.equal(
    +after(
      [
        [0, 0],
        [10, 5000],
      ],
      20,
    ),
    20,
  );
});

test("there is no time before a sample", () => {
  assert.equal(serviceTime(null, 5), null);
});
