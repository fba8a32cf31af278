"""A transaction holds Ctrl-C back, and leaves nothing behind when it fails."""

from __future__ import annotations

import signal

import duckdb
import pytest

from ingest.transaction import interrupts_held, transaction


def numbers(connection: duckdb.DuckDBPyConnection) -> list[tuple[int]]:
    return connection.execute("select number from numbers order by number").fetchall()


@pytest.fixture
def connection() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute("create table numbers (number integer)")
    return connection


def test_interrupt_takes_effect_after_the_commit(connection: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(KeyboardInterrupt), interrupts_held(), transaction(connection):
        connection.execute("insert into numbers values (1)")
        signal.raise_signal(signal.SIGINT)
        connection.execute("insert into numbers select range from range(2, 2000)")
    assert len(numbers(connection)) == 1999


def test_interrupt_outlives_an_error() -> None:
    with pytest.raises(KeyboardInterrupt), interrupts_held():
        signal.raise_signal(signal.SIGINT)
        raise duckdb.IOException("another process holds the lock")


def test_error_undoes_the_block_and_is_told(connection: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(duckdb.CatalogException, match="nowhere"), transaction(connection):
        connection.execute("insert into numbers values (1)")
        connection.execute("insert into nowhere values (2)")
    assert numbers(connection) == []


def test_interrupts_work_again_afterwards() -> None:
    before = signal.getsignal(signal.SIGINT)
    with interrupts_held():
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before
