"""`python -m ingest`: fill the warehouse, import files, write the exports, show what is there."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from ingest import bars, compare, exports, files, gaps, jobs, plan, reference, splits, tables
from ingest.batches import Summary
from ingest.budget import PLANS, CallBudget, logged_calls
from ingest.clock import parse_clock
from ingest.providers.fmp import PROVIDER
from ingest.report import bars_of_progress
from ingest.runs import (
    complaints,
    console,
    logged,
    no_source,
    refuse_demo,
    run_job,
    source_named,
    told_in_one_line,
)
from ingest.settings import Settings
from ingest.status import print_status
from ingest.warehouse import open_warehouse

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__
)

ProviderOption = Annotated[str, typer.Option(help="fmp, massive or alpha_vantage.")]


@app.command()
def calendar() -> None:
    """Land the market calendar: past sessions and a year ahead."""
    run_job(reference.run_calendar, no_source)


@app.command()
def universe() -> None:
    """Land the symbols of data/*.txt, or of the provider's screener where there are no files."""
    run_job(reference.run_universe, no_source)


@app.command()
def profiles() -> None:
    """Land market cap, price and kind of every symbol, as of the latest session."""
    run_job(reference.run_profiles, no_source)


@app.command("splits")
def land_splits() -> None:
    """Land the splits of the last 400 days and of the coming week."""
    run_job(splits.run_splits, no_source)


@app.command()
def daily(provider: ProviderOption = PROVIDER) -> None:
    """Land the daily bars that marts.daily_requests lists."""
    run_job(bars.run_daily, partial(source_named, provider))


@app.command()
def minute(provider: ProviderOption = PROVIDER) -> None:
    """Land the minute bars that marts.minute_requests lists."""
    run_job(bars.run_minute, partial(source_named, provider))


@app.command()
def fill(
    provider: Annotated[str, typer.Option(help="massive or alpha_vantage.")],
    symbol: Annotated[list[str] | None, typer.Option(help="Only these symbols.")] = None,
    session: Annotated[
        list[datetime] | None, typer.Option(formats=["%Y-%m-%d"], help="On these sessions.")
    ] = None,
) -> None:
    """Land bars that FMP lacks from another provider; or chosen sessions, to compare."""
    if provider == PROVIDER:
        complaints.print("--provider is fmp, whose gaps are filled: give massive or alpha_vantage")
        raise typer.Exit(1)
    if bool(symbol) != bool(session):
        complaints.print("give both --symbol and --session, or neither to fill all gaps")
        raise typer.Exit(1)
    sessions = [day.date() for day in session or []]
    run_job(
        partial(gaps.run_fill, symbols=symbol or [], sessions=sessions),
        partial(source_named, provider),
    )


@app.command("compare")
def compare_sources(
    provider: Annotated[str, typer.Option(help="Whose bars to hold against the others'.")],
    against: Annotated[str, typer.Option(help="The other provider.")] = PROVIDER,
) -> None:
    """Show where two sources disagree on the same bars."""
    with told_in_one_line():
        settings = Settings()
        _require_warehouse(settings)
        with open_warehouse(settings.warehouse_path) as connection:
            for table in compare.STAMPS:
                found = compare.compare_bars(connection, table, against, provider)
                compare.print_comparison(console, found, against, provider)


@app.command("plan")
def show_plan(
    symbols: Annotated[int, typer.Option(help="Symbols, where the universe is not known.")] = 8000,
    sessions: Annotated[int, typer.Option(help="Sessions of minute bars.")] = 120,
    watchlist: Annotated[int, typer.Option(help="Names whose minute bars are bought.")] = 50,
    anew: Annotated[bool, typer.Option(help="As if nothing were bought yet.")] = False,
) -> None:
    """Show what a morning's scan will cost: calls, bytes and time, against the plain way."""
    with told_in_one_line():
        settings = Settings()
        clock, limits = parse_clock(settings.simulated_clock), PLANS[settings.fmp_plan]
        scan = plan.Scan(symbols, sessions, watchlist)
        has_screener = settings.fmp_plan != "free"
        find_steps = partial(plan.scan_steps, has_screener=has_screener, has_bulk=limits.has_bulk)
        if anew or not settings.warehouse_path.exists():
            steps, used = find_steps(scan, usual={}), 0
        else:
            with open_warehouse(settings.warehouse_path) as connection:
                known = reference.listed_symbols(connection) or symbols
                scan = plan.Scan(known, sessions, watchlist)
                steps = find_steps(scan, usual=plan.usual_bytes(connection, PROVIDER))
                left = reference.calls_left(connection, clock) | splits.calls_left(
                    connection, clock
                )
                steps = plan.known_steps(connection, steps, left)
                history = logged_calls(connection, clock)
            path = jobs.budget_path(settings.data_dir, PROVIDER)
            used = CallBudget(settings.fmp_plan, clock, history, path=path).calls_used
        tables.print_plan(console, steps, scan, limits, used)


@app.command()
def funnel() -> None:
    """Show the coming session's scanner step by step, from the published snapshot."""
    with told_in_one_line():
        tables.print_funnel(console, Settings().published_path)


def _require_warehouse(settings: Settings) -> None:
    if not settings.warehouse_path.exists():
        raise jobs.JobError(f"{settings.warehouse_path} is not there yet: run make ingest")


FileOption = Annotated[list[Path] | None, typer.Option(metavar="FILE")]


@app.command("import")
def import_files(
    *,
    bars_1m: FileOption = None,
    bars_1d: FileOption = None,
    profiles: FileOption = None,
    splits: FileOption = None,
    profiles_as_of: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="Day on which undated profiles were known."),
    ] = None,
    provider: Annotated[str, typer.Option(help="Name that the rows land under.")] = "import",
) -> None:
    """Land bars, profiles and splits from Parquet or CSV files; each option can be repeated."""
    summary = Summary()
    with told_in_one_line(summary):
        settings = Settings()
        refuse_demo(settings)
        clock = parse_clock(settings.simulated_clock)
        given = (
            (files.BARS_1D, bars_1d),
            (files.PROFILES, profiles),
            (files.SPLITS, splits),
            (files.BARS_1M, bars_1m),
        )
        checked = [files.check_file(path, kind) for kind, paths in given for path in paths or []]
        if not checked:
            raise jobs.JobError(
                "nothing to import: give --bars-1m, --bars-1d, --profiles, --splits"
            )
        as_of, assumption = files.profiles_date(
            checked, profiles_as_of.date() if profiles_as_of else None
        )
        summary.notes += [assumption] if assumption else []
        jobs.land_missing_calendar(settings.warehouse_path, clock, summary)
        with logged(settings), bars_of_progress(console, unit="rows") as track:
            for file in checked:
                files.import_file(
                    file,
                    warehouse=settings.warehouse_path,
                    clock=clock,
                    provider=provider,
                    as_of_date=as_of,
                    summary=summary,
                    advance=track(file.path.name, files.count_rows(file)),
                )


@app.command()
def export() -> None:
    """Write watchlist.json and offline_features.parquet from the published snapshot."""
    with told_in_one_line():
        settings = Settings()
        clock = parse_clock(settings.simulated_clock)
        watchlist = settings.data_dir / "watchlist.json"
        symbols = exports.export_watchlist(settings.published_path, watchlist, clock)
        console.print(f"{watchlist}: {symbols} symbols", soft_wrap=True)
        features = settings.data_dir / "offline_features.parquet"
        rows = exports.export_training_rows(settings.published_path, features)
        console.print(f"{features}: {rows:,} rows", soft_wrap=True)


@app.command()
def snapshot() -> None:
    """Print the path of the newest published snapshot, for any client to open read only."""
    with told_in_one_line():
        typer.echo(exports.newest_version(Settings().published_path))


@app.command()
def status() -> None:
    """Show what each raw table holds, and what is used of the call budget."""
    with told_in_one_line():
        settings = Settings()
        clock = parse_clock(settings.simulated_clock)
        _require_warehouse(settings)
        path = jobs.budget_path(settings.data_dir, PROVIDER)
        with open_warehouse(settings.warehouse_path) as connection:
            history = logged_calls(connection, clock)
            budget = CallBudget(settings.fmp_plan, clock, history, path=path)
            print_status(console, connection, budget)


if __name__ == "__main__":
    app()
