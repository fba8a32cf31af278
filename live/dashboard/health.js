/** The header: status, clocks, lag, and what is wrong. */

import { alerts, sessionText, status } from "./condition.js";
import { byId, element, setText } from "./dom.js";
import { duration, newYork, NOTHING, utc } from "./format.js";

/** Show the health, and how the service is reached (`isLost`, `trouble`), as of its time `now`. */
export function showHealth(health, { isLost, trouble }, now) {
  const { lamp, text } = status(health, isLost);
  byId("status").dataset.status = lamp;
  setText(byId("status-text"), text);
  setText(byId("segment"), sessionText(health, now));
  showAlerts(alerts(health, isLost, trouble));
  if (!health) return;
  setText(byId("lag"), duration(health.lag_seconds ?? NaN));
  setText(byId("feed"), Object.keys(health.last_bar_at).join(", ") || NOTHING);
  setText(byId("model"), health.model_run ?? "none");
  document.title = `${lamp === "ok" ? "" : "! "}RePump`;
}

/** Show the service's time. */
export function showClocks(now) {
  setText(byId("clock-ny"), newYork(now, true));
  setText(byId("clock-utc"), utc(now, true));
}

function showAlerts(told) {
  const text = told.map((alert) => `${alert.level} ${alert.text}`).join("\n");
  const target = byId("alerts");
  if (target.dataset.shown === text) return;
  target.dataset.shown = text;
  target.replaceChildren(
    ...told.map((alert) => element("p", { "data-level": alert.level }, alert.text)),
  );
}
