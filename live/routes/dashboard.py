"""GET /dashboard: the page and its files. They hold no data, so they are served without a token."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from litestar import Response
from litestar.datastructures import CacheControlHeader
from litestar.static_files import create_static_files_router

from live.access import PUBLIC

FOLDER = Path(__file__).parents[1] / "dashboard"

HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}
"""Nothing from elsewhere, nothing inline, and no text that becomes HTML (innerHTML throws)."""


def _with_headers(response: Response[Any]) -> Response[Any]:
    response.headers.update(HEADERS)
    return response


dashboard = create_static_files_router(
    path="/dashboard",
    directories=[FOLDER],
    html_mode=True,
    name="dashboard",
    after_request=_with_headers,
    cache_control=CacheControlHeader(no_cache=True),
    opt={PUBLIC: True},
)
