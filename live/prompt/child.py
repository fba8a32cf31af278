"""One query in a process of its own: what it may read, use and answer is fixed before it is read.

`python -m live.prompt.child`: a job as JSON on stdin, the answer as JSON on stdout. It ends itself
at every limit, whatever becomes of the service.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import time
from typing import Any

import duckdb

from live.answers import plain

MEGABYTE = 1 << 20
DUCKDB_SHARE = 0.6
"""DuckDB's own part of the memory: what is over it is an error, not the process's end."""

THREADS = 2
FETCHED_ROWS = 500
ALLOWED = (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN)

HINTS: dict[type[Exception], str] = {
    duckdb.CatalogException: "show all tables lists what there is",
    duckdb.BinderException: "describe marts.states_1m lists a table's columns",
    duckdb.PermissionException: "only the live database and the snapshot (published.…) can be read",
}

Job = dict[str, Any]
"""database, published, query, parameters, rows_from, limit, seconds, memory_mb, answer_bytes."""


class RefusedError(Exception):
    """The query is none that may run; the message says why."""


class TooLargeError(Exception):
    """The answer is larger than an answer may be."""


def main() -> None:
    """Read a job, answer it."""
    job: Job = json.load(sys.stdin.buffer)
    limit_process(job)
    sys.stdout.write(answer(job))
    sys.stdout.flush()
    os._exit(0)


def limit_process(job: Job) -> None:
    """Bound what this process may use; nothing that comes later can lift it."""
    os.nice(10)
    for kind, bound in (
        (resource.RLIMIT_AS, job["memory_mb"] * MEGABYTE),
        (resource.RLIMIT_CPU, THREADS * int(job["seconds"]) + 2),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 64),
    ):
        resource.setrlimit(kind, (bound, bound))
    signal.setitimer(signal.ITIMER_REAL, job["seconds"])  # SIGALRM ends the process


def answer(job: Job) -> str:
    """Return the answer to a job, or `{"error": …, "reason": …, "hint": …}`, as JSON text."""
    started = time.perf_counter()
    try:
        connection = open_locked(job)
        columns, rows, is_truncated = run(connection, job)
    except RefusedError as error:
        return _failure("refused", error)
    except TooLargeError as error:
        return _failure("size", error)
    except (duckdb.OutOfMemoryException, MemoryError):
        return _failure(
            "memory",
            f"the query needs more than {job['memory_mb']} MB of memory: "
            "ask for fewer symbols, or for the newest bars by rows_from",
        )
    except Exception as error:  # whatever a query brings about is answered
        return _failure("sql", error, HINTS.get(type(error)))
    seconds = round(time.perf_counter() - started, 3)
    head = json.dumps({"columns": columns, "truncated": is_truncated, "seconds": seconds})
    return f'{head[:-1]}, "rows": [{",".join(rows)}]}}'


def _failure(reason: str, error: object, hint: str | None = None) -> str:
    return json.dumps({"error": str(error).strip(), "reason": reason, "hint": hint})


def open_locked(job: Job) -> duckdb.DuckDBPyConnection:
    """Open the copy of live.duckdb with the snapshot beside it, and nothing else, for good."""
    memory = int(job["memory_mb"] * DUCKDB_SHARE)
    connection = duckdb.connect(
        job["database"], read_only=True, config={"threads": THREADS, "memory_limit": f"{memory}MB"}
    )
    connection.execute("set variable rows_from = $at::timestamp", {"at": job["rows_from"]})
    published = str(job["published"]).replace("'", "''")
    connection.execute(f"attach '{published}' as published (read_only)")
    for setting in (
        "TimeZone = 'UTC'",
        "temp_directory = ''",
        "autoinstall_known_extensions = false",
        "autoload_known_extensions = false",
        "allow_community_extensions = false",
        "python_enable_replacements = false",
        "enable_external_access = false",
        "disabled_filesystems = 'LocalFileSystem'",
        "lock_configuration = true",
    ):
        connection.execute(f"set {setting}")
    return connection


def run(
    connection: duckdb.DuckDBPyConnection, job: Job
) -> tuple[list[dict[str, str]], list[str], bool]:
    """Return columns, at most `limit` rows as JSON texts, and whether there were more."""
    result = connection.execute(only_statement(job["query"]), job["parameters"] or None)
    columns = [{"name": name, "type": str(kind)} for name, kind, *_ in result.description or []]
    rows: list[str] = []
    size = 0
    while fetched := result.fetchmany(FETCHED_ROWS):
        for row in fetched:
            if len(rows) == job["limit"]:
                return columns, rows, True
            rows.append(json.dumps(plain(row), allow_nan=False))
            size += len(rows[-1])
            if size > job["answer_bytes"]:
                raise TooLargeError(
                    f"the answer is larger than {job['answer_bytes'] / MEGABYTE:g} MB: "
                    "ask for fewer rows or columns"
                )
    return columns, rows, False


def only_statement(query: str) -> duckdb.Statement:
    """Return the one statement of a query. Raises RefusedError where it is none that reads."""
    statements = duckdb.extract_statements(query)
    if len(statements) != 1:
        raise RefusedError(f"expected one statement, was {len(statements)}")
    if statements[0].type not in ALLOWED:
        raise RefusedError(
            f"only SELECT and EXPLAIN are answered, was {statements[0].type.name}: "
            "the databases are read only"
        )
    return statements[0]


if __name__ == "__main__":
    main()
