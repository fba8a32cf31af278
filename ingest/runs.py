"""One run of a command: settings, clients, the log; errors in one line, never with a key."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import duckdb
import requests
import structlog
import typer
from pydantic import SecretStr, ValidationError
from pyrate_limiter import Duration
from requests.adapters import HTTPAdapter
from rich.console import Console

from ingest import exports, jobs
from ingest.batches import Summary
from ingest.budget import BudgetSpentError, CallBudget, PlanLimits
from ingest.clock import parse_clock
from ingest.logs import LOG_NAME, close_log, open_log, redacted, traceback_text
from ingest.providers.alpha_vantage import AlphaVantageClient
from ingest.providers.errors import ProviderError
from ingest.providers.fmp import PROVIDER, FmpClient
from ingest.providers.massive import MassiveClient
from ingest.report import bars_of_progress, print_summary
from ingest.settings import DEMO_MARK, Settings
from ingest.spending import SpendingError
from ingest.turns import only_buyer
from ingest.warehouse import DatabaseLockedError, DatabaseUnusableError

console = Console()
complaints = Console(stderr=True)
log = structlog.get_logger("ingest")

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


def keys_of(settings: Settings) -> list[str]:
    """Return every secret of the settings."""
    values = (getattr(settings, name) for name in type(settings).model_fields)
    return [value.get_secret_value() for value in values if isinstance(value, SecretStr)]


@contextmanager
def told_in_one_line(summary: Summary | None = None) -> Iterator[None]:
    """Print what was done; say an error in one line and exit with 1, Ctrl-C with 130."""
    try:
        yield
    except EXPECTED_ERRORS as error:
        _print_done(summary)
        complaints.print(first_line(error), style="red", markup=False, soft_wrap=True)
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


def first_line(error: BaseException) -> str:
    """Return an error as one line; a setting that is wrong by its name."""
    if isinstance(error, ValidationError):
        return "; ".join(
            f"{'_'.join(map(str, e['loc'])).upper()} is {e['input']!r}: {e['msg']}"
            for e in error.errors()
        )
    text = " ".join(str(error).split())
    if isinstance(error, duckdb.Error) and ("write" in text or "No space" in text):
        return f"{text}: check the disk's free space; what had landed is intact, run it again then"
    return text


def refuse_demo(settings: Settings) -> None:
    """Raise JobError where a real market would land among a demo's."""
    if settings.simulated_clock is None and (settings.data_dir / DEMO_MARK).exists():
        raise jobs.JobError(
            f"{settings.data_dir} holds a demo's simulated market: set DATA_DIR to another folder, "
            "or remove that one"
        )


def run_job(
    run: Callable[[jobs.Job], None], make_source: Callable[[Settings], jobs.Source | None]
) -> None:
    """Run a job with progress, a log, and its summary at the end, one at a time for a provider."""
    summary = Summary()
    with told_in_one_line(summary):
        settings = Settings()
        refuse_demo(settings)
        clock = parse_clock(settings.simulated_clock)
        source = make_source(settings)
        provider = source.provider if source else PROVIDER
        with (
            logged(settings),
            only_buyer(settings.data_dir, provider, tell),
            bars_of_progress(console) as track,
        ):
            job = jobs.Job(
                data_dir=settings.data_dir,
                warehouse=settings.warehouse_path,
                clock=clock,
                plan=settings.fmp_plan,
                make_client=lambda budget: fmp_client(settings, budget),
                source=source,
                track=track,
                tell=tell,
                summary=summary,
            )
            run(job)


def tell(line: str) -> None:
    """Show a line while a job runs."""
    console.print(line, highlight=False, soft_wrap=True)


@contextmanager
def logged(settings: Settings) -> Iterator[None]:
    """Log the block to `<data_dir>/ingest.log`; a fault of ours goes there with its traceback."""
    keys = keys_of(settings)
    try:
        file = open_log(settings.data_dir, parse_clock(settings.simulated_clock), keys)
    except OSError as error:
        raise DatabaseUnusableError(
            f"{settings.data_dir} can't be written: check DATA_DIR, its permissions and the disk "
            f"({error})"
        ) from error
    try:
        log.info("begins", command=" ".join(sys.argv[1:]))
        yield
        log.info("ends")
    except EXPECTED_ERRORS as error:
        error.args = tuple(
            redacted(part, keys) if isinstance(part, str) else part for part in error.args
        )
        log.error("ends with an error", error=first_line(error))
        raise
    except Exception as error:
        log.error("ends with a fault of ours", traceback=traceback_text(error, keys))
        reason = redacted(f"{type(error).__name__}: {error}", keys)
        raise jobs.JobError(
            f"a fault in this program ({reason}): please report it with the last line of "
            f"{settings.data_dir / LOG_NAME}"
        ) from None
    finally:
        close_log(file)


def http_session(base_url: str, connections: int) -> requests.Session:
    """Return a session that reads the environment's proxies once, not on every call."""
    http = requests.Session()
    adapter = HTTPAdapter(pool_maxsize=connections)
    http.mount("http://", adapter)
    http.mount("https://", adapter)
    http.proxies = requests.utils.get_environ_proxies(base_url)
    http.verify = os.environ.get("REQUESTS_CA_BUNDLE") or True
    http.trust_env = False
    return http


def _key(value: SecretStr | None, name: str, instead: str) -> str:
    if value is None:
        raise jobs.JobError(f"{name} is not set: put it in .env, or {instead}")
    return value.get_secret_value()


def fmp_client(settings: Settings, budget: CallBudget) -> FmpClient:
    """Return the client of FMP. Raises JobError without a key."""
    key = _key(settings.fmp_api_key, "FMP_API_KEY", "run make demo for the simulated market")
    clock = parse_clock(settings.simulated_clock)
    http = http_session(settings.fmp_base_url, jobs.WORKERS[settings.fmp_plan])
    return FmpClient(settings.fmp_base_url, key, budget, clock, http)


def no_source(settings: Settings) -> None:
    """Return no source: bars are FMP's."""


def source_named(name: str, settings: Settings) -> jobs.Source | None:
    """Return the provider called `name` to buy bars from; None is FMP. JobError for any other."""
    clock = parse_clock(settings.simulated_clock)
    if name == "fmp":
        return None
    if name == "massive":
        calls = settings.massive_calls_per_minute
        limits = PlanLimits(calls, Duration.MINUTE, name=f"MASSIVE_CALLS_PER_MINUTE={calls}")
        key = _key(settings.massive_api_key, "MASSIVE_API_KEY", "choose another --provider")
        url = settings.massive_base_url
        return jobs.Source(
            name,
            limits,
            4,
            lambda budget: MassiveClient(url, key, budget, clock, http_session(url, 4)),
        )
    if name == "alpha_vantage":
        calls = settings.alpha_vantage_calls_per_day
        limits = PlanLimits(
            calls,
            Duration.DAY,
            name=f"ALPHA_VANTAGE_CALLS_PER_DAY={calls}",
            per_second=1,
        )
        key = _key(
            settings.alpha_vantage_api_key, "ALPHA_VANTAGE_API_KEY", "choose another --provider"
        )
        url = settings.alpha_vantage_base_url
        return jobs.Source(
            name,
            limits,
            1,
            lambda budget: AlphaVantageClient(url, key, budget, clock, http_session(url, 1)),
        )
    raise jobs.JobError(f"--provider is {name!r}: expected fmp, massive or alpha_vantage")
