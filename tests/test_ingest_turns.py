"""Two copies of a job: the second waits for the first, so that nothing is bought twice."""

from __future__ import annotations

import os
from pathlib import Path
from queue import Queue
from threading import Thread

import pytest

from ingest.turns import only_buyer


def test_second_copy_tells_whom_it_waits_for(tmp_path: Path) -> None:
    told: Queue[str] = Queue()

    def buy() -> None:
        with only_buyer(tmp_path, "fmp", told.put):
            told.put("bought")

    second = Thread(target=buy)
    with only_buyer(tmp_path, "fmp", told.put):
        second.start()
        waits = told.get(timeout=20)
        assert told.empty()
    second.join(timeout=20)
    assert f"process {os.getpid()} buys from fmp" in waits
    assert told.get_nowait() == "bought"


def test_failed_job_gives_up_its_turn(tmp_path: Path) -> None:
    told: list[str] = []
    with pytest.raises(RuntimeError), only_buyer(tmp_path, "fmp", told.append):
        raise RuntimeError
    with only_buyer(tmp_path, "fmp", told.append):
        assert told == []


def test_providers_have_turns_of_their_own(tmp_path: Path) -> None:
    told: list[str] = []
    with only_buyer(tmp_path, "fmp", told.append), only_buyer(tmp_path, "massive", told.append):
        assert told == []
