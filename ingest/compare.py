"""Where two sources disagree on the same bars."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import duckdb
from rich.console import Console
from rich.table import Table

BarTable = Literal["bars_1m", "bars_1d"]
STAMPS: dict[BarTable, str] = {"bars_1m": "bar_at", "bars_1d": "session_date"}
SHOWN = 10

DIFFERENCES = """
with one as (select * from raw.{table} where provider = $one),
other as (select * from raw.{table} where provider = $other),
shared_days as (
    select symbol, session_date from one intersect select symbol, session_date from other
),
paired as (
    select
        coalesce(one.symbol, other.symbol) as symbol,
        coalesce(one.session_date, other.session_date) as session_date,
        coalesce(one.{stamp}, other.{stamp}) as stamp,
        one.symbol is not null as is_in_one,
        other.symbol is not null as is_in_other,
        one.close as close_one,
        other.close as close_other,
        greatest(
            abs(one.open / other.open - 1), abs(one.high / other.high - 1),
            abs(one.low / other.low - 1), abs(one.close / other.close - 1)
        ) as price_difference,
        one.volume as volume_one,
        other.volume as volume_other,
        abs(one.volume - other.volume) / nullif(greatest(one.volume, other.volume), 0)
            as volume_difference
    from (select * from one semi join shared_days using (symbol, session_date)) as one
    full join (select * from other semi join shared_days using (symbol, session_date)) as other
        on one.symbol = other.symbol and one.{stamp} = other.{stamp}
)
"""

COUNTS = """
select
    count(*) filter (is_in_one and is_in_other),
    count(*) filter (not is_in_other),
    count(*) filter (not is_in_one),
    count(*) filter (price_difference > $price_tolerance),
    count(*) filter (volume_difference > $volume_tolerance)
from paired
"""

WORST = """
select symbol, stamp, close_one, close_other, price_difference, volume_one, volume_other
from paired
where price_difference > $price_tolerance
order by price_difference desc, symbol, stamp
limit $shown
"""


@dataclass(frozen=True)
class Comparison:
    """Bars of the symbols and sessions that both sources have."""

    table: BarTable
    in_both: int
    only_one: int
    only_other: int
    prices_differ: int
    volumes_differ: int
    worst: list[tuple[Any, ...]]
    """symbol, stamp, close of each, largest relative price difference, volume of each."""


def compare_bars(
    connection: duckdb.DuckDBPyConnection,
    table: BarTable,
    one: str,
    other: str,
    *,
    price_tolerance: float = 0.005,
    volume_tolerance: float = 0.1,
) -> Comparison:
    """Compare raw.`table` between two providers; tolerances are fractions."""
    paired = DIFFERENCES.format(table=table, stamp=STAMPS[table])
    names = {"one": one, "other": other, "price_tolerance": price_tolerance}
    counts = connection.execute(
        paired + COUNTS, {**names, "volume_tolerance": volume_tolerance}
    ).fetchall()[0]
    worst = connection.execute(paired + WORST, {**names, "shown": SHOWN}).fetchall()
    in_both, only_one, only_other, prices_differ, volumes_differ = counts
    return Comparison(table, in_both, only_one, only_other, prices_differ, volumes_differ, worst)


def print_comparison(console: Console, found: Comparison, one: str, other: str) -> None:
    """Print how many bars agree, and the worst that do not."""
    shared = found.in_both
    console.print(
        f"raw.{found.table}: {shared:,} bars in both, {found.only_one:,} only of {one}, "
        f"{found.only_other:,} only of {other}; prices differ in {found.prices_differ:,}, "
        f"volumes in {found.volumes_differ:,}",
        soft_wrap=True,
        highlight=False,
    )
    if not found.worst:
        return
    table = Table("symbol", "bar", title="furthest apart", title_justify="left")
    for name in (f"close {one}", f"close {other}", "prices apart", "volume", "volume"):
        table.add_column(name, justify="right")
    for symbol, stamp, close_one, close_other, apart, *volumes in found.worst:
        counts = ["" if volume is None else f"{volume:,.0f}" for volume in volumes]
        closes = (f"{close_one:,.4f}", f"{close_other:,.4f}")
        table.add_row(symbol, str(stamp), *closes, f"{apart:.2%}", *counts)
    console.print(table)
