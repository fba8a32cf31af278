/** The chart of a symbol's session: bars, volume, VWAP, segments and signals. */

import {
  CandlestickSeries,
  createChart,
  createSeriesMarkers,
  CrosshairMode,
  HistogramSeries,
  LineSeries,
} from "./vendor/lightweight-charts.js";
import { everyMinute, seconds, segmentSpans, signalsOnBars } from "./bars.js";
import { byId, setAttributes } from "./dom.js";
import { newYork, price } from "./format.js";
import { SegmentShading } from "./segments.js";

const VOLUME_SCALE = "volume";
const RECENT_MINUTES = 150;
const MARGIN_MINUTES = 10;

/** The chart; `onHover(bar or null)` is told which bar the pointer is on. */
export class SessionChart {
  #chart;
  #bars;
  #volume;
  #vwap;
  #markers;
  #shading;
  #shown = null;
  #minutes = [];
  #isWhole = false;
  #byTime = new Map();

  constructor(onHover) {
    const colors = palette();
    this.#chart = createChart(byId("chart"), options(colors));
    this.#volume = this.#chart.addSeries(HistogramSeries, {
      priceScaleId: VOLUME_SCALE,
      priceFormat: { type: "volume" },
      lastValueVisible: false,
      priceLineVisible: false,
    });
    this.#volume.priceScale().applyOptions({ scaleMargins: { top: 0.82, bottom: 0 } });
    this.#bars = this.#chart.addSeries(CandlestickSeries, { borderVisible: false });
    this.#bars.priceScale().applyOptions({ scaleMargins: { top: 0.08, bottom: 0.22 } });
    this.#vwap = this.#chart.addSeries(LineSeries, {
      lineWidth: 2,
      lastValueVisible: false,
      priceLineVisible: false,
      crosshairMarkerVisible: false,
    });
    this.#markers = createSeriesMarkers(this.#bars, []);
    this.#shading = new SegmentShading(colors.shade);
    this.#bars.attachPrimitive(this.#shading);
    this.#chart.subscribeCrosshairMove(({ time }) => onHover(this.#byTime.get(time) ?? null));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#recolor());
  }

  /** Show a symbol's bars and those of the signals that are on them. */
  show(symbol, bars, signals) {
    const isNew = this.#shown?.symbol !== symbol;
    this.#shown = { symbol, bars, signals };
    this.#draw();
    if (isNew) this.fit();
    const last = bars.at(-1);
    const text = last ? `${bars.length} bars, last close ${price(last.close)}` : "no bars";
    setAttributes(byId("chart"), { "aria-label": `${symbol}, bars of the session: ${text}` });
  }

  /** Choose between the whole session and its newest hours. */
  setWhole(isWhole) {
    this.#isWhole = isWhole;
    this.fit();
  }

  /** Bring the chosen stretch into view. */
  fit() {
    const to = this.#minutes.length + MARGIN_MINUTES;
    if (this.#isWhole) this.#chart.timeScale().fitContent();
    else this.#chart.timeScale().setVisibleLogicalRange({ from: to - RECENT_MINUTES, to });
  }

  #recolor() {
    this.#chart.applyOptions(options(palette()));
    if (this.#shown) this.#draw();
  }

  #draw() {
    const { symbol, bars, signals } = this.#shown;
    const colors = palette();
    const minutes = everyMinute(bars);
    this.#minutes = minutes;
    this.#byTime = new Map(minutes.map(({ time, bar }) => [time, bar]));
    this.#bars.applyOptions({
      upColor: colors.up,
      wickUpColor: colors.up,
      downColor: colors.down,
      wickDownColor: colors.down,
      priceFormat: priceFormat(bars),
    });
    this.#vwap.applyOptions({ color: colors.vwap, priceFormat: priceFormat(bars) });
    this.#bars.setData(minutes.map(({ time, bar }) => (bar ? { time, ...ohlc(bar) } : { time })));
    this.#vwap.setData(vwapLine(minutes));
    this.#volume.setData(minutes.map(({ time, bar }) => volumeOf(time, bar, colors)));
    this.#shading.show(segmentSpans(bars), colors.shade);
    this.#markers.setMarkers(
      signalsOnBars(signals, symbol, bars).map((one) => marker(one, colors)),
    );
  }
}

function palette() {
  const style = getComputedStyle(document.documentElement);
  const color = (name) => style.getPropertyValue(`--${name}`).trim();
  return {
    text: color("muted"),
    line: color("grid"),
    panel: color("panel"),
    up: color("up"),
    down: color("down"),
    upVolume: color("up-volume"),
    downVolume: color("down-volume"),
    vwap: color("vwap"),
    shade: color("shade"),
    RePump: color("repump"),
    FirstPump: color("firstpump"),
  };
}

function options(colors) {
  return {
    autoSize: true,
    layout: {
      background: { color: colors.panel },
      textColor: colors.text,
      fontFamily: getComputedStyle(document.body).fontFamily,
      fontSize: 11,
      attributionLogo: false, // the page's footer has the notice and the link
    },
    grid: { vertLines: { color: colors.line }, horzLines: { color: colors.line } },
    crosshair: { mode: CrosshairMode.Normal },
    localization: { timeFormatter: (time) => `${newYork(new Date(time * 1000))} New York` },
    timeScale: {
      timeVisible: true,
      secondsVisible: false,
      borderColor: colors.line,
      rightOffset: MARGIN_MINUTES,
      minBarSpacing: 0.3,
      tickMarkFormatter: (time) => newYork(new Date(time * 1000)),
    },
    rightPriceScale: { borderColor: colors.line },
  };
}

function priceFormat(bars) {
  const digits = (bars.at(-1)?.close ?? 1) < 1 ? 4 : 2;
  return { type: "price", precision: digits, minMove: 10 ** -digits };
}

function ohlc({ open, high, low, close }) {
  return { open, high, low, close };
}

function volumeOf(time, bar, colors) {
  if (!bar) return { time };
  return {
    time,
    value: bar.volume,
    color: bar.close < bar.open ? colors.downVolume : colors.upVolume,
  };
}

/** VWAP bar by bar; no line leads from a segment's last bar to the next's first: each has its own. */
function vwapLine(minutes) {
  const points = [];
  let before = null;
  for (const { time, bar } of minutes) {
    const point = Number.isFinite(bar?.vwap) ? { time, value: bar.vwap } : { time };
    if (bar && before && bar.session_segment !== before.segment) before.point.color = "transparent";
    if (point.value !== undefined) before = { point, segment: bar.session_segment };
    points.push(point);
  }
  return points;
}

function marker(signal, colors) {
  return {
    time: seconds(signal.bar_at),
    position: "belowBar",
    shape: "arrowUp",
    color: colors[signal.state] ?? colors.RePump,
    text: signal.state,
  };
}
