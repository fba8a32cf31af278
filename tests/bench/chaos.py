"""Chaos: ingest is killed again and again while the provider fails, and ends with every row.

`python -m tests.bench.chaos --runs 300` prints runs, kills, faults by kind, rows lost or double.
"""

from __future__ import annotations

import multiprocessing
import random
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import typer

from ingest.calendar import land_calendar
from ingest.clock import SimulatedClock
from ingest.simulator.faults import RATES, Faults
from ingest.simulator.generated import GeneratedMarket
from ingest.simulator.server import SimulatedServer
from ingest.warehouse import open_warehouse
from tests.bench.chaos_job import DONE, Place, work

START = datetime(2025, 9, 2, 12, 30)
SPEED = 500
MARKET = GeneratedMarket(seed=7, symbol_count=60)
DAILY_SYMBOLS, MINUTE_SYMBOLS, SESSIONS = 12, 4, ("2025-08-27", "2025-08-28", "2025-08-29")
MOST_STARTS = 60

VALUE_FAULTS = {
    *("nan", "float_volume", "null_volume", "revised_bars"),
    *("disagreeing_bars", "missing_sessions"),
}
"""They change values for good, so tables would differ rightly; other tests cover them."""
OTHER_FAULTS = {"payment_required", "slow", *VALUE_FAULTS}
KINDS = tuple(name for name in RATES if name not in OTHER_FAULTS)

TABLES = {
    "bars_1m": "symbol, session_date, bar_at, open, high, low, close, volume",
    "bars_1d": "symbol, session_date, open, high, low, close, volume",
    "splits": "symbol, split_date, numerator, denominator",
}

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.bench.chaos_job"])

Tables = dict[str, list[tuple[Any, ...]]]


@dataclass
class Outcome:
    """What one run went through, and how its tables differ from the calm run's."""

    faults: Counter[str] = field(default_factory=Counter)
    kills: int = 0
    calls: int = 0
    lost: int = 0
    double: int = 0
    wrong: int = 0
    is_done: bool = True


def run_once(seed: int, calm: Tables | None, *, kills: int = 3) -> tuple[Outcome, Tables]:
    """Run ingest to its end with the faults and kills of `seed`; without `calm`, undisturbed."""
    rng = random.Random(seed)
    outcome = Outcome()
    clock = SimulatedClock.starting(START, SPEED)
    faults = Faults() if calm is None else _faults(seed, rng)
    with (
        tempfile.TemporaryDirectory(prefix="chaos") as folder,
        SimulatedServer(MARKET, clock, plan="ultimate", faults=faults) as server,
    ):
        place = Place(server.base_url, str(clock), Path(folder))
        _want(place.data_dir / "warehouse.duckdb")
        outcome.is_done = _run_to_end(place, rng, outcome, 0 if calm is None else kills)
        tables = _tables(place.data_dir / "warehouse.duckdb")
        outcome.calls = len(server.requests)
        outcome.faults = Counter(name for asked in server.requests for name in asked.faults)
    if calm is not None:
        _compare(outcome, tables, calm)
    return outcome, tables


def _faults(seed: int, rng: random.Random) -> Faults:
    chosen = rng.sample(KINDS, 4)
    return Faults(seed=seed, **{name: rng.uniform(0.02, 0.25) for name in chosen})


def _run_to_end(place: Place, rng: random.Random, outcome: Outcome, kills: int) -> bool:
    for _ in range(MOST_STARTS):
        process = CONTEXT.Process(target=work, args=(place,), daemon=True)
        process.start()
        if outcome.kills < kills:
            process.join(rng.uniform(0.05, 1.2))
            if process.is_alive():
                process.kill()
                outcome.kills += 1
        process.join(60)
        if process.exitcode == DONE:
            return True
    return False


def _want(warehouse: Path) -> None:
    """Make the views of what is to be bought, as dbt would: less what the ledger has."""
    living = [s for s in MARKET.symbols() if MARKET.profile(s).delisted_date is None]
    splitting = [s.symbol for s in MARKET.splits() if str(s.split_date)[:4] == "2025"][:4]
    daily = sorted({*splitting, *living[:DAILY_SYMBOLS]})
    minutes = sorted({*splitting[:2], *MARKET.watchlist_grade()[:MINUTE_SYMBOLS]})
    bought = "select {} from raw.fetch_log where endpoint = '{}' and outcome in ('ok', 'empty')"
    with open_warehouse(warehouse) as connection:
        land_calendar(connection, SimulatedClock(START, 0, 0))
        connection.execute("create schema marts")
        connection.execute(
            "create view marts.daily_requests as select symbol, date '2025-05-01' as from_date, "
            f"date '2025-08-29' as to_date from (select unnest({daily!r}) as symbol) "
            f"where symbol not in ({bought.format('symbol', 'bars_1d')})"
        )
        connection.execute(
            "create view marts.minute_requests as select symbol, session_date::date as "
            f"session_date from (select unnest({minutes!r}) as symbol) cross join "
            f"(select unnest({list(SESSIONS)!r}) as session_date) where (symbol, "
            f"session_date::date) not in ({bought.format('(symbol, from_date)', 'bars_1m')})"
        )


def _tables(warehouse: Path) -> Tables:
    with open_warehouse(warehouse) as connection:
        return {
            table: connection.execute(f"select {columns} from raw.{table}").fetchall()
            for table, columns in TABLES.items()
        }


def _compare(outcome: Outcome, found: Tables, calm: Tables) -> None:
    for table, rows in found.items():
        have, should = Counter(rows), Counter(calm[table])
        outcome.lost += (should - have).total()
        outcome.double += sum(count - 1 for count in have.values())
        outcome.wrong += len(have.keys() - should.keys())


def main(runs: int = 300, first_seed: int = 1, seconds: float = 1e9) -> None:
    """Run until `runs` or `seconds` are over; exit with 1 where a row was lost."""
    started = time.monotonic()
    undisturbed, calm = run_once(0, None)
    assert undisturbed.is_done, "the calm run did not end"
    total, count, failed = Outcome(), 0, []
    for seed in range(first_seed, first_seed + runs):
        if time.monotonic() - started > seconds:
            break
        outcome, _ = run_once(seed, calm)
        count += 1
        for name in ("kills", "calls", "lost", "double", "wrong"):
            setattr(total, name, getattr(total, name) + getattr(outcome, name))
        total.faults += outcome.faults
        if outcome.lost or outcome.double or outcome.wrong or not outcome.is_done:
            failed.append(seed)
            print(f"seed {seed}: {outcome}", flush=True)
    rows = {table: len(rows) for table, rows in calm.items()}
    print(f"{count} runs in {time.monotonic() - started:.0f} s, rows of a calm run: {rows}")
    print(f"{total.kills} kills, {total.calls:,} calls, {total.faults.total():,} faults:")
    for name, number in total.faults.most_common():
        print(f"  {name} {number:,}")
    print(f"rows lost {total.lost}, double {total.double}, wrong {total.wrong}; failed {failed}")
    raise typer.Exit(bool(failed))


if __name__ == "__main__":
    typer.run(main)
