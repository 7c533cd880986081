"""So many bytes of memory for all threads of a kind of work together."""

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager


class MemoryBudget:
    """So many bytes for all threads together; who asks for more than is left waits for its turn."""

    def __init__(self, size_bytes: int) -> None:
        self._size = self._left = size_bytes
        self._waiting: deque[object] = deque()
        self._changed = threading.Condition()

    @contextmanager
    def taken(self, size_bytes: int) -> Iterator[None]:
        """Have so many bytes inside, or all of them where it asks for more; first come, first served."""
        wanted, ticket = min(size_bytes, self._size), object()
        with self._changed:
            self._waiting.append(ticket)
            try:
                self._changed.wait_for(lambda: self._waiting[0] is ticket and self._left >= wanted)
                self._left -= wanted
            finally:
                self._waiting.remove(ticket)
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._left += wanted
                self._changed.notify_all()
