/** The service's HTTP routes. */

const TIMEOUT_MS = 15_000;
const TOKEN_KEY = "repump.token";

/** An answer that is none: `status` 0 where the service was not reached. */
export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** The token of this tab, or null where none was needed so far. */
export function token() {
  return sessionStorage.getItem(TOKEN_KEY);
}

/** Keep the token for as long as the tab lives; null forgets it. */
export function keepToken(value) {
  if (value) sessionStorage.setItem(TOKEN_KEY, value);
  else sessionStorage.removeItem(TOKEN_KEY);
}

/** The JSON at `path`. Throws ApiError. */
export async function get(path) {
  const headers = token() ? { authorization: `Bearer ${token()}` } : {};
  const { ok, status, text } = await answer(path, headers);
  if (!ok) throw new ApiError(status, detail(text));
  return JSON.parse(text);
}

/** A whole answer: one that breaks off was none. */
async function answer(path, headers) {
  try {
    const response = await fetch(path, { headers, signal: AbortSignal.timeout(TIMEOUT_MS) });
    return { ok: response.ok, status: response.status, text: await response.text() };
  } catch (error) {
    throw new ApiError(0, error.message);
  }
}

function detail(text) {
  try {
    return JSON.parse(text).detail ?? text;
  } catch {
    return text;
  }
}

export const health = () => get("/");
export const watchlist = () => get("/watchlist");
export const states = () => get("/states");
export const bars = (symbol) => get(`/bars/${encodeURIComponent(symbol)}`);
export const why = (symbol) => get(`/why/${encodeURIComponent(symbol)}`);
