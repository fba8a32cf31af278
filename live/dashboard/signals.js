/** The feed of signals: newest on top. */

import { emptySignals } from "./condition.js";
import { byId, element, setText } from "./dom.js";
import { newYork, number, price, sessionDay } from "./format.js";

const KEPT = 200;

/** The list; `onSelect(symbol)` is told of each choice. */
export class SignalFeed {
  #signals = [];
  #onSelect;

  constructor(onSelect) {
    this.#onSelect = onSelect;
  }

  /** The signals that are shown, newest first. */
  get signals() {
    return this.#signals;
  }

  /** Show a signal on top; a fresh one is lit up and said aloud. */
  add(signal, isFresh) {
    this.#signals.unshift(signal);
    this.#signals.length = Math.min(this.#signals.length, KEPT);
    const list = byId("signals-list");
    list.prepend(this.#item(signal, isFresh));
    while (list.children.length > KEPT) list.lastElementChild.remove();
    setText(byId("signals-note"), `last is number ${signal.seq}`);
    byId("signals-empty").hidden = true;
    if (isFresh) announce(signal);
  }

  /** Tell that signals came too late to this client; they follow. */
  addGap({ from_seq: from, to_seq: to }) {
    const text = `This page was too slow: signals ${from} to ${to} follow late.`;
    byId("signals-list").prepend(element("li", { class: "gap" }, text));
    setText(byId("announcement"), text);
  }

  /** Forget all: the service's signals begin anew. */
  clear() {
    this.#signals = [];
    byId("signals-list").replaceChildren();
    byId("signals-empty").hidden = false;
  }

  /** Say why there is none, where there is none. */
  explainEmpty(health, now) {
    setText(byId("signals-empty"), emptySignals(health, now));
  }

  #item(signal, isFresh) {
    const at = new Date(signal.bar_at);
    const figures = [
      ["move", `${number(signal.move_pct, 1)} %`],
      ["rvol", `${number(signal.rvol_1m, 1)} ×`],
      ["base", `${number(signal.base_range_pct, 1)} %`],
      [
        "spread",
        `${signal.spread_source === "estimated" ? "~" : ""}${number(signal.spread_pct, 1)} %`,
      ],
      ["vwap", price(signal.vwap)],
      ...scored(signal),
    ];
    const button = element(
      "button",
      { type: "button" },
      element("span", { class: "signal-symbol" }, signal.symbol),
      element("span", { class: "chip", "data-state": signal.state }, signal.state),
      element("span", { class: "signal-price" }, price(signal.price)),
      element(
        "time",
        {
          datetime: signal.bar_at,
          title: `${sessionDay(signal.bar_at.slice(0, 10))}, number ${signal.seq}`,
        },
        `${newYork(at)} ${signal.session}`,
      ),
      element("dl", {}, ...figures.map(([name, value]) => figure(name, value))),
    );
    button.onclick = () => this.#onSelect(signal.symbol);
    return element("li", { "data-state": signal.state, class: isFresh ? "fresh" : "" }, button);
  }
}

function scored({ score, thr }) {
  if (score === null) return [];
  return [["score", thr === null ? number(score) : `${number(score)} (thr ${number(thr)})`]];
}

function figure(name, value) {
  return element("div", {}, element("dt", {}, name), element("dd", {}, value));
}

function announce(signal) {
  const move = number(signal.move_pct, 1);
  setText(
    byId("announcement"),
    `${signal.state}: ${signal.symbol} at ${price(signal.price)}, move ${move} percent`,
  );
}
