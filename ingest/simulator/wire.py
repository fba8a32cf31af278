"""FMP's wire format: JSON as Express prints it, and its CSV."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any


def number(value: float) -> str:
    """Return `value` as JavaScript prints it: no `.0`, exponents only below 1e-6."""
    if math.isnan(value):
        return "NaN"
    text = repr(float(value))
    if "e" not in text:
        return text.removesuffix(".0")
    if value == int(value) and abs(value) < 1e21:
        return str(int(value))
    if abs(value) >= 1e-6:
        return f"{Decimal(text):f}"
    mantissa, exponent = text.split("e")
    return f"{mantissa}e{int(exponent)}"


def plain(value: Any) -> Any:
    """Return `value` with integral floats as ints, so that JSON shows them as FMP does."""
    if isinstance(value, float):
        return int(value) if math.isfinite(value) and value.is_integer() else value
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    return value


def to_json(value: Any) -> bytes:
    """Return `value` as FMP's pretty-printed JSON: two spaces, no newline at the end."""
    return json.dumps(plain(value), indent=2, ensure_ascii=False).encode()


def row_texts(keys: Sequence[str], columns: Sequence[Iterable[str]]) -> list[str]:
    """Return the JSON objects of rows whose values are already JSON text, column by column."""
    body = ",\n".join(f'    "{key}": %s' for key in keys)
    template = f"  {{\n{body}\n  }}"
    return [template % values for values in zip(*columns, strict=True)]


def array_of(rows: Sequence[str]) -> bytes:
    """Return the JSON array of `row_texts`."""
    return ("[\n" + ",\n".join(rows) + "\n]").encode() if rows else b"[]"


def to_csv(keys: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    """Return FMP's bulk CSV: strings in quotes, numbers bare, null empty."""
    lines = [",".join(f'"{key}"' for key in keys)]
    lines += [",".join(_cell(value) for value in row) for row in rows]
    return ("\n".join(lines) + "\n").encode()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return number(value)
    return '"' + str(value).replace('"', '""') + '"'
