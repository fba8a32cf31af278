/** What the header says of the service, from its health and whether the page reaches it. Pure. */

import { duration, newYork, sessionDay, utc } from "./format.js";

/** Status in a word for the lamp, and in a few for people. */
export function status(health, isLost) {
  if (isLost) return { lamp: "lost", text: "connection lost" };
  if (!health) return { lamp: "starting", text: "connecting" };
  return { lamp: health.status, text: health.status };
}

/** What is wrong, each in a sentence: { level, text }; `trouble` is an answer that was none. */
export function alerts(health, isLost, trouble = null) {
  const told = trouble ? [{ level: "bad", text: `The service refused: ${trouble}` }] : [];
  if (isLost) {
    told.push({ level: "bad", text: "Connection lost, retrying. What is shown may be old." });
  } else if (health) {
    for (const [part, reason] of Object.entries(health.problems)) {
      told.push({ level: "bad", text: `${part}: ${reason}` });
    }
    told.push(...failures(health.failures));
    for (const text of health.notes) told.push({ level: "note", text });
  }
  return told;
}

/** Failing symbols, in two lines at most. */
function failures(bySymbol) {
  const names = Object.keys(bySymbol);
  if (names.includes("*")) return [{ level: "bad", text: `every symbol: ${bySymbol["*"]}` }];
  if (!names.length) return [];
  const more =
    names.length > 1 ? ` (and ${names.length - 1} more: ${names.slice(1).join(", ")})` : "";
  return [{ level: "bad", text: `${names[0]}: ${bySymbol[names[0]]}${more}` }];
}

/** The session in a few words: "RTH · Wed 5 Nov", or when the next opens. */
export function sessionText(health, now) {
  if (!health?.session_date) return "no session known";
  const day = sessionDay(health.session_date);
  if (health.session_segment) return `${health.session_segment} · ${day}`;
  return `next ${day}, ${untilOpen(health, now)}`;
}

/** When the coming session opens: "PRE 04:00 New York (09:00 UTC), in 5 h 12 min". */
export function untilOpen(health, now) {
  const opens = new Date(health.pre_open_at);
  const clock = `PRE ${newYork(opens)} New York (${utc(opens)} UTC)`;
  const left = (opens - now) / 1000;
  return left > 0 ? `${clock}, in ${duration(left)}` : clock;
}

/** Why the watchlist is empty and what to do, or null where it is not. */
export function emptyWatchlist(health, now) {
  if (!health.session_date) {
    return "No session is known: run make ingest, which fetches the exchange's calendar.";
  }
  if (health.watchlist > 0) return null;
  const day = sessionDay(health.session_date);
  const opens = health.session_segment ? "" : ` It opens ${untilOpen(health, now)}.`;
  return `The session of ${day} has no watchlist: run make features, and it is taken up here.${opens}`;
}

/** Why a symbol has no bars, and what to do. */
export function emptyChart(symbol, health, now) {
  if (health && !health.session_segment && health.session_date) {
    return `${symbol} has no bars yet: the session opens ${untilOpen(health, now)}.`;
  }
  return `${symbol} has no bars in this session yet: they come with its first trade.`;
}

/** Why there are no signals, and what to do. */
export function emptySignals(health, now) {
  if (health?.session_date && !health.session_segment) {
    return `No signals yet. The session opens ${untilOpen(health, now)}.`;
  }
  return (
    "No signals yet. One comes here when a bar meets every rule; " +
    "sort the watchlist by “To entry” to see who is nearest."
  );
}
