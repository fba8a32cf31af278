/** The watchlist: a row per symbol, sorted by any column, one of them selected. */

import { emptyWatchlist } from "./condition.js";
import { byId, drawing, element, setAttributes, setText } from "./dom.js";
import { newYork, NOTHING, number, percent, price, sparkline } from "./format.js";
import { LARGEST_FIRST, sorted } from "./ordering.js";

const SPARK = { width: 72, height: 18 };
const STALE_MS = 10 * 60_000;
const CELLS = {
  rank: "num",
  symbol: "symbol",
  closes: "wide",
  state: "",
  close: "num",
  change: "num",
  rvol: "num",
  base: "num wide",
  spread: "num wide",
  entry: "wide entry",
  score: "num wide score",
};

/** The table; `onSelect(symbol)` is told of each choice. */
export class Watchlist {
  #lines = new Map();
  #rows = [];
  #sort = { column: "rank", descending: false };
  #onSelect;

  constructor(onSelect) {
    this.#onSelect = onSelect;
    for (const heading of byId("watch-table").querySelectorAll("th[data-column]")) {
      heading.querySelector("button").onclick = () => this.#sortBy(heading.dataset.column);
    }
    byId("watch-rows").onkeydown = (event) => this.#moved(event);
    this.#showSort();
  }

  /** Show the rows of the watchlist, each joined with its state, as of the service's `now`. */
  show(rows, health, now) {
    this.#rows = rows;
    const empty = emptyWatchlist(health, now);
    setText(byId("watch-empty"), empty ?? "");
    byId("watch-empty").hidden = empty === null;
    byId("watch-table").hidden = empty !== null;
    const traded = rows.filter((row) => row.bar_at).length;
    setText(byId("watch-note"), rows.length ? `${traded} of ${rows.length} have traded` : "");
    for (const row of rows) this.#fill(row, now);
    this.#arrange();
  }

  /** Mark a symbol as the one that is looked at. */
  select(symbol) {
    for (const [name, line] of this.#lines) {
      setAttributes(line.row, { "aria-current": name === symbol ? "true" : null });
    }
  }

  #fill(row, now) {
    const line = this.#lines.get(row.symbol) ?? this.#add(row.symbol);
    const { cells } = line;
    const old = now && row.available_at && now - new Date(row.available_at) > STALE_MS;
    setAttributes(line.row, {
      "data-stale": old ? "" : null,
      title: row.company_name ?? null,
    });
    setText(cells.rank, String(row.rank));
    setText(line.chip, row.state ?? "no bar yet");
    setAttributes(line.chip, { "data-state": row.state ?? "none" });
    line.line.setAttribute("points", sparkline(row.closes ?? [], SPARK.width, SPARK.height));
    setText(cells.close, price(row.close));
    setAttributes(cells.close, {
      title: row.bar_at ? `bar of ${newYork(new Date(row.bar_at))} New York` : null,
    });
    setText(cells.change, percent(row.change_from_prev_close, 1, true));
    setAttributes(cells.change, { "data-sign": sign(row.change_from_prev_close) });
    setAttributes(line.line, { "data-sign": sign(row.change_from_prev_close) });
    setText(cells.rvol, number(row.rvol_1m, 1));
    setText(cells.base, percent(row.base_range));
    setText(cells.spread, spreadText(row));
    setText(cells.entry, entryText(row));
    setText(cells.score, number(row.score, 0));
  }

  #add(symbol) {
    const cells = Object.fromEntries(
      Object.entries(CELLS).map(([name, look]) => [name, element("td", { class: look })]),
    );
    const button = element("button", { type: "button" }, symbol);
    cells.symbol.append(button);
    const chip = element("span", { class: "chip" });
    cells.state.append(chip);
    const { width, height } = SPARK;
    const picture = drawing("svg", {
      viewBox: `-1 -1 ${width + 2} ${height + 2}`,
      class: "spark",
      "aria-hidden": "true",
    });
    const line = drawing("polyline");
    picture.append(line);
    cells.closes.append(picture);
    const row = element("tr");
    row.append(...Object.values(cells));
    row.onclick = () => this.#onSelect(symbol);
    const made = { row, cells, chip, line, button };
    this.#lines.set(symbol, made);
    return made;
  }

  /** Put the rows in order, moving only what is out of place. */
  #arrange() {
    const wanted = sorted(this.#rows, this.#sort.column, this.#sort.descending);
    const body = byId("watch-rows");
    wanted.forEach((row, place) => {
      const line = this.#lines.get(row.symbol).row;
      if (body.children[place] !== line) body.insertBefore(line, body.children[place] ?? null);
    });
    while (body.children.length > wanted.length) body.lastElementChild.remove();
  }

  #sortBy(column) {
    const again = column === this.#sort.column;
    this.#sort = { column, descending: again ? !this.#sort.descending : LARGEST_FIRST.has(column) };
    this.#showSort();
    this.#arrange();
  }

  #showSort() {
    const { column, descending } = this.#sort;
    for (const heading of byId("watch-table").querySelectorAll("th[data-column]")) {
      const order = descending ? "descending" : "ascending";
      setAttributes(heading, { "aria-sort": heading.dataset.column === column ? order : null });
    }
  }

  /** Arrow keys go from row to row and choose. */
  #moved(event) {
    const step = { ArrowDown: "nextElementSibling", ArrowUp: "previousElementSibling" }[event.key];
    const next = step && event.target.closest("tr")[step];
    if (!next) return;
    event.preventDefault();
    const button = next.querySelector("button");
    button.focus();
    this.#onSelect(button.textContent);
  }
}

function sign(value) {
  return Number.isFinite(value) && value !== 0 ? (value > 0 ? "up" : "down") : null;
}

function spreadText(row) {
  const text = percent(row.spread);
  return text !== NOTHING && row.spread_source === "estimated" ? `~${text}` : text;
}

function entryText(row) {
  if (!Number.isFinite(row.rules)) return NOTHING;
  const met = `${row.rules_passed}/${row.rules}`;
  if (!row.failing_rule) return `${met} entry`;
  const short = Number.isFinite(row.fails_by_fraction)
    ? percent(row.fails_by_fraction, 0)
    : "unknown";
  return `${met} ${row.failing_rule} ${short}`;
}
