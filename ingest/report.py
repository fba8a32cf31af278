"""What a job shows: progress with a rate and the time left, a summary at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

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

from ingest.batches import Summary
from ingest.budget import MB

SHOWN = 10
"""Symbols and errors that are shown before the rest is only counted."""


class _RateColumn(ProgressColumn):
    """Units a second."""

    def __init__(self, unit: str) -> None:
        self._unit = unit
        super().__init__()

    def render(self, task: Task) -> Text:
        elapsed = task.finished_time or task.elapsed
        speed = task.completed / elapsed if elapsed else 0.0
        return Text(f"{speed:,.{0 if speed >= 10 else 1}f} {self._unit}/s" if speed else "")


class _BudgetColumn(ProgressColumn):
    """What is used of the call budget."""

    max_refresh = 0.5

    def render(self, task: Task) -> Text:
        tell_budget = task.fields.get("tell_budget")
        return Text(tell_budget() if tell_budget else "")


@contextmanager
def bars_of_progress(
    console: Console, unit: str = "requests"
) -> Iterator[Callable[..., Callable[..., None]]]:
    """Yield what adds a progress bar: (title, total) to a function that moves it on.

    A third argument, a function, tells what is used of the budget.
    """
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,}/{task.total}"),
        _RateColumn(unit),
        TimeRemainingColumn(),
        _BudgetColumn(),
        console=console,
    )

    def track(
        title: str, total: int | None, tell_budget: Callable[[], str] | None = None
    ) -> Callable[..., None]:
        task = progress.add_task(title, total=total, tell_budget=tell_budget)

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
