/** Numbers, times and small drawings as text. Pure. */

export const NOTHING = "–";

const clocks = new Map();
const volumes = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });

function clockOf(zone, seconds) {
  const key = `${zone} ${seconds}`;
  if (!clocks.has(key)) {
    const options = { timeZone: zone, hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
    if (seconds) options.second = "2-digit";
    clocks.set(key, new Intl.DateTimeFormat("en-GB", options));
  }
  return clocks.get(key);
}

/** A number with `digits` decimals; what is none is a dash. */
export function number(value, digits = 2) {
  return Number.isFinite(value) ? value.toFixed(digits).replace("-", "−") : NOTHING;
}

/** A price: cents above a dollar, four decimals below. */
export function price(value) {
  return number(value, Number.isFinite(value) && value < 1 ? 4 : 2);
}

/** A plain fraction as percent; `signed` shows the plus too. */
export function percent(fraction, digits = 1, signed = false) {
  if (!Number.isFinite(fraction)) return NOTHING;
  const sign = signed && fraction > 0 ? "+" : "";
  return `${sign}${number(fraction * 100, digits)} %`;
}

/** A volume in three digits: 950, 12.3K, 4.56M. */
export function volume(value) {
  return Number.isFinite(value) ? volumes.format(value) : NOTHING;
}

/** The time of a Date in New York: 09:31, or 09:31:05. */
export function newYork(at, seconds = false) {
  return at ? clockOf("America/New_York", seconds).format(at) : NOTHING;
}

/** The time of a Date in UTC. */
export function utc(at, seconds = false) {
  return at ? clockOf("UTC", seconds).format(at) : NOTHING;
}

/** The weekday and date of a session: "Wed 5 Nov". */
export function sessionDay(date) {
  const options = { timeZone: "UTC", weekday: "short", day: "numeric", month: "short" };
  return new Intl.DateTimeFormat("en-GB", options).format(new Date(`${date}T00:00:00Z`));
}

/** A length of time in its two largest units: 3 s, 4 min 05 s, 2 h 10 min, 3 d 4 h. */
export function duration(seconds) {
  if (!Number.isFinite(seconds)) return NOTHING;
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  const two = (value) => String(value).padStart(2, "0");
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 1440) return `${Math.floor(minutes / 60)} h ${two(minutes % 60)} min`;
  return `${Math.floor(minutes / 1440)} d ${Math.floor((minutes % 1440) / 60)} h`;
}

/** The `points` of an SVG polyline of values within width × height; fewer than two are none. */
export function sparkline(values, width, height) {
  const known = values.filter(Number.isFinite);
  if (known.length < 2) return "";
  const low = Math.min(...known);
  const range = Math.max(...known) - low;
  const step = width / (known.length - 1);
  const y = (value) => (range ? height - ((value - low) / range) * height : height / 2);
  return known.map((value, n) => `${(n * step).toFixed(1)},${y(value).toFixed(1)}`).join(" ");
}
