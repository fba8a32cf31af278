"""Python's garbage, collected in the pauses between ticks and not while signals are sent.

With a thousand clients a collection stops all of them for 0.1 s and more.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def left_for_pauses() -> Iterator[None]:
    """Keep Python from collecting by itself; what there is by now is looked at no more."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()


def collect_in_pause() -> None:
    """Collect what was left; nothing where Python collects by itself."""
    if not gc.isenabled():
        gc.collect()
