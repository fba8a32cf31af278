/** The order of the watchlist's rows. Pure. */

const STATES = ["Idle", "Pumped", "Base", "FirstPump", "RePump"];

/** How a row counts in each column's order. */
export const SORT_KEYS = {
  rank: (row) => row.rank,
  symbol: (row) => row.symbol,
  score: (row) => row.score,
  state: (row) => (row.state ? STATES.indexOf(row.state) : null),
  close: (row) => row.close,
  change: (row) => row.change_from_prev_close,
  rvol: (row) => row.rvol_1m,
  base: (row) => row.base_range,
  spread: (row) => row.spread,
  entry: closeness,
};

/** The columns that begin with the largest on top. */
export const LARGEST_FIRST = new Set(["score", "state", "close", "change", "rvol", "entry"]);

/** How near a row is to an entry: whole rules met, then how little the first failing lacks. */
export function closeness(row) {
  if (!Number.isFinite(row.rules)) return null;
  const lacking = row.fails_by_fraction;
  const lacks = Number.isFinite(lacking) ? Math.min(lacking, 0.99) : 0.99;
  return row.rules_passed + (row.rules_passed < row.rules ? 1 - lacks : 1);
}

/** The rows sorted by a column; rows without a value come last, equal ones by rank. */
export function sorted(rows, column, descending) {
  const key = SORT_KEYS[column];
  const direction = descending ? -1 : 1;
  return [...rows].sort((left, right) => {
    const [a, b] = [key(left), key(right)];
    if (isUnknown(a) || isUnknown(b)) return isUnknown(a) - isUnknown(b) || left.rank - right.rank;
    if (a === b) return left.rank - right.rank;
    return (a < b ? -1 : 1) * direction;
  });
}

function isUnknown(value) {
  return value === null || value === undefined || Number.isNaN(value);
}
