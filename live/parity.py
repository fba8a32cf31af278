"""Tables for people: the parity report, the signals of a replay, what changed rules would do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from ingest.exports import open_snapshot
from live.replay import Offline, Replayed

Row = dict[str, Any]

CAUSES = ("revised_bar", "late_bar", "split", "daily_bar", "baseline", "definition", "unexplained")
SHOWN_CELLS = 10
SHOWN_SIGNALS = 40


def read_parity(snapshot: Path, session_date: date | None) -> tuple[list[Row], list[Row]]:
    """Return the rows of marts.parity_report and parity_cells of a session.

    None: of the newest session that was served live. Both are empty where there is none.
    """
    newest = "(select max(session_date) from marts.parity_report)"
    where = f"where session_date = coalesce($day, {newest})"
    with open_snapshot(snapshot) as connection:
        report, cells = (
            connection.sql(f"from marts.{mart} {where}", params={"day": session_date})
            .order("all")
            .to_arrow_table()
            .to_pylist()
            for mart in ("parity_report", "parity_cells")
        )
    return report, cells


def print_parity(console: Console, report: Sequence[Row], cells: Sequence[Row]) -> None:
    """Print a session's parity by feature and, where there is any, what is unexplained."""
    title = f"Parity of live and batch, session {report[0]['session_date']}"
    table = Table(title=title, title_justify="left")
    table.add_column("feature", overflow="fold")
    for name in ("compared", "mismatch", "missing", "extra", "largest"):
        table.add_column(name, justify="right")
    table.add_column("causes")
    for row in report:
        counts = (row[f"{kind}_count"] for kind in ("mismatch", "missing", "extra"))
        largest = row["largest_difference"]
        table.add_row(
            row["feature"],
            f"{row['rows_compared']:,}",
            *(f"{count:,}" for count in counts),
            "-" if largest is None else f"{largest:.3g}",
            ", ".join(_causes(row)),
        )
    console.print(table)
    unexplained = [cell for cell in cells if cell["cause"] == "unexplained"]
    console.print(f"{len(cells):,} values differ, {len(unexplained):,} of them unexplained.")
    for cell in unexplained[:SHOWN_CELLS]:
        console.print(
            "  {symbol} {bar_at} {feature}: live {served_value}, batch {batch_value}".format(**cell)
        )


def _causes(row: Row) -> Iterable[str]:
    for cause in CAUSES:
        if row[f"{cause}_count"]:
            yield f"{cause.replace('_', ' ')} {row[f'{cause}_count']:,}"


def print_signals(console: Console, replayed: Replayed) -> None:
    """Print the signals of a replay and whether they are those of marts.entries_1m."""
    table = Table("bar_at", "symbol", "state", title="Signals", title_justify="left")
    for name in ("price", "rvol_1m", "score"):
        table.add_column(name, justify="right")
    for signal in replayed.signals[:SHOWN_SIGNALS]:
        entry, score = signal.entry, signal.score.score
        table.add_row(
            f"{entry.bar_at:%H:%M}",
            entry.symbol,
            entry.state,
            f"{entry.close:g}",
            "-" if entry.rvol_1m is None else f"{entry.rvol_1m:.1f}",
            "-" if score is None else f"{score:.2f}",
        )
    console.print(table)
    if len(replayed.signals) > SHOWN_SIGNALS:
        console.print(f"and {len(replayed.signals) - SHOWN_SIGNALS:,} more")
    live, offline = set(replayed.replayed), set(replayed.offline)
    verdict = "the same" if live == offline else "they differ"
    console.print(
        f"{len(live):,} signals replayed, {len(offline):,} offline (marts.entries_1m): {verdict}."
    )
    _print_changes(console, offline, live, "only offline", "only replayed")


def print_changed_rules(console: Console, replayed: Replayed, changes: dict[str, float]) -> None:
    """Print which signals changed rules would add and drop."""
    before, after = set(replayed.by_rules), set(replayed.by_changed_rules)
    rules = ", ".join(f"{rule} = {value:g}" for rule, value in changes.items())
    console.print(
        f"With {rules}: {len(after):,} signals instead of {len(before):,}; "
        f"{len(after - before):,} added, {len(before - after):,} dropped."
    )
    _print_changes(console, before, after, "dropped", "added")


def _print_changes(
    console: Console, before: set[Offline], after: set[Offline], gone: str, new: str
) -> None:
    changes = [(*signal[1::-1], gone, "-", signal[2]) for signal in before - after]
    changes += [(*signal[1::-1], new, "+", signal[2]) for signal in after - before]
    for bar_at, symbol, what, sign, state in sorted(changes):
        console.print(f"  {sign} {bar_at:%H:%M} {symbol} {state} ({what})")
