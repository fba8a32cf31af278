"""The table of paths that the simulated provider knows, below `/stable/`."""

from __future__ import annotations

from ingest.simulator import bulk, hours, quotes, reference
from ingest.simulator.answers import Handler
from ingest.simulator.charts import EOD_KEYS, MinuteChart, eod
from ingest.simulator.market import Market

BULK_PATHS = frozenset({"eod-bulk", "profile-bulk"})


def make_endpoints(market: Market) -> dict[str, Handler]:
    """Return the handler of each path."""
    return {
        "profile": reference.profile,
        "company-screener": reference.company_screener,
        "actively-trading-list": reference.actively_trading_list,
        "stock-list": reference.stock_list,
        "splits": reference.splits,
        "splits-calendar": reference.splits_calendar,
        "symbol-change": reference.symbol_change,
        "delisted-companies": reference.delisted_companies,
        "quote": quotes.quote,
        "quote-short": quotes.quote_short,
        "batch-quote": quotes.batch_quote,
        "batch-quote-short": quotes.batch_quote_short,
        "batch-exchange-quote": quotes.batch_exchange_quote,
        "aftermarket-quote": quotes.aftermarket_quote,
        "aftermarket-trade": quotes.aftermarket_trade,
        "batch-aftermarket-quote": quotes.batch_aftermarket_quote,
        "batch-aftermarket-trade": quotes.batch_aftermarket_trade,
        **{f"historical-price-eod/{name}": eod(name) for name in EOD_KEYS},
        "historical-chart/1min": MinuteChart(market),
        "exchange-market-hours": hours.exchange_market_hours,
        "all-exchange-market-hours": hours.all_exchange_market_hours,
        "holidays-by-exchange": hours.holidays_by_exchange,
        "eod-bulk": bulk.eod_bulk,
        "profile-bulk": bulk.profile_bulk,
    }
