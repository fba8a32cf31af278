"""What the machine needs: keys, plan, paths, ports. From the environment or `.env`."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Literal

from pydantic import (
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    SecretStr,
    ValidationError,
    field_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

ROOT = Path(__file__).resolve().parents[1]

DEMO_MARK = ".demo"
"""A data directory with this file holds the simulated market of `make demo`."""

FEEDS = {"poll": "fmp", "fmp_stream": "fmp", "massive": "massive"}
"""Names of the setting LIVE_FEED, and whose bars they bring."""

Plan = Literal["free", "starter", "premium", "ultimate"]


class Settings(BaseSettings):
    """Settings of every program here. Each field is an environment variable in upper case.

    Source: the environment, then `.env` in the project's root. What SQL needs is not here
    but in `vars` of dbt_project/dbt_project.yml.
    """

    model_config = SettingsConfigDict(env_file=ROOT / ".env", extra="ignore", env_ignore_empty=True)

    data_dir: Path = ROOT / "data"
    """Where databases, exports and models live. A relative path counts from the project's root."""

    fmp_api_key: SecretStr | None = None
    """Key of Financial Modeling Prep. None: only the simulated market can be used."""

    fmp_base_url: str = "https://financialmodelingprep.com/stable"
    """FMP's `stable` API, or the address of a simulated market."""

    fmp_socket_url: str = "wss://socket.financialmodelingprep.com"
    """FMP's stream of quotes."""

    fmp_plan: Plan = "premium"
    """FMP plan of the key: decides the call budget and which endpoints are asked."""

    massive_api_key: SecretStr | None = None
    """Key of Massive (formerly Polygon.io), a second source of bars."""

    massive_base_url: str = "https://api.massive.com"
    """Massive's REST API."""

    massive_socket_url: str = "wss://socket.massive.com/stocks"
    """Massive's stream; `wss://delayed.massive.com/stocks` is 15 minutes late."""

    massive_calls_per_minute: PositiveInt = 5
    """Calls that Massive's plan allows a minute; 5 is the free plan's."""

    alpha_vantage_api_key: SecretStr | None = None
    """Key of Alpha Vantage, a third source of bars."""

    alpha_vantage_base_url: str = "https://www.alphavantage.co/query"
    """Alpha Vantage's API."""

    alpha_vantage_calls_per_day: PositiveInt = 25
    """Calls that Alpha Vantage's plan allows a day; 25 is the free plan's."""

    simulated_clock: str | None = None
    """`<start, UTC>/<speed>/<anchor, unix seconds>`; None: the real clock. See ingest/clock.py."""

    dbt_vars: str = ""
    """YAML of vars that override dbt_project.yml, for every dbt run of the Makefile and live."""

    live_host: str = "127.0.0.1"
    """Address the live service binds. Any but loopback needs LIVE_TOKEN."""

    live_port: int = 8787
    """Port of the live service."""

    live_token: SecretStr | None = None
    """Token that clients must send when the service is not on loopback."""

    live_tick_seconds: float = 5.0
    """Seconds, by the clock, between two ticks of the live loop."""

    live_feed: str = "poll"
    """Where live bars come from: poll, fmp_stream or massive; of `massive,poll` the second takes
    over while the first is stale."""

    live_stale_seconds: PositiveFloat = 90.0
    """Seconds, by the clock, without a sign of the first feed until the second takes over."""

    live_second_bars: bool = False
    """Whether Massive's bars of one second are streamed too: the running minute as it forms."""

    live_heartbeat_seconds: PositiveFloat = 15.0
    """Real seconds between two heartbeats on the WebSocket."""

    live_max_clients: PositiveInt = 2_000
    """WebSocket clients at once; one more is refused."""

    live_min_free_mb: NonNegativeInt = 500
    """Megabytes that must be free in DATA_DIR, else the health says so."""

    live_requests_per_minute: PositiveInt = 600
    """HTTP requests that the live service answers one address a minute; / and /metrics are free."""

    live_sql_seconds: float = 5.0
    """How long a query of POST /sql may run."""

    live_sql_memory_mb: PositiveInt = 1_024
    """All the memory of a query's process, in MB. Two may run at once."""

    @field_validator("live_feed")
    @classmethod
    def _known_feeds(cls, value: str) -> str:
        names = value.replace(" ", "").split(",")
        is_usual = len(names) <= 2 and set(names) <= FEEDS.keys()
        if not is_usual or len({FEEDS[name] for name in names}) < len(names):
            raise ValueError(
                f"{value!r} is neither one of {', '.join(FEEDS)} nor two of them that are of "
                "different providers, like massive,poll"
            )
        return ",".join(names)

    @field_validator("data_dir")
    @classmethod
    def _from_root(cls, value: Path) -> Path:
        return (ROOT / value.expanduser()).resolve()

    @cached_property
    def warehouse_path(self) -> Path:
        """The warehouse: history, written by short jobs."""
        return self.data_dir / "warehouse.duckdb"

    @cached_property
    def published_path(self) -> Path:
        """The newest published snapshot, read only (a link to a version beside it)."""
        return self.data_dir / "published" / "warehouse.duckdb"

    @cached_property
    def live_path(self) -> Path:
        """The live database: today, owned by the live service."""
        return self.data_dir / "live.duckdb"


def described(error: ValidationError) -> str:
    """Return in one line what is wrong with the settings, without any value of a key."""
    first = error.errors()[0]
    name = "_".join(str(part) for part in first["loc"]).upper()
    return f"{name}: {first['msg']}; see .env.example"
