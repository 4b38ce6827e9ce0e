"""The garbage collector around the start of a process, when nearly everything that is made stays to the end.

Measured with 10,000 targets: without the collector a headless rollout is ready in 1.1 s of CPU instead of 1.25 s, and
the screens are loaded in 0.29 s instead of 0.35 s. A full collection takes 60 ms, and nothing once all is frozen.
A fleet file of ordinary tables is read no faster without it (0.47 s and 0.49 s), but one of 100,000 tables in tables is
refused after 1.2 s instead of 3.7 s.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


def pause_collector() -> None:
    """Collect nothing while modules are loaded and the plan is made; `start_collector` ends the pause."""
    gc.disable()


def start_collector() -> None:
    """Collect from now on, but never walk again what is loaded by now."""
    gc.freeze()
    gc.enable()


def spare_what_is_loaded() -> None:
    """Leave what is loaded by now out of later collections: a key would wait for each of them."""
    gc.collect()
    gc.freeze()


@contextmanager
def without_collector() -> Iterator[None]:
    """Collect nothing meanwhile, for a file whose every table stays to the end."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
