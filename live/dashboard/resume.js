/** Where a client stands in the stream of signals, and when it tries again. Pure. */

const FIRST_RETRY_MS = 500;
const LONGEST_RETRY_MS = 10_000;

/**
 * What a message means to a client that has all signals up to `seq`: the seq it has then, and
 * `signal` (new), `duplicate`, `gap`, `heartbeat`, `reset` (the service's signals begin anew) or
 * `other`.
 */
export function received(seq, message) {
  switch (message.type) {
    case undefined:
      return message.seq > seq ? { seq: message.seq, kind: "signal" } : { seq, kind: "duplicate" };
    case "gap":
      return { seq, kind: "gap" };
    case "heartbeat":
      return message.last_seq < seq
        ? { seq: 0, kind: "reset" }
        : { seq: message.last_seq, kind: "heartbeat" };
    default:
      return { seq, kind: "other" };
  }
}

/** Milliseconds to wait before try number `attempt` (from 0), spread by `random` in [0, 1). */
export function retryDelay(attempt, random) {
  const longest = Math.min(FIRST_RETRY_MS * 2 ** attempt, LONGEST_RETRY_MS);
  return Math.round(longest * (0.5 + random / 2));
}

/** Signals to ask for at first: the newest `count` of those up to `lastSeq`. */
export function firstSince(lastSeq, count) {
  return Math.max(0, lastSeq - count);
}
