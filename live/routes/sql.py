"""POST /sql: read-only SQL on the live day and the snapshot, while the service runs."""

from __future__ import annotations

from dataclasses import dataclass

from litestar import MediaType, Response, post
from litestar.datastructures import State
from litestar.exceptions import HTTPException
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import JSONBody

from live.database import NotFreshError
from live.prompt.runner import QueryError, SqlAnswer, SqlQuery
from live.service import Service

MOST_ROWS = 10_000
MOST_QUERY_CHARACTERS = 100_000


@dataclass(frozen=True)
class Refusal:
    """Answer to a query that has none."""

    status_code: int
    detail: str
    extra: dict[str, str] | None = None
    """`hint`: what to do, where there is something to do."""


@post(
    "/sql",
    status_code=200,
    responses={
        200: ResponseSpec(SqlAnswer, description="The rows.", generate_examples=False),
        400: ResponseSpec(Refusal, description="DuckDB's message, or why the query may not run."),
        413: ResponseSpec(Refusal, description="The answer, or the query, is too large."),
        429: ResponseSpec(Refusal, description="Two queries run already, or too many requests."),
        503: ResponseSpec(Refusal, description="The live day can't be copied now."),
        504: ResponseSpec(Refusal, description="The query took too long."),
    },
)
async def sql(state: State, data: JSONBody[SqlQuery]) -> Response[bytes]:
    """Answer one SELECT or EXPLAIN on the live database as it is now (raw, staging, intermediate,
    marts) and on the published snapshot (published.marts.…), in a process that can read nothing
    else, write nothing, and is ended at its limits of time and memory."""
    service: Service = state.service
    _check(data)
    try:
        answer = await service.prompt.answer(data)
    except QueryError as error:
        raise HTTPException(str(error), status_code=error.status, extra=_hint(error)) from error
    except (NotFreshError, OSError) as error:
        raise HTTPException(str(error), status_code=503) from error
    return Response(answer, media_type=MediaType.JSON)


def _hint(error: QueryError) -> dict[str, str] | None:
    return {"hint": error.hint} if error.hint else None


def _check(query: SqlQuery) -> None:
    """Raise HTTPException where a query asks for more than there may be."""
    if not 1 <= query.limit <= MOST_ROWS:
        raise HTTPException(f"limit is 1 to {MOST_ROWS:,}, was {query.limit:,}", status_code=400)
    if len(query.query) > MOST_QUERY_CHARACTERS:
        raise HTTPException(
            f"a query has at most {MOST_QUERY_CHARACTERS:,} characters", status_code=413
        )
