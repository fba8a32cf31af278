"""A run remakes what changed, alone, and comes to the same rows as a full refresh."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import duckdb
import pytest

from tests.warehouse_builder import run_dbt
from tests.warehouse_compare import built, differing_tables

pytestmark = pytest.mark.long

NEW_SESSION = date(2024, 12, 27)
REVISED_SESSION = date(2024, 11, 20)
CHANGES = [
    """update raw.bars_1m set close = close * 1.01, high = high * 1.02, volume = volume + 100,
        landed_at = landed_at + interval 1 second
        where symbol = $revised and session_date = '2024-11-20' and bar_at >= '2024-11-20 15:00'""",
    """update raw.bars_1d set high = high * 1.2, landed_at = landed_at + interval 1 second
        where symbol = $late_daily and session_date = '2024-12-11'""",
    "insert into raw.splits values ($split, '2024-12-18', 2, 1, 'fmp', '2024-12-28 02:00')",
    """insert into raw.profiles by name
        select * replace (date '2024-12-16' as as_of_date, true as is_etf)
        from raw.profiles where symbol = $revised""",
    "delete from raw.bars_1m where symbol = $shrunk and session_date = '2024-11-13'",
]


def hold_back(data_dir: Path, added: str) -> None:
    """Leave the newest session and one symbol's minute bars out, to land later."""
    with duckdb.connect(str(data_dir / "warehouse.duckdb")) as connection:
        for table in ("bars_1m", "bars_1d"):
            held = f"session_date = '{NEW_SESSION}'"
            if table == "bars_1m":
                held += f" or symbol = '{added}'"
            connection.execute(
                f"create table held_{table} as select * from raw.{table} where {held}"
            )
            connection.execute(f"delete from raw.{table} where {held}")
            connection.execute(
                f"update raw.{table} set landed_at = session_date + interval 26 hour"
            )


def land_the_rest(data_dir: Path) -> None:
    with duckdb.connect(str(data_dir / "warehouse.duckdb")) as connection:
        for table in ("bars_1m", "bars_1d"):
            connection.execute(f"insert into raw.{table} select * from held_{table}")


@pytest.fixture(scope="module")
def symbols(generated: Path) -> dict[str, str]:
    with built(generated) as connection:
        rows = connection.execute(
            "select symbol from raw.bars_1m where symbol not in (select symbol from raw.splits) "
            "group by symbol having count(distinct session_date) > 40 "
            "order by count(*) desc limit 5"
        ).fetchall()
    return dict(
        zip(
            ("revised", "late_daily", "split", "added", "shrunk"), (s for (s,) in rows), strict=True
        )
    )


@dataclass
class DailyRuns:
    """A warehouse after some runs, and the (model, symbol, session_date) that each of them made."""

    data_dir: Path
    made: list[set[tuple[str, str | None, date]]] = field(default_factory=list)

    def run(self, *options: str) -> None:
        before = self._ledger()
        run_dbt(self.data_dir, "run", *options)
        self.made.append({line[:3] for line in self._ledger() - before})

    def _ledger(self) -> set[tuple]:
        with built(self.data_dir) as connection:
            return set(
                connection.execute(
                    "select model, symbol, session_date, invocation_id "
                    "from intermediate.built_partitions"
                ).fetchall()
            )


@pytest.fixture(scope="module")
def daily_runs(
    generated: Path, symbols: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> DailyRuns:
    """History, the next day, and late changes: three runs."""
    runs = DailyRuns(tmp_path_factory.mktemp("incremental"))
    shutil.copyfile(generated / "warehouse.duckdb", runs.data_dir / "warehouse.duckdb")
    hold_back(runs.data_dir, symbols["added"])
    runs.run()
    land_the_rest(runs.data_dir)
    runs.run()
    with duckdb.connect(str(runs.data_dir / "warehouse.duckdb")) as connection:
        for change in CHANGES:
            names = {name: symbol for name, symbol in symbols.items() if f"${name}" in change}
            connection.execute(change, names)
    runs.run("--vars", "{build_chunk_rows: 5000}")
    return runs


def made(daily_runs: DailyRuns, model: str, run: int) -> set[tuple[str | None, date]]:
    """Return the partitions of a model that the run-th dbt run made and that stand since."""
    return {(symbol, day) for name, symbol, day in daily_runs.made[run] if name == model}


def test_a_full_refresh_gives_the_same_rows(daily_runs: DailyRuns, tmp_path: Path) -> None:
    shutil.copyfile(daily_runs.data_dir / "warehouse.duckdb", tmp_path / "warehouse.duckdb")
    run_dbt(tmp_path, "run", "--full-refresh")
    assert not differing_tables(daily_runs.data_dir, tmp_path)


def test_the_next_day_makes_the_new_session_and_the_new_symbol(
    daily_runs: DailyRuns, symbols: dict[str, str], generated: Path
) -> None:
    with built(generated) as connection:
        bars = connection.execute(
            "select distinct symbol, session_date from raw.bars_1m"
        ).fetchall()
    new = {(s, day) for s, day in bars if day == NEW_SESSION or s == symbols["added"]}
    assert made(daily_runs, "int_bars_1m_lagged", 1) == new
    assert made(daily_runs, "features_1m", 1) == new


def test_a_revised_session_is_remade_alone(daily_runs: DailyRuns, symbols: dict[str, str]) -> None:
    assert made(daily_runs, "int_bars_1m_lagged", 2) == {(symbols["revised"], REVISED_SESSION)}


def test_what_depends_on_a_change_is_remade(daily_runs: DailyRuns, symbols: dict[str, str]) -> None:
    pairs = made(daily_runs, "features_1m", 2)
    by_symbol = {s: sorted(day for symbol, day in pairs if symbol == s) for s, _ in pairs}
    assert by_symbol[symbols["revised"]][0] == REVISED_SESSION
    assert by_symbol[symbols["late_daily"]][0] == date(2024, 12, 12)
    assert by_symbol[symbols["split"]][0] >= date(2024, 12, 18)
    assert set(by_symbol) <= {symbols[n] for n in ("revised", "late_daily", "split", "shrunk")}


def test_a_session_that_is_gone_is_dropped(daily_runs: DailyRuns, symbols: dict[str, str]) -> None:
    with built(daily_runs.data_dir) as connection:
        for model in ("intermediate.int_bars_1m_lagged", "marts.features_1m", "marts.labels_1m"):
            ((count,),) = connection.execute(
                f"select count(*) from {model} where symbol = $symbol and session_date = $day",
                {"symbol": symbols["shrunk"], "day": date(2024, 11, 13)},
            ).fetchall()
            assert count == 0


def test_a_run_without_news_makes_nothing(daily_runs: DailyRuns) -> None:
    with built(daily_runs.data_dir) as connection:
        before = connection.execute("from intermediate.built_partitions order by all").fetchall()
    run_dbt(daily_runs.data_dir, "run")
    with built(daily_runs.data_dir) as connection:
        after = connection.execute("from intermediate.built_partitions order by all").fetchall()
    assert before == after


def test_another_definition_is_built_anew(daily_runs: DailyRuns, tmp_path: Path) -> None:
    """The vars that a model is made with are part of its definition, others are not."""
    shutil.copyfile(daily_runs.data_dir / "warehouse.duckdb", tmp_path / "warehouse.duckdb")
    run_dbt(tmp_path, "run", "--vars", "{label_up: 0.05, rvol_min: 3}")
    with built(tmp_path) as new, built(daily_runs.data_dir) as old:
        query = "select model, definition_hash from intermediate.built_models order by all"
        changed = set(new.execute(query).fetchall()) - set(old.execute(query).fetchall())
    assert [model for model, _ in changed] == ["labels_1m"]


def test_a_killed_build_goes_on_where_it_stopped(daily_runs: DailyRuns, tmp_path: Path) -> None:
    """As if killed after some chunks: of the rest neither rows nor ledger lines are there."""
    shutil.copyfile(daily_runs.data_dir / "warehouse.duckdb", tmp_path / "warehouse.duckdb")
    with duckdb.connect(str(tmp_path / "warehouse.duckdb")) as connection:
        for table in ("marts.features_1m", "intermediate.built_partitions"):
            model = " and model = 'features_1m'" if "built" in table else ""
            connection.execute(f"delete from {table} where session_date > '2024-12-02'{model}")
        connection.execute("insert into intermediate.build_scope values ('X', '2024-12-02')")
    run_dbt(tmp_path, "run")
    assert not differing_tables(daily_runs.data_dir, tmp_path)
