"""What the commands show: progress with a rate, a summary at the end, the state of the tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from ingest.budget import MB, PLANS, CallBudget, logged_calls
from ingest.clock import Clock
from ingest.download import Summary
from ingest.settings import Plan
from ingest.warehouse import RAW_TABLES, open_warehouse

SHOWN = 10
"""Symbols and errors that are shown before the rest is only counted."""

RANGE_COLUMNS = {
    "market_calendar": "session_date",
    "profiles": "as_of_date",
    "bars_1d": "session_date",
    "bars_1m": "session_date",
    "quotes": "quoted_at",
    "splits": "split_date",
    "fetch_log": "requested_at",
    "signals": "session_date",
}
"""The column that tells what time a raw table's rows are of."""


class _RateColumn(ProgressColumn):
    """Units a second."""

    def __init__(self, unit: str) -> None:
        self._unit = unit
        super().__init__()

    def render(self, task: Task) -> Text:
        elapsed = task.finished_time or task.elapsed
        speed = task.completed / elapsed if elapsed else 0.0
        return Text(f"{speed:,.{0 if speed >= 10 else 1}f} {self._unit}/s" if speed else "")


@contextmanager
def bars_of_progress(
    console: Console, unit: str = "requests"
) -> Iterator[Callable[[str, int | None], Callable[..., None]]]:
    """Yield what adds a progress bar: (title, total) to a function that moves it on."""
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,}/{task.total}"),
        _RateColumn(unit),
        TimeRemainingColumn(),
        console=console,
    )

    def track(title: str, total: int | None) -> Callable[..., None]:
        task = progress.add_task(title, total=total)

        def advance(count: int = 1) -> None:
            progress.advance(task, count)

        return advance

    with progress:
        yield track


def print_summary(console: Console, summary: Summary) -> None:
    """Print what a job landed and spent, and what needs a look."""
    if summary.landings:
        table = Table("table")
        for name in ("inserted", "revised", "unchanged", "rejected"):
            table.add_column(name, justify="right")
        for name, landing in summary.landings.items():
            counts = (landing.inserted, landing.revised, landing.unchanged, landing.rejected)
            table.add_row(f"raw.{name}", *(f"{count:,}" for count in counts))
        console.print(table)
    lines = list(summary.notes)
    if summary.requests:
        lines.append(
            f"{summary.requests:,} requests in {summary.calls:,} calls, "
            f"{summary.byte_count / MB:,.1f} MB"
        )
    if summary.stray:
        lines.append(f"{summary.stray:,} rows of other dates than asked were left out")
    lines += _shown("no data for", summary.empty, ", ")
    lines += _shown("failed", summary.errors, "\n  ")
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _shown(what: str, items: Sequence[str], separator: str) -> list[str]:
    if not items:
        return []
    more = f"{separator}and {len(items) - SHOWN:,} more" if len(items) > SHOWN else ""
    return [f"{what} ({len(items):,}): {separator.join(items[:SHOWN])}{more}"]


def print_status(console: Console, warehouse: Path, plan: Plan, clock: Clock) -> None:
    """Print rows, range and newest landing of each raw table, and the budget used."""
    with open_warehouse(warehouse) as connection:
        table = Table("raw table")
        table.add_column("rows", justify="right")
        for name in ("from", "to", "landed (UTC)"):
            table.add_column(name, no_wrap=True)
        for name in RAW_TABLES:
            table.add_row(name, *_state(connection, name))
        history = logged_calls(connection, clock)
        budget = CallBudget(plan, clock, history, path=warehouse.with_name("budget_fmp.sqlite"))
    console.print(table)
    limits = PLANS[plan]
    console.print(
        f"plan {plan}: {budget.calls_used:,} of {limits.calls:,} calls in the last "
        f"{limits.per.name.lower()}, {budget.bytes_used / MB:,.1f} of "
        f"{(limits.bandwidth_bytes or 0) / MB:,.0f} MB in 30 days",
        soft_wrap=True,
    )


def _state(connection: duckdb.DuckDBPyConnection, name: str) -> list[str]:
    column = RANGE_COLUMNS.get(name, "null")
    row = connection.execute(
        f"select count(*), min({column})::date::varchar, max({column})::date::varchar, "
        f"strftime(max(landed_at), '%Y-%m-%d %H:%M') from raw.{name}"
    ).fetchall()[0]
    return [f"{row[0]:,}", *(value or "" for value in row[1:])]
