"""What each simulated provider says for itself, and how all of them can be down."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ingest.simulator.answers import Answer, Params
from ingest.simulator.view import View

OUTAGES = (500, 502, 503, 504)


@dataclass(frozen=True)
class Asked:
    """One request, without its key."""

    path: str
    params: Params
    host: str
    """Name and port by which the client knows the server."""


class Provider(Protocol):
    """One provider's rules and answers."""

    def take_key(self, params: Params, headers: Params) -> str | None:
        """Return the key of a request, and take it out of `params`."""

    def refusal(self, asked: Asked, key: str | None, view: View) -> Answer | None:
        """Return what key, path, limits or plan forbid, in the order in which they are checked."""

    def error_inside_200(self) -> Answer:
        """Return a failure with status 200."""

    def answer(self, asked: Asked, view: View) -> Answer:
        """Answer what nothing forbids."""

    def count_bytes(self, key: str | None, view: View, byte_count: int) -> None:
        """Count what is about to go over the wire for `key`."""


def answered(provider: Provider, asked: Asked, key: str | None, view: View) -> Answer:
    """Return the provider's answer, with this request's faults in it."""
    refusal = provider.refusal(asked, key, view) or _outage(view)
    if refusal is not None:
        return refusal
    if "error_inside_200" in view.drawn:
        return provider.error_inside_200()
    answer = provider.answer(asked, view)
    if "malformed_json" in view.drawn and answer.status == 200:
        return Answer(200, answer.body[: len(answer.body) * 2 // 3] or b"[")
    return answer


def _outage(view: View) -> Answer | None:
    if "server_error" in view.drawn:
        status = OUTAGES[view.request_number % len(OUTAGES)]
        page = (
            f"<html>\r\n<head><title>{status}</title></head>\r\n<body>nginx</body>\r\n</html>\r\n"
        )
        return Answer(status, page.encode(), "text/html")
    if "html_page" in view.drawn:
        page = "<!doctype html><html><body>We will be back soon.</body></html>"
        return Answer(200, page.encode(), "text/html; charset=utf-8")
    return None
