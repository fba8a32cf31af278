"""The dashboard in a real browser, over the real service: what a trader sees and does."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import timedelta

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright
from pydantic import SecretStr

from ingest.settings import Settings
from live.broadcast import Message
from tests.live_fixture import bars
from tests.live_server import Running, one_break_out, serving, wait_until

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="there is no Chromium: apt-get install chromium"
)
expect.set_options(timeout=30_000)
NETWORK = "Failed to load resource"
"""What the console says when the service is away or refuses."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page that may complain of nothing: no script error, no refusal by the policy."""
    with browser.new_page(viewport={"width": 1600, "height": 900}) as page:
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: said.type == "error" and complaints.append(said.text))
        yield page
        assert [
            text for text in complaints if NETWORK not in text and "WebSocket" not in text
        ] == []


def open_page(page: Page, running: Running) -> None:
    page.goto(f"http://{running.address}/dashboard")


def is_listening(running: Running) -> None:
    wait_until(lambda: running.service.broadcaster.clients == 1)


def test_watchlist_and_health_are_shown(page: Page, running: Running) -> None:
    running.feed.bars = bars("AAA", running.clock.at - timedelta(minutes=2), [5.0, 5.1])
    wait_until(lambda: running.service.monitor.newest_bar_at is not None)
    open_page(page, running)
    expect(page.locator("#watch-rows .symbol")).to_have_text(["AAA", "BRK-B"])
    expect(page.locator("#watch-rows tr").first).to_contain_text("+2.0 %")
    expect(page.locator("#status-text")).to_have_text("ok")
    expect(page.locator("#clock-ny")).to_have_text("10:00:00")


def test_degraded_service_says_why(page: Page, running: Running) -> None:
    running.feed.failures = {"AAA": "HTTP 503"}
    open_page(page, running)
    expect(page.locator("#status-text")).to_have_text("degraded")
    expect(page.locator("#alerts")).to_contain_text("AAA: HTTP 503")


def test_empty_panels_say_what_comes(page: Page, running: Running) -> None:
    open_page(page, running)
    expect(page.locator("#chart-empty")).to_contain_text("AAA has no bars in this session yet")
    expect(page.locator("#signals-empty")).to_contain_text("No signals yet")


def test_signal_appears_and_is_announced(page: Page, running: Running) -> None:
    open_page(page, running)
    is_listening(running)
    one_break_out(running)
    expect(page.locator("#signals-list li")).to_contain_text("AAA")
    expect(page.locator("#announcement")).to_have_text("RePump: AAA at 5.20, move 4.0 percent")


def test_click_opens_chart_and_rules(page: Page, running: Running) -> None:
    running.feed.bars = bars("BRK-B", running.clock.at, [3.0, 3.0])
    running.clock.at += timedelta(minutes=2)
    wait_until(lambda: running.service.monitor.newest_bar_at is not None)
    open_page(page, running)
    page.get_by_role("button", name="BRK-B").click()
    expect(page.locator("#chart")).to_have_attribute(
        "aria-label", "BRK-B, bars of the session: 2 bars, last close 3.00"
    )
    expect(page.locator("#why-rows tr", has_text="move_prev")).to_contain_text("fails by")


def test_watchlist_is_sorted_by_keyboard(page: Page, running: Running) -> None:
    open_page(page, running)
    heading = page.get_by_role("button", name="Symbol", exact=True)
    for order in ("ascending", "descending"):
        heading.press("Enter")
        expect(page.locator('th[data-column="symbol"]')).to_have_attribute("aria-sort", order)
    expect(page.locator("#watch-rows .symbol")).to_have_text(["BRK-B", "AAA"])


def test_lost_service_is_told_and_resumed(page: Page, settings: Settings) -> None:
    with serving(settings) as first:
        wait_until(lambda: first.service.monitor.is_open)
        open_page(page, first)
        is_listening(first)
        one_break_out(first)
        expect(page.locator("#signals-list li")).to_have_count(1)
    expect(page.locator("#alerts")).to_contain_text("Connection lost, retrying")
    with serving(settings, port=int(first.address.rpartition(":")[2])) as second:
        second.feed.bars = bars("BRK-B", second.clock.at, [3.0, 3.2])
        second.clock.at += timedelta(minutes=2)
        expect(page.locator("#signals-list .signal-symbol")).to_have_text(["BRK-B", "AAA"])
        expect(page.locator("#status-text")).to_have_text("ok")


def test_gap_of_a_slow_page_is_told(page: Page, settings: Settings) -> None:
    burst = [Message(seq, "AAA", "RePump", "{}") for seq in (1, 2, 3)]
    with serving(settings, queue_size=1) as running:
        open_page(page, running)
        is_listening(running)
        running.loop.call_soon_threadsafe(
            lambda: [running.service.broadcaster.publish(message) for message in burst]
        )
        expect(page.locator("#signals-list .gap")).to_contain_text("signals 1 to 3 follow late")


def test_token_is_asked_for_and_kept(page: Page, settings: Settings) -> None:
    open_to_all = settings.model_copy(
        update={"live_host": "0.0.0.0", "live_token": SecretStr("secret")}
    )
    with serving(open_to_all) as running:
        open_page(page, running)
        page.get_by_role("textbox", name="Token").fill("wrong")
        page.get_by_role("button", name="Open", exact=True).click()
        expect(page.locator("#token-reason")).to_contain_text("not the service's LIVE_TOKEN")
        page.get_by_role("textbox", name="Token").fill("secret")
        page.get_by_role("button", name="Open", exact=True).click()
        expect(page.locator("#watch-rows tr")).to_have_count(2)
        is_listening(running)
        page.reload()
        expect(page.locator("#watch-rows tr")).to_have_count(2)


def test_phone_shows_one_panel_at_a_time(page: Page, running: Running) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    open_page(page, running)
    expect(page.locator("#watch-rows tr")).to_have_count(2)
    page.get_by_role("button", name="Signals").click()
    expect(page.locator("#watch")).to_be_hidden()
    expect(page.locator("#signals")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_sound_is_off_at_first_and_remembered(page: Page, running: Running) -> None:
    open_page(page, running)
    sound = page.get_by_role("button", name="Sound off")
    sound.click()
    page.reload()
    expect(page.get_by_role("button", name="Sound on")).to_have_attribute("aria-pressed", "true")
