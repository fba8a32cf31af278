"""Replaying recorded days through the real loop: the monitor, on a scratch live database."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb

from ingest.settings import Settings
from live.broadcast import Broadcaster
from live.database import snapshot_version
from live.feeds import Polled
from live.feeds.replay import ReplayClock, ReplayFeed, Step
from live.messages import Rules
from live.monitor import Monitor
from live.recorded import Day, ReplayError, change_rules, cut_snapshot
from live.scoring import Scorer
from live.signals import Signal
from live.views import ensure_views
from live.warehouse import LiveWarehouse, open_live

Row = dict[str, Any]
Offline = tuple[str, datetime, str]
"""Symbol, bar_at and state of a signal that the rules give."""

Progress = Callable[[int, int], None]
"""Told of the steps done and of all there are."""


@dataclass(frozen=True)
class Replayed:
    """What came of a replay."""

    day: Day
    signals: list[Signal]
    offline: list[Offline]
    """The signals of the day by marts.entries_1m, of those that were replayed."""
    report: list[Row]
    """Rows of marts.parity_report."""
    cells: list[Row]
    """Rows of marts.parity_cells."""
    by_rules: list[Offline]
    """The signals that the rules give, in SQL, on the features as replayed."""
    by_changed_rules: list[Offline]
    """The same by the changed rules."""

    @property
    def replayed(self) -> list[Offline]:
        """The signals that the service gave."""
        return [(s.entry.symbol, s.entry.bar_at, s.entry.state) for s in self.signals]

    @property
    def bar_count(self) -> int:
        """The bars that were handed out."""
        return sum(step.bars.num_rows for step in self.day.steps)

    @property
    def unexplained(self) -> int:
        """The differing cells that nothing explains."""
        return sum(row["unexplained_count"] for row in self.report)


@dataclass(frozen=True)
class Stage:
    """A scratch folder with the views of live.duckdb, made once for any number of days."""

    settings: Settings
    snapshot: Path
    folder: Path

    @property
    def _template(self) -> Path:
        return self.folder / "live.duckdb"

    def replay(
        self,
        day: Day,
        changed_rules: Mapping[str, float] | None = None,
        progress: Progress = lambda done, count: None,
    ) -> Replayed:
        """Play a day through the service's loop; return what it served, held against batch."""
        with TemporaryDirectory(dir=self.folder) as scratch:
            live, published = Path(scratch) / "live.duckdb", Path(scratch) / "day.duckdb"
            shutil.copyfile(self._template, live)
            cut_snapshot(self.snapshot, published, day, self._nightly_relations())
            with open_live(live, published) as warehouse:
                signals = _play(day, warehouse, self.settings, progress)
                report = warehouse.read("from marts.parity_report order by ordinal")
                cells = warehouse.read("from marts.parity_cells order by all")
                offline = _entries(warehouse, "published.marts.entries_1m", day)
                by_rules = _entries(warehouse, "marts.entries_1m", day)
            change_rules(published, changed_rules or {})
            with open_live(live, published) as warehouse:
                by_changed_rules = _entries(warehouse, "marts.entries_1m", day)
        return Replayed(day, signals, offline, report, cells, by_rules, by_changed_rules)

    def _nightly_relations(self) -> set[str]:
        """Return what the views read of the published snapshot."""
        with duckdb.connect(str(self._template), read_only=True) as connection:
            texts = connection.execute("select sql from duckdb_views() where not internal")
            return {
                f"{schema}.{name}"
                for (text,) in texts.fetchall()
                for schema, name in re.findall(r'"?published"?\."?(\w+)"?\."?(\w+)"?', text)
            }


@contextmanager
def stage(settings: Settings) -> Iterator[Stage]:
    """Make the scratch folder, with the views as dbt makes them for the service."""
    snapshot = snapshot_version(settings.published_path)
    with TemporaryDirectory(prefix="replay_") as folder:
        scratch = settings.model_copy(update={"data_dir": Path(folder)})
        for name in ("warehouse_path", "published_path", "live_path"):
            scratch.__dict__.pop(name, None)  # cached of the original
        scratch.published_path.parent.mkdir()
        scratch.published_path.symlink_to(snapshot)
        ensure_views(scratch)
        yield Stage(settings, snapshot, Path(folder))


def parse_changes(texts: Sequence[str]) -> dict[str, float]:
    """Return the rules that `rule=value` texts change; raise ReplayError where one does not."""
    rules = {rule.name for rule in fields(Rules)}
    changes = {}
    for text in texts:
        rule, _, value = text.partition("=")
        if rule not in rules:
            raise ReplayError(f"{rule!r} is no rule: the rules are {', '.join(sorted(rules))}")
        try:
            changes[rule] = float(value)
        except ValueError as error:
            raise ReplayError(
                f"{text!r} gives {rule} no number: write {rule}=3, for instance"
            ) from error
    return changes


def _play(
    day: Day, warehouse: LiveWarehouse, settings: Settings, progress: Progress
) -> list[Signal]:
    """Play the day through the monitor; return its signals."""
    in_time = [step for step in day.steps if step.at < day.session.ends_at]
    clock = ReplayClock(day.session.pre_open_at)
    feed = ReplayFeed(in_time, day.quotes)
    monitor = Monitor(
        warehouse,
        feed,
        clock,
        Broadcaster(warehouse.last_seq()),
        Scorer(settings.data_dir, *warehouse.feature_definitions()),
        warehouse_path=settings.warehouse_path,
        tick_seconds=settings.live_tick_seconds,
    )
    signals = monitor.tick()  # the service runs before the first bar: no entry is too old to send
    for number, step in enumerate(in_time, 1):
        clock.at = max(step.at, day.session.pre_open_at)
        signals += monitor.tick()
        progress(number, len(in_time))
    problems = {part: why for part, why in monitor.problems.items() if part != "model"}
    if problems:
        raise ReplayError("; ".join(f"{part}: {why}" for part, why in problems.items()))
    _land_late(day.steps[len(in_time) :], warehouse)
    return signals


def _land_late(steps: Sequence[Step], warehouse: LiveWarehouse) -> None:
    """Land what came after the session, for the report to know of."""
    for step in steps:
        warehouse.land_poll(Polled(bars=[step.bars]), step.provider, step.at)


def _entries(warehouse: LiveWarehouse, relation: str, day: Day) -> list[Offline]:
    rows = warehouse.read(
        f"select symbol, bar_at, state from {relation} "
        "where session_date = $session_date and symbol in (select unnest($symbols)) "
        "order by bar_at, symbol",
        {"session_date": day.session.session_date, "symbols": day.symbols},
    )
    return [(row["symbol"], row["bar_at"], row["state"]) for row in rows]
