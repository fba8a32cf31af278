"""EDGE, the spread estimator of Ardia, Guidotti and Kroencke (2024), in Polars.

The additive form of dbt_project/macros/edge.sql: products of a bar's terms, summed.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

TERMS = ("bar", "tau", "po", "pc", "r1", "r2", "r3", "r4", "r5")

c = pl.col


def edge_terms(bars: pl.DataFrame) -> pl.DataFrame:
    """Return the terms of each bar; without a bar before it they are 0 or null."""
    has_before = c("previous_close").is_not_null()
    is_changed = (c("high") != c("low")) | (c("low") != c("previous_close"))

    def differ(left: str, right: str) -> pl.Expr:
        return (c(left) != c(right)).cast(pl.Float64)

    middle = (c("high").log() + c("low").log()) / 2
    at_open = differ("open", "high") + differ("open", "low")
    at_close = differ("previous_close", "previous_high") + differ("previous_close", "previous_low")
    return (
        bars.select(
            bar=has_before.cast(pl.Float64),
            tau=(has_before & is_changed).cast(pl.Float64),
            po=at_open,
            pc=at_close,
            middle=middle,
            log_open=c("open").log(),
            log_close=c("close").log(),
        )
        .with_columns(
            middle_before=pl.when(c("bar") == 1).then(c("middle").shift()),
            close_before=pl.when(c("bar") == 1).then(c("log_close").shift()),
        )
        .select(
            *("bar", "tau"),
            po=c("tau") * c("po"),
            pc=c("tau") * c("pc"),
            r1=pl.when(c("bar") == 1).then(c("middle") - c("log_open")),
            r2=c("log_open") - c("middle_before"),
            r3=c("middle") - c("close_before"),
            r4=c("close_before") - c("middle_before"),
            r5=c("log_open") - c("close_before"),
        )
    )


@dataclass(frozen=True)
class Estimate:
    """One of EDGE's two, of columns: x - a * t at the open and y - b * u at the close."""

    x: str
    t: str
    y: str
    u: str
    a: str
    b: str

    def squares(self) -> list[tuple[str, str]]:
        """Return the products that the variance needs, in the order `variance` takes them."""
        x, t, y, u = self.x, self.t, self.y, self.u
        at_one_time = [(x, x), (x, t), (t, t), (y, y), (y, u), (u, u)]
        return [*at_one_time, (x, y), (x, u), (t, y), (t, u)]

    def mean(self) -> pl.Expr:
        """Return the estimate, from means of products."""
        a, b = c(self.a) / c("tau"), c(self.b) / c("tau")
        return c("wo") * (c(self.x) - a * c(self.t)) + c("wc") * (c(self.y) - b * c(self.u))

    def variance(self, mean: str) -> pl.Expr:
        """Return the variance of the estimate, whose own column is `mean`."""
        wo, wc, a, b = c("wo"), c("wc"), c(self.a) / c("tau"), c(self.b) / c("tau")
        xx, xt, tt, yy, yu, uu, xy, xu, ty, tu = (c("*".join(pair)) for pair in self.squares())
        return (
            wo * wo * (xx - 2 * a * xt + a * a * tt)
            + wc * wc * (yy - 2 * b * yu + b * b * uu)
            + 2 * wo * wc * (xy - b * xu - a * ty + a * b * tu)
            - c(mean) ** 2
        )


ESTIMATES = (
    Estimate("r1_r2", "tau_r2", "r3_r4", "tau_r4", "r1", "r3"),
    Estimate("r1_r5", "tau_r5", "r5_r4", "tau_r4", "r1", "r5"),
)
SINGLE = ("bar", "tau", "po", "pc", "r1", "r3", "r5")
PAIRS = ("r1_r2", "tau_r2", "r3_r4", "tau_r4", "r1_r5", "tau_r5", "r5_r4")
SQUARES = dict.fromkeys(pair for estimate in ESTIMATES for pair in estimate.squares())


def edge_products(terms: pl.DataFrame) -> pl.DataFrame:
    """Return of each bar's terms all products whose means make the estimate."""
    return _with_pairs(terms).select(
        *SINGLE, *PAIRS, *((c(x) * c(y)).alias(f"{x}*{y}") for x, y in SQUARES)
    )


def _with_pairs(terms: pl.DataFrame) -> pl.DataFrame:
    pairs = (name.split("_") for name in PAIRS)
    return terms.select(*SINGLE, *((c(x) * c(y)).alias(f"{x}_{y}") for x, y in pairs))


def spreads_of(grid: pl.DataFrame) -> pl.Series:
    """Return EDGE over the hour up to the end of each 5-minute bucket of the grid."""

    def bucket_sum(values: pl.Expr) -> pl.Expr:
        return values.reshape((-1, 5)).arr.sum()

    buckets = _with_pairs(grid).select(
        *(bucket_sum(c(name)).alias(name) for name in (*SINGLE, *PAIRS)),
        *(bucket_sum(c(x) * c(y)).alias(f"{x}*{y}") for x, y in SQUARES),
    )
    every = pl.all()
    two = buckets.select(every + every.shift(1, fill_value=0.0))
    four = two.select(every + every.shift(2, fill_value=0.0))
    hour = four.select(every + every.shift(4, fill_value=0.0) + every.shift(8, fill_value=0.0))
    return spread(hour)


def spread(hour: pl.DataFrame) -> pl.Series:
    """Return EDGE of the sums of its products; null where it is undefined."""
    e1, e2, v1, v2 = c("e1"), c("e2"), c("v1"), c("v2")
    s2 = pl.when(v1 + v2 > 0).then((v2 * e1 + v1 * e2) / (v1 + v2)).otherwise((e1 + e2) / 2)
    is_defined = (hour["bar"] >= 30) & (hour["tau"] >= 2) & (hour["po"] > 0) & (hour["pc"] > 0)
    return (
        hour.select(pl.all() / c("bar"))
        .with_columns(wo=-4 / c("po"), wc=-4 / c("pc"))
        .with_columns(e1=ESTIMATES[0].mean(), e2=ESTIMATES[1].mean())
        .with_columns(v1=ESTIMATES[0].variance("e1"), v2=ESTIMATES[1].variance("e2"))
        .select(pl.when(is_defined).then(s2.clip(lower_bound=0).sqrt()))
        .to_series()
    )
