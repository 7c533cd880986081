"""Bounds on processor time that hold on any machine: seconds of a usual one, stretched as this one is slower."""

import time

from tasks.images.effort import MeteredFile

_STEPS = 100_000
_USUAL_SECONDS = 0.028
"""Of a core of 2023, for so many steps, measured without coverage."""


def allowed(usual_seconds: float) -> float:
    """Seconds of processor time that this machine, as it is measured and traced now, may take for them."""
    file = MeteredFile(b"")
    before = time.thread_time()
    for _ in range(_STEPS):
        file.read(0)
    return usual_seconds * max(1.0, (time.thread_time() - before) / _USUAL_SECONDS)
