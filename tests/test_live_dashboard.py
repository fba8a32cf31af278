"""The dashboard's files as they are served, its modules under node, and GET /states."""

from __future__ import annotations

import re
import shutil
import subprocess
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import SecretStr

from ingest.settings import ROOT, Settings
from ingest.warehouse import Landing
from live.monitor import Counts
from live.routes.dashboard import FOLDER
from live.states import NewestStates
from tests.live_fixture import SESSION, bars
from tests.live_server import Running, one_break_out, serving, wait_until

NODE = shutil.which("node")
PAGE = (FOLDER / "index.html").read_text()
MODULES = sorted(FOLDER.glob("*.js"))


@pytest.mark.skipif(NODE is None, reason="node is not installed: apt-get install nodejs")
def test_pure_modules_pass_under_node() -> None:
    files = sorted((ROOT / "tests" / "dashboard").glob("*.test.mjs"))
    done = subprocess.run(
        [str(NODE), "--test", *map(str, files)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert files
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_file_that_is_named_is_served(running: Running) -> None:
    named = set(re.findall(r'(?:src|href)="(/dashboard/[^"]+)"', PAGE))
    for module in MODULES:
        for name in re.findall(r'from "\./([^"]+)"', module.read_text()):
            named.add(f"/dashboard/{name}")
    answers = {path: running.get(path) for path in sorted(named)}
    assert len(answers) > 15
    assert {path: a.status_code for path, a in answers.items() if a.status_code != 200} == {}
    scripts = {a.headers["content-type"] for path, a in answers.items() if path.endswith(".js")}
    assert scripts == {"text/javascript; charset=utf-8"}


@pytest.mark.parametrize("path", ["/dashboard", "/dashboard/", "/dashboard/app.js"])
def test_only_own_scripts_may_run(running: Running, path: str) -> None:
    policy = running.get(path).headers["content-security-policy"]
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy


def test_page_has_nothing_inline() -> None:
    assert re.findall(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=|javascript:", PAGE) == []


def test_page_names_no_other_host() -> None:
    linked = re.findall(r'(?:src|href)="(https?:[^"]+)"', PAGE)
    assert linked == ["https://www.tradingview.com/"]  # the chart library's license asks for it


@pytest.mark.parametrize(
    "path", ["/dashboard/%2e%2e/access.py", "/dashboard/vendor/..%2f..%2faccess.py"]
)
def test_nothing_beside_the_folder_is_served(running: Running, path: str) -> None:
    assert running.get(path).status_code == 404


def test_page_needs_no_token_but_data_does(settings: Settings) -> None:
    open_to_all = settings.model_copy(
        update={"live_host": "0.0.0.0", "live_token": SecretStr("secret")}
    )
    with serving(open_to_all) as running:
        codes = [running.get(path).status_code for path in ("/dashboard", "/states", "/watchlist")]
    assert codes == [200, 401, 401]


def states(running: Running) -> dict[str, Any]:
    return {row["symbol"]: row for row in running.get("/states").json()}


def test_states_are_the_newest_of_each_symbol(running: Running) -> None:
    one_break_out(running)
    wait_until(lambda: states(running))
    (newest,) = states(running).values()
    assert (newest["state"], newest["bar_at"]) == ("RePump", "2025-11-05T15:01:00Z")
    assert newest["closes"] == [5.0, 5.2]


def test_states_tell_the_first_failing_rule(running: Running) -> None:
    running.feed.bars = [
        *bars("AAA", running.clock.at, [5.0, 5.2]),
        *bars("BRK-B", running.clock.at, [3.0, 3.0]),
    ]
    running.clock.at += timedelta(minutes=2)
    wait_until(lambda: len(states(running)) == 2)
    told = ("rules_passed", "rules", "failing_rule", "fails_by_fraction")
    newest = states(running)
    assert [newest["AAA"][name] for name in told] == [2, 2, None, None]
    assert [newest["BRK-B"][name] for name in told] == [1, 2, "move_prev", 1.0]


def test_states_are_empty_before_the_first_bar(running: Running) -> None:
    assert running.get("/states").json() == []


def test_states_are_read_once_per_change() -> None:
    reads: list[object] = []
    warehouse: Any = SimpleNamespace(read=lambda *asked: reads.append(asked) or [])
    monitor: Any = SimpleNamespace(session=SESSION, counts=Counts())
    newest = NewestStates(warehouse, monitor)
    for landed in (1, 1, 2, 2):
        monitor.counts.bars = Landing(inserted=landed)
        newest.read()
    assert len(reads) == 2
