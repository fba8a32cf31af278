"""How routes take a symbol."""

from typing import Annotated

from litestar.params import PathParameter

Symbol = Annotated[
    str,
    PathParameter(
        pattern=r"^[A-Za-z0-9.^=-]{1,16}$", description="BRK-B and brk.b are the same symbol"
    ),
]


def canonical(symbol: str) -> str:
    """Return a symbol as it is spelled in the databases."""
    return symbol.upper().replace(".", "-")
