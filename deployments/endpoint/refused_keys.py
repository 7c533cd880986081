"""Repeated refusals of keys: said in the log, once a while, and answered later and later."""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

WITHIN_SECONDS: Final = 60.0
FREE: Final = 10
"""Refusals of one address within that time that are answered as usual."""

_MAX_ADDRESSES: Final = 1024
logger = logging.getLogger("lightbox.endpoint")


class RefusedKeys:
    """Counts refused keys by address; what shows a right key is never kept waiting."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._counts: OrderedDict[str, tuple[float, int]] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, address: str, path: str) -> int | None:
        """Note a refusal; the seconds after which this address may ask again, None: as it likes."""
        now = self._clock()
        with self._lock:
            since, count = self._counts.pop(address, (now, 0))
            if now - since > WITHIN_SECONDS:
                since, count = now, 0
            count += 1
            self._counts[address] = since, count
            while len(self._counts) > _MAX_ADDRESSES:
                self._counts.popitem(last=False)
        if count & (count - 1) == 0:  # the first, second, fourth, eighth ...
            logger.warning("%d keys refused within a minute: address %s, last for %s", count, address, path)
        return None if count <= FREE else max(1, round(since + WITHIN_SECONDS - now))
