"""A simulated week without a restart, clean and with faults: the signals, held against each other.

`python -m tests.bench.week [--feed poll|massive|massive,poll] [--sessions 5]` plays both runs, each
in a process of its own. Where a signal is not the same, week_signals.sql says which data was not;
status 1 where none was, where live and batch differ without a cause, where a bar of the market is
missing in the end of the clean run, or where memory grows.
"""

from __future__ import annotations

import multiprocessing
import tempfile
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import duckdb
import typer

from ingest.settings import Settings
from ingest.simulator.generated import GeneratedMarket
from live.parity import read_parity
from live.views import ensure_views
from tests.bench.live_market import RULES
from tests.bench.week_market import WEEK, Spell
from tests.bench.week_run import Plan, Ran, Stretch, copy_morning, play
from tests.warehouse_builder import land_generated, run_dbt

FIRST, LAST = date(2024, 11, 1), date(2024, 12, 27)
"""The last five sessions have a weekend, a half day and a holiday."""
WARM_UP = 1
"""Sessions until memory is what it stays."""
MOST_GROWTH = 1.1
"""Of memory, from the first session after the warm-up to the last."""
COMPARE = Path(__file__).with_name("week_signals.sql").read_text()


@dataclass(frozen=True)
class Built:
    """A run, and what dbt makes of the warehouse that it filled."""

    ran: Ran
    bars: int
    signals: int
    unsent: int
    """Signals that are stored and were not sent, or sent otherwise."""
    market_bars: int
    """Bars of the market in what was played."""
    lacking: int
    """Of these, the ones that are not there in the end, or are other ones."""
    revisions: int
    cells: int
    causes: Counter[str]
    """Differing cells of live and batch by cause."""


def main(
    feed: str = "massive,poll", sessions: int = 5, symbols: int = 12, folder: Path | None = None
) -> None:
    """Play the last SESSIONS of the history twice and print how they compare."""
    with tempfile.TemporaryDirectory(prefix="week") as scratch:
        data_dir = folder or Path(scratch)
        dates = make_morning(data_dir / "morning", symbols, sessions)
        clean, faulty = play_both(data_dir, feed, dates, WEEK)
        for name, built in (("clean", clean), ("faulty", faulty)):
            print(f"{name}: {described(built)}", flush=True)
        verdicts = compare(data_dir / "clean", data_dir / "faulty")
        print(f"{feed}, {sessions} sessions: signals {told(verdicts)}")
    raise typer.Exit(0 if is_proven(clean, faulty, verdicts) else 1)


def make_morning(folder: Path, symbols: int, sessions: int, first: date = FIRST) -> list[date]:
    """Build history and week, publish both; then take the week's bars out of the warehouse again.

    Returns the week's sessions.
    """
    warehouse, market = folder / "warehouse.duckdb", GeneratedMarket()
    folder.mkdir(parents=True)
    land_generated(warehouse, market, market.watchlist_grade()[:symbols], first, LAST)
    run_dbt(folder, "run", "--vars", RULES)
    with duckdb.connect(str(warehouse)) as connection:
        newest = "select distinct session_date from raw.bars_1m order by 1 desc limit $count"
        dates = [row[0] for row in connection.execute(newest, {"count": sessions}).fetchall()]
        connection.execute(
            "delete from raw.bars_1m where session_date >= $day", {"day": min(dates)}
        )
    ensure_views(Settings(data_dir=folder, dbt_vars=RULES, _env_file=None))  # type: ignore[call-arg]
    return sorted(dates)


def play_both(
    folder: Path,
    feed: str,
    dates: Sequence[date],
    spells: Sequence[Spell],
    stretches: Sequence[Stretch] = Plan.stretches,
) -> tuple[Built, Built]:
    """Play the week clean and with faults, side by side."""
    plans = [
        Plan(folder / name, feed, RULES, dates, wrong, stretches)
        for name, wrong in (("clean", None), ("faulty", spells))
    ]
    for plan in plans:
        copy_morning(folder / "morning", plan.data_dir)
    processes = multiprocessing.get_context("spawn")  # memory of its own, nothing of the building
    with ProcessPoolExecutor(2, processes) as pool:
        ran = list(pool.map(play, plans))
    return tuple(build(*pair) for pair in zip(plans, ran, strict=True))  # type: ignore[return-value]


def build(plan: Plan, ran: Ran) -> Built:
    """Have dbt build what the run flushed; return what there is to tell."""
    run_dbt(plan.data_dir, "run", "--select", "+parity_report", "--vars", plan.dbt_vars)
    causes: Counter[str] = Counter()
    cells = 0
    for day in plan.session_dates:
        report, differing = read_parity(plan.data_dir / "published" / "warehouse.duckdb", day)
        cells += sum(row["rows_compared"] for row in report)
        causes.update(cell["cause"] for cell in differing)
    with duckdb.connect(str(plan.data_dir / "warehouse.duckdb"), read_only=True) as connection:
        morning = plan.data_dir.parent / "morning" / "published" / "warehouse.duckdb"
        connection.execute(f"attach '{morning}' as morning (read_only)")
        ((bars, revisions, market_bars, lacking),) = connection.execute(
            COUNTS, {"dates": list(plan.session_dates)}
        ).fetchall()
        stored = dict(connection.execute("select seq, payload from raw.signals").fetchall())
    unsent = len(stored.items() ^ ran.sent.items())
    return Built(ran, bars, len(stored), unsent, market_bars, lacking, revisions, cells, causes)


COUNTS = """
with landed as (
    from raw.bars_1m where session_date in (select unnest($dates))
    qualify row_number() over (partition by symbol, bar_at order by provider) = 1
),
wanted as (
    from morning.raw.bars_1m where session_date in (select unnest($dates))
)
select
    (select count(*) from raw.bars_1m where session_date in (select unnest($dates))),
    (select count(*) from raw.bar_revisions where session_date in (select unnest($dates))),
    count(*),
    count(*) filter (
        landed.bar_at is null or (landed.open, landed.high, landed.low, landed.close, landed.volume)
        is distinct from (wanted.open, wanted.high, wanted.low, wanted.close, wanted.volume)
    )
from wanted left join landed on wanted.symbol = landed.symbol and wanted.bar_at = landed.bar_at
"""


def compare(clean: Path, faulty: Path) -> Counter[str]:
    """Return how many signals of either run are equal, and why the others are not."""
    with duckdb.connect() as connection:
        for name, folder in (("clean", clean), ("faulty", faulty)):
            connection.execute(f"attach '{folder}/warehouse.duckdb' as {name} (read_only)")
        rows = connection.execute(COMPARE).fetchall()
    return Counter(dict(rows))


def growth(ran: Ran) -> float:
    """Return memory after the last session over that after the first one past the warm-up."""
    return ran.memory_mb[-1] / ran.memory_mb[min(WARM_UP, len(ran.memory_mb) - 1)]


def is_proven(clean: Built, faulty: Built, verdicts: Counter[str]) -> bool:
    """Return whether nothing is unexplained or lost and memory is flat."""
    both = (clean, faulty)
    return not (
        verdicts["unexplained"]
        or clean.lacking
        or clean.causes
        or any(one.unsent or one.ran.sent_twice or one.causes["unexplained"] for one in both)
        or any(growth(one.ran) > MOST_GROWTH for one in both)
    )


def described(built: Built) -> str:
    """Return what there is to tell of a run in a few lines."""
    ran = built.ran
    return "\n  ".join(
        (
            f"{len(ran.memory_mb)} sessions, {ran.ticks:,} ticks ({ran.failed_ticks} failed), "
            f"{ran.requests:,} requests, {ran.flushes} flushed",
            f"{built.bars:,} bars, {built.revisions:,} superseded versions; of the market's "
            f"{built.market_bars:,} {built.lacking:,} are missing or other ones in the end",
            f"{built.signals:,} signals, {built.unsent} of them not sent as stored, "
            f"{ran.sent_twice} sent twice; {ran.late_entries} entries too late to be sent",
            f"{built.cells:,} values held against batch: {told(built.causes) or 'all equal'}",
            f"faults: {told(ran.faults)}",
            f"health told, in ticks: {told(ran.problems) or 'nothing'}",
            f"memory after each session {', '.join(f'{mb:,.0f}' for mb in ran.memory_mb)} MB: "
            f"last over first after the warm-up {growth(ran):.2f}",
        )
    )


def told(counts: Counter[str]) -> str:
    """Return counts by name in a line."""
    return ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items()))


if __name__ == "__main__":
    typer.run(main)
