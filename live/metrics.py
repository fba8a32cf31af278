"""What Prometheus is told: stages of the loop as histograms, the provider's calls, the health."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, Literal

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from live.feeds import Polled
from live.health import Health

Stage = Literal[
    "fetch",
    "land",
    "views",
    "rules",
    "score",
    "store",
    "send",
    "prepare",
    "keep",
    "tick",
    "provisional",
]
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """One service's metrics, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._stages = Histogram(
            "repump_stage_seconds",
            "Real seconds of each part of a tick, and from a signal's publishing to a client",
            ["stage"],
            buckets=BUCKETS,
            registry=self.registry,
        )
        self._calls = Counter(
            "repump_provider_requests",
            "Requests to the provider",
            ["provider", "endpoint", "outcome"],
            registry=self.registry,
        )
        self._answers = Histogram(
            "repump_provider_seconds",
            "Real seconds until a provider's answer was there, retries included",
            ["provider"],
            registry=self.registry,
        )
        self.observe_send = self._stages.labels("send").observe
        ProcessCollector(registry=self.registry)

    def stage(self, name: Stage) -> AbstractContextManager[Any]:
        """Time a part of the loop."""
        return self._stages.labels(name).time()

    def count_requests(self, provider: str, polled: Polled) -> None:
        """Count the requests of a poll, and those of other providers that it brings."""
        for request in polled.requests:
            self._calls.labels(provider, request["endpoint"], request["outcome"]).inc()
            self._answers.labels(provider).observe(request["seconds"])
        for other, brought in polled.others.items():
            self.count_requests(other, brought)

    def follow(self, health: Callable[[], Health], waiting: Callable[[], list[int]]) -> None:
        """Have every scrape tell the health, and the signals that wait for each client."""
        self.registry.register(_HealthCollector(health, waiting))

    def text(self) -> bytes:
        """Return all in Prometheus' text format."""
        return generate_latest(self.registry)


class _HealthCollector(Collector):
    def __init__(self, health: Callable[[], Health], waiting: Callable[[], list[int]]) -> None:
        self._health = health
        self._waiting = waiting

    def collect(self) -> Iterator[Metric]:
        health, waiting = self._health(), self._waiting()
        for name, count in health.counts.items():
            yield CounterMetricFamily(f"repump_{name}", f"{name} since the start", value=count)
        gauges = {
            "up": float(health.status != "degraded"),
            "uptime_seconds": health.uptime_seconds,
            "lag_seconds": health.lag_seconds,
            "clients": health.clients,
            "queued_signals": sum(waiting),
            "longest_queue": max(waiting, default=0),
            "watchlist_symbols": health.watchlist,
            "failing_symbols": len(health.failures),
            "last_seq": health.last_seq,
        }
        for name, level in gauges.items():
            if level is not None:
                yield GaugeMetricFamily(f"repump_{name}", name.replace("_", " "), value=level)
        problems = GaugeMetricFamily("repump_problem", "1 for each problem", labels=["part"])
        for part in health.problems:
            problems.add_metric([part], 1)
        yield problems
