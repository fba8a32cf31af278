import assert from "node:assert/strict";
import { test } from "node:test";
import { everyMinute, segmentSpans, signalsOnBars } from "../../live/dashboard/bars.js";

const bar = (time, session_segment = "RTH") => ({
  bar_at: `2025-11-05T${time}:00Z`,
  session_segment,
});

test("minutes without a bar are shown as such", () => {
  const bars = [bar("14:30"), bar("14:33")];
  assert.deepEqual(
    everyMinute(bars).map((minute) => minute.bar),
    [bars[0], null, null, bars[1]],
  );
});

test("no bars have no minutes", () => {
  assert.deepEqual(everyMinute([]), []);
});

test("each segment is one stretch", () => {
  const spans = segmentSpans([bar("14:28", "PRE"), bar("14:29", "PRE"), bar("14:30")]);
  assert.deepEqual(
    spans.map(({ segment, from, to }) => [segment, to - from]),
    [
      ["PRE", 60],
      ["RTH", 0],
    ],
  );
});

test("signals of other symbols and sessions are left out", () => {
  const at = "2025-11-05T14:30:00Z";
  const signals = [
    { seq: 3, symbol: "AAA", bar_at: at },
    { seq: 2, symbol: "BBB", bar_at: at },
    { seq: 1, symbol: "AAA", bar_at: "2025-11-04T14:30:00Z" },
  ];
  assert.deepEqual(signalsOnBars(signals, "AAA", [bar("14:30")]), [signals[0]]);
});
