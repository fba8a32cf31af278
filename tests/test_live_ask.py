"""What /sql and /why say of a real live day, by dbt's own views, is what the service acts on."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from ingest.settings import Settings
from live.answers import to_json
from live.feeds import Polled
from live.prompt.copies import Copies
from live.prompt.runner import Runner, SqlQuery
from live.routes.why import NEWEST_RULES, SCANNED
from live.states import CLOSES, NEWEST_STATES
from live.views import ensure_views
from live.warehouse import LiveWarehouse, open_live
from tests.live_fixture import HandClock

DAY = date(2024, 12, 20)
LANDED_AT = datetime(2024, 12, 21, 2)
ANY_BREAKOUT = "{move_min: 0.01, rvol_min: 1.1, base_range_max: 0.1, gap_min: 0.02}"


@pytest.fixture(scope="module")
def day(generated: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveWarehouse]:
    """A live database with all bars of one session of the generated market."""
    data_dir = tmp_path_factory.mktemp("live_day")
    shutil.copytree(generated / "published", data_dir / "published", symlinks=True)
    settings = Settings(data_dir=data_dir, dbt_vars=ANY_BREAKOUT, _env_file=None)  # type: ignore[call-arg]
    with duckdb.connect(str(settings.published_path), read_only=True) as snapshot:
        bars = snapshot.sql(
            "select * exclude (provider, landed_at) from raw.bars_1m where session_date = $day",
            params={"day": DAY},
        ).to_arrow_table()
    ensure_views(settings)
    with open_live(settings.live_path, settings.published_path) as warehouse:
        warehouse.land_poll(Polled(bars=[bars]), "fmp", LANDED_AT)
        warehouse.freshen(DAY, datetime(2024, 12, 20))
        yield warehouse


def of_first_symbol(warehouse: LiveWarehouse) -> dict[str, Any]:
    (row,) = warehouse.read("select min(symbol) as symbol from raw.bars_1m")
    return {**row, "session_date": DAY}


def test_sql_answers_the_rows_that_the_service_reads(day: LiveWarehouse, tmp_path: Path) -> None:
    query = "select * from marts.states_1m where symbol = $symbol order by bar_at"
    parameters = {"symbol": of_first_symbol(day)["symbol"]}
    runner = Runner(Copies(day, HandClock(LANDED_AT), tmp_path / "live_sql"), 60, 1_024)
    answer = json.loads(asyncio.run(runner.answer(SqlQuery(query, parameters=parameters))))
    names = [column["name"] for column in answer["columns"]]
    rows = [dict(zip(names, row, strict=True)) for row in answer["rows"]]
    assert len(rows) > 300
    assert rows == [to_json(row) for row in day.read(query, parameters)]


def test_bounded_read_has_the_same_values(day: LiveWarehouse, tmp_path: Path) -> None:
    query = "select * from marts.states_1m where bar_at >= '2024-12-20 20:30' order by all"
    runner = Runner(Copies(day, HandClock(LANDED_AT), tmp_path / "live_sql"), 60, 1_024)
    whole, bounded = (
        json.loads(asyncio.run(runner.answer(SqlQuery(query, rows_from=rows_from))))["rows"]
        for rows_from in (None, datetime(2024, 12, 20, 20, 30))
    )
    assert len(whole) > 100
    assert [rounded(row) for row in bounded] == [rounded(row) for row in whole]


def rounded(row: list[Any]) -> list[Any]:
    """Sums depend on the order that bars lie in."""
    return [float(f"{cell:.9g}") if isinstance(cell, float) else cell for cell in row]


def test_states_are_what_the_rules_say(day: LiveWarehouse) -> None:
    (counts,) = day.read(
        """
        with said as (
            select symbol, bar_at, bool_and(passes) filter (is_required) as is_entry,
                bool_or(passes) filter (rule = 'pumped') as is_pumped
            from marts.rule_checks_1m
            group by symbol, bar_at
        )
        select count(*) as bars, count(*) filter (states.is_entry) as entries,
            count(*) filter (
                states.is_entry is distinct from said.is_entry
                or states.is_pumped is distinct from said.is_pumped
            ) as differing
        from marts.states_1m as states left join said using (symbol, bar_at)
        """
    )
    assert counts["bars"] > 3_000
    assert counts["entries"] > 0
    assert counts["differing"] == 0


def test_rules_are_those_of_the_newest_bar(day: LiveWarehouse) -> None:
    symbol = of_first_symbol(day)
    newest = "select max(bar_at) as bar_at from marts.features_1m where symbol = $symbol"
    ((at,),) = [row.values() for row in day.read(newest, {"symbol": symbol["symbol"]})]
    rows = day.read(NEWEST_RULES, symbol)
    assert {row["bar_at"] for row in rows} == {at}
    assert [row["rule"] for row in rows] == [
        "pumped", "rvol_1m", "base_range", "move_prev", "spread",
    ]  # fmt: skip


def test_every_unknown_value_is_explained(day: LiveWarehouse) -> None:
    (counts,) = day.read(
        "select count(*) as unknown, count(null_rule) as explained "
        "from marts.rule_checks_1m where value is null"
    )
    assert counts["unknown"] == counts["explained"] > 0


def test_scanner_says_of_every_symbol_why(day: LiveWarehouse) -> None:
    (row,) = day.read(SCANNED, of_first_symbol(day))
    assert row["is_watched"] or row["requirement"]


def test_outcomes_are_counted_by_the_funnel(day: LiveWarehouse) -> None:
    differing = day.read(
        """
        select funnel.session_date, funnel.step
        from published.marts.scanner_funnel as funnel
        left join published.marts.scanner_outcomes as outcomes
            on funnel.session_date = outcomes.session_date
            and coalesce(outcomes.failed_step, 6) > funnel.step
        group by all
        having count(outcomes.symbol) <> any_value(funnel.symbols_out)
        """
    )
    assert differing == []


def test_states_count_the_rules_that_why_lists(day: LiveWarehouse) -> None:
    rows = day.read(NEWEST_STATES, {"session_date": DAY, "closes": CLOSES})
    listed = {}
    for row in rows:
        checks = day.read(NEWEST_RULES, {"symbol": row["symbol"], "session_date": DAY})
        required = [check for check in checks if check["is_required"]]
        failing = [check["rule"] for check in required if not check["passes"]]
        listed[row["symbol"]] = (len(required), len(required) - len(failing), [*failing, None][0])
    counted = {r["symbol"]: (r["rules"], r["rules_passed"], r["failing_rule"]) for r in rows}
    assert counted
    assert counted == listed


def test_states_are_the_newest_rows_with_their_closes(day: LiveWarehouse) -> None:
    (row, *_) = day.read(NEWEST_STATES, {"session_date": DAY, "closes": 3})
    newest = day.read(
        "select bar_at, close from marts.states_1m "
        "where symbol = $symbol and session_date = $session_date order by bar_at desc limit 3",
        {"symbol": row["symbol"], "session_date": DAY},
    )
    assert row["bar_at"] == newest[0]["bar_at"]
    assert row["closes"] == [bar["close"] for bar in reversed(newest)]
