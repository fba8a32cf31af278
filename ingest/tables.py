"""Tables that the commands print: the plan of a scan, the scanner's funnel."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ingest.budget import MB, PlanLimits
from ingest.exports import open_snapshot
from ingest.plan import Scan, Step, duration_text, minutes_needed

FUNNEL = """
select step, step_name, symbols_in, symbols_out, calls_spent
from marts.scanner_funnel
inner join marts.coming_session using (session_date)
order by step
"""


def print_plan(
    console: Console, steps: Sequence[Step], scan: Scan, limits: PlanLimits, used: int
) -> None:
    """Print calls, bytes and minutes by step, and the calls of the plain way."""
    table = Table("request", title=f"What a scan costs on {limits.name}", title_justify="left")
    for name in ("calls", "MB", "time"):
        table.add_column(name, justify="right")
    calls, byte_count = sum(s.calls for s in steps), sum(s.byte_count for s in steps)
    for step in steps:
        count = f"{'~' if step.is_estimated else ''}{step.calls:,}"
        spent = duration_text(step.minutes(limits)) if step.calls else "-"
        table.add_row(step.endpoint, count, f"{step.byte_count / MB:,.1f}", spent)
    minutes = max(minutes_needed(calls, byte_count, limits), sum(s.minutes(limits) for s in steps))
    table.add_row("in all", f"{calls:,}", f"{byte_count / MB:,.1f}", duration_text(minutes))
    console.print(table)
    plain = scan.plain_calls
    ratio = f" = 1/{plain / calls:,.0f}" if calls else ""
    console.print(
        f"The plain way (profile, daily and {scan.sessions} minute calls for each of "
        f"{scan.symbols:,} symbols): {plain:,} calls, "
        f"{duration_text(minutes_needed(plain, 0, limits))}. This way: {calls:,}{ratio}.",
        soft_wrap=True,
        highlight=False,
    )
    console.print(
        f"{used:,} of {limits.calls:,} calls a {limits.per.name.lower()} are used now.",
        highlight=False,
    )


def print_funnel(console: Console, snapshot: Path) -> None:
    """Print the coming session's funnel from the published snapshot."""
    with open_snapshot(snapshot) as connection:
        session = connection.execute("select session_date from marts.coming_session").fetchall()
        rows = connection.execute(FUNNEL).fetchall()
    title = f"Scanner for {session[0][0]}" if session else "Scanner"
    table = Table("step", "step_name", title=title, title_justify="left")
    for name in ("symbols_in", "symbols_out", "calls_spent"):
        table.add_column(name, justify="right")
    for step, step_name, *counts in rows:
        table.add_row(str(step), step_name, *(f"{count:,}" for count in counts))
    console.print(table)
    if not rows:
        console.print("No step has been counted yet: run make ingest, then make features.")
