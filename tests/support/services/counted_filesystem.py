"""A real fsspec file system on a local folder that counts what is asked, and can be slow or fail on demand.

It stands for a remote store where a test must know or steer each request: `counted:///absolute/folder`.
"""

import time
from typing import Any, ClassVar

import fsspec
from fsspec.implementations.local import LocalFileSystem


class CountedFileSystem(LocalFileSystem):  # type: ignore[misc]  # fsspec has no types
    """Counters and faults are the class's, as fsspec makes the instances."""

    protocol = "counted"
    listings: ClassVar[int] = 0
    reads: ClassVar[list[str]] = []
    faults: ClassVar[list[Exception]] = []  # raised one a request, before it is served
    lost_answers: ClassVar[int] = 0  # so many puts are done and then fail
    read_seconds: ClassVar[float] = 0.0

    @classmethod
    def reset(cls) -> None:
        cls.listings, cls.reads, cls.faults, cls.lost_answers, cls.read_seconds = 0, [], [], 0, 0.0

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(super()._strip_protocol(path.removeprefix("counted://")))

    @classmethod
    def _fail_if_due(cls) -> None:
        if cls.faults:
            raise cls.faults.pop(0)

    def find(self, path: str, **kwargs: Any) -> Any:
        type(self).listings += 1
        self._fail_if_due()
        return super().find(path, **kwargs)

    def cat_file(self, path: str, **kwargs: Any) -> bytes:
        type(self).reads.append(path)
        time.sleep(self.read_seconds)
        self._fail_if_due()
        return bytes(super().cat_file(path, **kwargs))

    def pipe_file(self, path: str, value: bytes, **kwargs: Any) -> None:
        self._fail_if_due()
        super().pipe_file(path, value, **kwargs)
        if type(self).lost_answers:
            type(self).lost_answers -= 1
            raise ConnectionResetError("the answer was lost")


fsspec.register_implementation("counted", CountedFileSystem, clobber=True)
