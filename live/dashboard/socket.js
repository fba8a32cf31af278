/** The WebSocket of signals: connects again by itself and resumes by seq. */

import { received, retryDelay } from "./resume.js";

/** Heartbeats come every 15 s by default; without any message for longer the line is dead. */
const SILENT_MS = 50_000;
const REFUSED = 1008;

/**
 * Signals from after `since` on, each once, in order. `on` is told: `signal(message)`,
 * `gap(message)`, `heartbeat(message)`, `reset()`, `connected()`, `lost(milliseconds to retry)`,
 * `refused(reason)`. `token()` gives what is sent first, if any.
 */
export class SignalSocket {
  #on;
  #token;
  #seq;
  #attempt = 0;
  #socket = null;
  #retry = null;
  #silence = null;

  constructor(since, token, on) {
    this.#seq = since;
    this.#token = token;
    this.#on = on;
  }

  /** Connect now, whatever wait is running. */
  connect() {
    clearTimeout(this.#retry);
    if (this.#socket) return;
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}/ws?since=${this.#seq}`);
    this.#socket = socket;
    this.#expect();
    socket.onopen = () => this.#opened();
    socket.onmessage = (event) => this.#received(JSON.parse(event.data));
    socket.onclose = (event) => this.#closed(socket, event);
  }

  #opened() {
    const token = this.#token();
    if (token) this.#socket.send(JSON.stringify({ type: "auth", token }));
    this.#on.connected();
  }

  #received(message) {
    this.#attempt = 0;
    this.#expect();
    const { seq, kind } = received(this.#seq, message);
    this.#seq = seq;
    if (kind === "reset") this.#drop();
    this.#on[kind]?.(message);
  }

  /** Take the line for dead if nothing comes for long. */
  #expect() {
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => this.#drop(), SILENT_MS);
  }

  /** Leave the socket, whether or not its other end answers, and connect again. */
  #drop() {
    const socket = this.#socket;
    socket?.close();
    this.#closed(socket, { code: 1006, reason: "" });
  }

  #closed(socket, { code, reason }) {
    if (!socket || socket !== this.#socket) return;
    socket.onmessage = null;
    clearTimeout(this.#silence);
    this.#socket = null;
    if (code === REFUSED) {
      this.#on.refused(reason);
      return;
    }
    const delay = retryDelay(this.#attempt, Math.random());
    this.#attempt += 1;
    this.#retry = setTimeout(() => this.connect(), delay);
    this.#on.lost(delay);
  }
}
