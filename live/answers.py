"""Values of a database as JSON takes them. Light: the processes that answer /sql import it too."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

Row = dict[str, Any]


def to_json(row: Mapping[str, Any]) -> Row:
    """Return a database row as JSON takes it."""
    return {name: plain(value) for name, value in row.items()}


def plain(value: Any) -> Any:
    """Return a value as JSON takes it.

    Times are UTC text with a Z, spans are seconds, bytes are hexadecimal, what is not finite is
    null; a map with keys that are no text is a list of pairs, and anything else its text.
    """
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (str, int)):
        return value
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, Mapping):
        return _plain_mapping(value)
    return _plain_scalar(value)


def _plain_mapping(value: Mapping[Any, Any]) -> Any:
    if all(isinstance(key, str) for key in value):
        return to_json(value)
    return [[plain(key), plain(item)] for key, item in value.items()]


def _plain_scalar(value: Any) -> Any:
    if isinstance(value, datetime):
        return as_utc(value).isoformat() + "Z"
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).hex()
    return str(value)


def as_utc(value: datetime) -> datetime:
    """Return a moment as naive UTC, as the databases have it; naive is taken for UTC."""
    return value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
