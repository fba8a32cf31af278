/** Bars as the chart takes them. Pure. */

const MINUTE = 60;

/** Seconds since 1970 of a UTC text. */
export function seconds(at) {
  return Date.parse(at) / 1000;
}

/** Every minute from the first bar to the last: its bar, or null where there is none. */
export function everyMinute(bars) {
  const byTime = new Map(bars.map((bar) => [seconds(bar.bar_at), bar]));
  if (!byTime.size) return [];
  const times = [...byTime.keys()];
  const minutes = [];
  for (let time = Math.min(...times); time <= Math.max(...times); time += MINUTE) {
    minutes.push({ time, bar: byTime.get(time) ?? null });
  }
  return minutes;
}

/** The stretches of one segment each: { segment, from, to }, in seconds, `to` the last bar's. */
export function segmentSpans(bars) {
  const spans = [];
  for (const bar of bars) {
    const time = seconds(bar.bar_at);
    const last = spans.at(-1);
    if (last?.segment === bar.session_segment) last.to = time;
    else spans.push({ segment: bar.session_segment, from: time, to: time });
  }
  return spans;
}

/** The signals of a symbol that fall on the bars, oldest first, each bar's newest. */
export function signalsOnBars(signals, symbol, bars) {
  const times = new Set(bars.map((bar) => bar.bar_at));
  const byBar = new Map();
  for (const signal of [...signals].sort((a, b) => a.seq - b.seq)) {
    if (signal.symbol === symbol && times.has(signal.bar_at)) byBar.set(signal.bar_at, signal);
  }
  return [...byBar.values()].sort((a, b) => seconds(a.bar_at) - seconds(b.bar_at));
}
