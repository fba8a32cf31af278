"""`python -m live replay` and `python -m live parity`: what live said, held against batch."""

from __future__ import annotations

import time
from datetime import date

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ingest.settings import Settings
from live.database import snapshot_version
from live.parity import print_changed_rules, print_parity, print_signals, read_parity
from live.recorded import ReplayError, newest_replayable, read_day
from live.replay import Replayed, stage


def replay_session(
    settings: Settings,
    session_date: date | None,
    changes: dict[str, float],
    every_minutes: int | None,
) -> bool:
    """Replay a session (None: the newest that is recorded) and print what came of it.

    Return whether live equals batch: nothing is unexplained and, where bars came as they stand
    now, the signals are those of marts.entries_1m.
    """
    console = Console(highlight=False, soft_wrap=True)
    snapshot = snapshot_version(settings.published_path)
    session_date = session_date or newest_replayable(snapshot)
    day = read_day(snapshot, session_date, every_minutes)
    if not day.had_watchlist:
        console.print(
            f"no watchlist was made for {session_date}: all {len(day.symbols)} symbols with bars "
            "are replayed"
        )
    console.print("creating the views of a scratch live database (dbt) …")
    with stage(settings) as scratch, _progress(console) as progress:
        task = progress.add_task(f"replaying {session_date}", total=None)
        started = time.monotonic()
        replayed = scratch.replay(
            day,
            changes,
            progress=lambda done, count: progress.update(task, completed=done, total=count),
        )
        seconds = time.monotonic() - started
    console.print(
        f"{session_date}: {replayed.bar_count:,} bars of {len(day.symbols)} symbols in "
        f"{len(day.steps):,} steps, {seconds:.1f} s"
    )
    _print(console, replayed, changes)
    same = set(replayed.replayed) == set(replayed.offline) or every_minutes is None
    return same and not replayed.unexplained


def _print(console: Console, replayed: Replayed, changes: dict[str, float]) -> None:
    print_parity(console, replayed.report, replayed.cells)
    print_signals(console, replayed)
    if changes:
        print_changed_rules(console, replayed, changes)


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )


def print_report(settings: Settings, session_date: date | None) -> bool:
    """Print the parity report of a session that was served live; return whether all is explained.

    Raises ReplayError where it was not served.
    """
    report, cells = read_parity(snapshot_version(settings.published_path), session_date)
    if not report:
        raise ReplayError(
            f"the snapshot knows of nothing served live on {session_date or 'any day'}: a day that "
            "python -m live serve watched is in it after its close and make features"
        )
    print_parity(Console(highlight=False, soft_wrap=True), report, cells)
    return not any(row["unexplained_count"] for row in report)
