"""`python -m ingest`: fill the warehouse, import files, write the exports, show what is there."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated

import duckdb
import requests
import typer
from pydantic import ValidationError
from requests.adapters import HTTPAdapter
from rich.console import Console

from ingest import exports, files, jobs
from ingest.budget import BudgetSpentError, CallBudget
from ingest.clock import parse_clock
from ingest.download import Summary
from ingest.providers.errors import ProviderError
from ingest.providers.fmp import FmpClient
from ingest.report import bars_of_progress, print_status, print_summary
from ingest.settings import Settings
from ingest.spending import SpendingError
from ingest.warehouse import DatabaseLockedError, DatabaseUnusableError

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__
)
console = Console()
complaints = Console(stderr=True)

EXPECTED_ERRORS = (
    BudgetSpentError,
    DatabaseLockedError,
    DatabaseUnusableError,
    ProviderError,
    SpendingError,
    OSError,
    duckdb.Error,
    ValueError,  # settings, clocks, files: each says what is wrong and what to do
    exports.NotPublishedError,
    jobs.JobError,
)


@contextmanager
def _told_in_one_line(summary: Summary | None = None) -> Iterator[None]:
    """Print what was done; say an error in one line and exit with 1, Ctrl-C with 130."""
    try:
        yield
    except EXPECTED_ERRORS as error:
        _print_done(summary)
        complaints.print(_first_line(error), style="red", markup=False, soft_wrap=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        _print_done(summary)
        complaints.print("Stopped. Run it again to go on.")
        sys.stdout.flush()
        os._exit(130)  # requests still under way may hang for a minute, and have nothing to land
    _print_done(summary)


def _print_done(summary: Summary | None) -> None:
    if summary is not None:
        print_summary(console, summary)


def _first_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return "; ".join(
            f"{'_'.join(map(str, e['loc'])).upper()} is {e['input']!r}: {e['msg']}"
            for e in error.errors()
        )
    return " ".join(str(error).split())


def _run(run: Callable[[jobs.Job], None]) -> None:
    summary = Summary()
    with _told_in_one_line(summary), bars_of_progress(console) as track:
        settings = Settings()
        job = jobs.Job(
            data_dir=settings.data_dir,
            warehouse=settings.warehouse_path,
            clock=parse_clock(settings.simulated_clock),
            plan=settings.fmp_plan,
            make_client=lambda budget: _client(settings, budget),
            track=track,
            summary=summary,
        )
        run(job)


def _client(settings: Settings, budget: CallBudget) -> FmpClient:
    if settings.fmp_api_key is None:
        raise jobs.JobError(
            "FMP_API_KEY is not set: put it in .env, or run make demo for the simulated market"
        )
    http = requests.Session()
    adapter = HTTPAdapter(pool_maxsize=jobs.WORKERS[settings.fmp_plan])
    http.mount("http://", adapter)
    http.mount("https://", adapter)
    # what the environment says of proxies is read once, not on every call
    http.proxies = requests.utils.get_environ_proxies(settings.fmp_base_url)
    http.verify = os.environ.get("REQUESTS_CA_BUNDLE") or True
    http.trust_env = False
    return FmpClient(
        settings.fmp_base_url,
        settings.fmp_api_key.get_secret_value(),
        budget,
        parse_clock(settings.simulated_clock),
        http,
    )


@app.command()
def calendar() -> None:
    """Land the market calendar: past sessions and a year ahead."""
    _run(jobs.run_calendar)


@app.command()
def universe() -> None:
    """Land the symbols of data/*.txt, or of the provider's screener where there are no files."""
    _run(jobs.run_universe)


@app.command()
def profiles() -> None:
    """Land market cap, price and kind of every symbol, as of the latest session."""
    _run(jobs.run_profiles)


@app.command()
def splits() -> None:
    """Land the splits of the last 400 days and of the coming week."""
    _run(jobs.run_splits)


@app.command()
def daily() -> None:
    """Land the daily bars that marts.daily_requests lists."""
    _run(jobs.run_daily)


@app.command()
def minute() -> None:
    """Land the minute bars that marts.minute_requests lists."""
    _run(jobs.run_minute)


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
    with _told_in_one_line(summary), bars_of_progress(console, unit="rows") as track:
        settings = Settings()
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
    with _told_in_one_line():
        settings = Settings()
        clock = parse_clock(settings.simulated_clock)
        watchlist = settings.data_dir / "watchlist.json"
        symbols = exports.export_watchlist(settings.published_path, watchlist, clock)
        console.print(f"{watchlist}: {symbols} symbols", soft_wrap=True)
        features = settings.data_dir / "offline_features.parquet"
        rows = exports.export_training_rows(settings.published_path, features)
        console.print(f"{features}: {rows:,} rows", soft_wrap=True)


@app.command()
def status() -> None:
    """Show what each raw table holds, and what is used of the call budget."""
    with _told_in_one_line():
        settings = Settings()
        clock = parse_clock(settings.simulated_clock)
        if not settings.warehouse_path.exists():
            raise jobs.JobError(f"{settings.warehouse_path} is not there yet: run make ingest")
        print_status(console, settings.warehouse_path, settings.fmp_plan, clock)


if __name__ == "__main__":
    app()
