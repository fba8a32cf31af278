"""Every SQL block of the README and of docs/queries.md runs, and answers something."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from ingest.settings import ROOT

BLOCK = re.compile(r"^#+ (?P<heading>.+?)$|^```sql\n(?P<sql>.*?)^```", re.MULTILINE | re.DOTALL)

LIVED_THROUGH = """
    -- The generated market has no live service, no training, no requests and nothing wrong.
    insert into raw.signals by name
    select
        row_number() over (order by entries.bar_at) as seq,
        entries.* exclude (available_at),
        entries.available_at + interval 2 second as emitted_at,
        features.close as price,
        0.7 as score,
        0.6 as thr,
        'run' as model_run,
        '{}' as payload,
        'fmp' as provider,
        entries.available_at as landed_at
    from marts.entries_1m as entries
    inner join marts.features_1m as features using (symbol, bar_at);

    insert into raw.provisional_events by name
    select
        symbol, session_date, session_segment, bar_at, event, state, price, provider, landed_at,
        emitted_at as happened_at
    from raw.signals, (values ('provisional'), ('retracted')) as events (event);

    insert into raw.model_runs (run_id, horizon_minutes, trained_at, provider, landed_at)
    values ('run', 30, '2024-12-27', 'ml', '2024-12-27');

    insert into raw.fetch_log (request_id, requested_at, endpoint, outcome, provider, landed_at)
    values ('1', '2024-12-27', 'bars_1m', 'ok', 'fmp', '2024-12-27');

    insert into raw.rejected_rows (table_name, reason, provider, landed_at)
    values ('bars_1m', 'high < low', 'fmp', '2024-12-27');

    insert into marts.parity_cells (symbol, session_date, bar_at, feature, kind, cause, difference)
    values ('ABCD', '2024-12-27', '2024-12-27 15:00', 'vwap', 'mismatch', 'revised bar', 0.01);

    insert into marts.data_quality by name
    select symbol, session_date, 'missing_minute_count' as check_name, 60 as figure,
        'info' as severity, 'RTH minutes without a bar' as meaning
    from marts.watchlist
    limit 1;
"""


def queries(page: str) -> list[tuple[str, str]]:
    """Return heading and statement of every SQL block of a page."""
    found, heading = [], ""
    for match in BLOCK.finditer((ROOT / page).read_text()):
        heading = match["heading"] or heading
        statements = duckdb.extract_statements(match["sql"]) if match["sql"] else []
        found += [(heading, statement.query.strip()) for statement in statements]
    return found


EXAMPLES = queries("docs/queries.md")
ALL = EXAMPLES + queries("README.md")


@pytest.fixture(scope="module")
def lived_through(
    generated: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[duckdb.DuckDBPyConnection]:
    """The generated market as a warehouse that also saw signals, training and requests."""
    path = tmp_path_factory.mktemp("queries") / "warehouse.duckdb"
    shutil.copyfile(generated / "warehouse.duckdb", path)
    with duckdb.connect(path) as connection:
        connection.execute(LIVED_THROUGH)
        yield connection
    path.unlink()


@pytest.mark.parametrize("statement", [sql for _, sql in ALL], ids=[name for name, _ in ALL])
def test_query_answers(lived_through: duckdb.DuckDBPyConnection, statement: str) -> None:
    assert lived_through.execute(statement).fetchall()


def test_queries_run_on_the_snapshot(generated: Path) -> None:
    with duckdb.connect(generated / "published" / "warehouse.duckdb", read_only=True) as snapshot:
        answers = [snapshot.execute(statement).fetchall() for _, statement in ALL]
    assert sum(map(bool, answers)) >= len(ALL) - 8  # those that LIVED_THROUGH is for


def test_each_example_has_its_question() -> None:
    headings = [heading for heading, _ in EXAMPLES]
    assert len(headings) == len(set(headings)) >= 12
    assert all(heading.endswith("?") for heading in headings)
