/** The panel of the selected symbol: its chart, its newest figures and its rules. */

import * as api from "./api.js";
import { SessionChart } from "./chart.js";
import { emptyChart } from "./condition.js";
import { byId, setAttributes, setText } from "./dom.js";
import { newYork, percent, price, volume } from "./format.js";
import { showNoWhy, showWhy } from "./why.js";

/** One panel, whatever symbol it shows; an answer for one that is no longer shown is dropped. */
export class SymbolPanel {
  #chart = new SessionChart((bar) => this.#quote(bar));
  #symbol = null;
  #row = null;
  #bars = [];

  constructor() {
    for (const button of document.querySelectorAll("[data-range]")) {
      button.onclick = () => this.#setRange(button.dataset.range);
    }
  }

  #setRange(name) {
    for (const button of document.querySelectorAll("[data-range]")) {
      setAttributes(button, { "aria-pressed": button.dataset.range === name });
    }
    this.#chart.setWhole(name === "session");
  }

  /** Make the chart fit again, after it was hidden. */
  fit() {
    this.#chart.fit();
  }

  /** Show a symbol, with its row of the watchlist where it has one. Throws ApiError. */
  async show(symbol, row, signals, health, now) {
    if (symbol !== this.#symbol) this.#begin(symbol);
    this.#row = row;
    const [bars, why] = await Promise.all([orNone(api.bars(symbol)), orReason(api.why(symbol))]);
    if (symbol !== this.#symbol) return; // another was chosen meanwhile
    this.#bars = bars;
    byId("chart").hidden = !bars.length;
    byId("chart-empty").hidden = bars.length > 0;
    setText(byId("chart-empty"), emptyChart(symbol, health, now));
    this.mark(signals);
    this.#quote(null);
    if (why.reason) showNoWhy(why.reason);
    else showWhy(why);
  }

  /** Take away what was of another symbol. */
  #begin(symbol) {
    this.#symbol = symbol;
    this.#row = null;
    this.#bars = [];
    setText(byId("symbol-title"), symbol);
    byId("chart-empty").hidden = true;
    this.mark([]);
    this.#quote(null);
    showNoWhy("loading");
  }

  /** Show the signals on the bars that are shown. */
  mark(signals) {
    if (this.#symbol) this.#chart.show(this.#symbol, this.#bars, signals);
  }

  /** Tell of the bar under the pointer, else of the newest. */
  #quote(hovered) {
    const bar = hovered ?? this.#bars.at(-1);
    if (!bar) {
      setText(byId("symbol-quote"), this.#row?.company_name ?? "");
      return;
    }
    const [open, high, low, close] = [bar.open, bar.high, bar.low, bar.close].map(price);
    const change = hovered ? "" : ` ${percent(this.#row?.change_from_prev_close, 1, true)} `;
    const at = newYork(new Date(bar.bar_at));
    setText(
      byId("symbol-quote"),
      `${at} ${bar.session_segment}  O ${open}  H ${high}  L ${low}  C ${close}${change}` +
        `  V ${volume(bar.volume)}  VWAP ${price(bar.vwap)}`,
    );
  }
}

/** The rows that are asked for: none where the service does not know the symbol. */
async function orNone(answer) {
  try {
    return await answer;
  } catch (error) {
    if (error.status === 404) return [];
    throw error;
  }
}

async function orReason(answer) {
  try {
    return await answer;
  } catch (error) {
    if (error.status === 404) return { reason: error.message };
    throw error;
  }
}
