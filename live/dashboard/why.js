/** The table of rules: what each asks of the symbol's newest bar, and how far it is from it. */

import { byId, element, setText } from "./dom.js";
import { number, percent } from "./format.js";

const IN_MINUTES = new Set(["cooldown"]);
const IN_TIMES = new Set(["rvol_1m"]);
const COMPARISONS = { ">=": "≥", "<=": "≤" };

/** Show the answer of /why. */
export function showWhy(why) {
  setText(
    byId("why-title"),
    why.first_failing === null && why.rules.length ? "Entry" : "Why no signal",
  );
  setText(byId("why-text"), why.explanation);
  byId("why-table").hidden = !why.rules.length;
  byId("why-rows").replaceChildren(...why.rules.map(ruleRow));
}

/** Show why there is no answer. */
export function showNoWhy(reason) {
  setText(byId("why-text"), reason);
  byId("why-table").hidden = true;
}

/** A rule's value or threshold in the rule's unit. */
export function figureOf(rule, value) {
  if (value === null) return "unknown";
  if (IN_MINUTES.has(rule)) return `${number(value, 0)} min`;
  if (IN_TIMES.has(rule)) return `${number(value, 2)} ×`;
  return percent(value, 2);
}

/** Whether a rule is met, or by how much it fails. */
export function verdict({ rule, passes, fails_by, fails_by_fraction, is_required, null_rule }) {
  if (passes) return null_rule ? `met: ${null_rule}` : "met";
  const optional = is_required ? "" : ", for RePump only";
  if (fails_by === null) return `unknown: ${null_rule ?? "no value"}${optional}`;
  return `fails by ${figureOf(rule, fails_by)} (${percent(fails_by_fraction, 0)})${optional}`;
}

function ruleRow(check) {
  const bound = `${COMPARISONS[check.comparison] ?? check.comparison} ${figureOf(check.rule, check.threshold)}`;
  const mark = element("span", { class: "mark", "aria-hidden": "true" }, check.passes ? "✓" : "✕");
  return element(
    "tr",
    { "data-passes": check.passes, "data-required": check.is_required },
    element("th", { scope: "row", title: check.threshold_name }, check.rule),
    element("td", { class: "num" }, figureOf(check.rule, check.value)),
    element("td", { class: "num" }, bound),
    element("td", { title: "in brackets: percent of the threshold" }, mark, " ", verdict(check)),
  );
}
