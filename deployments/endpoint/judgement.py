"""From the bytes of one image to what is said of it, on a bounded pool of threads."""

import asyncio
import hashlib
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock

from deployments.endpoint.admission import Gate
from deployments.endpoint.formats import Row
from deployments.endpoint.measures import Measures
from deployments.endpoint.overlay import overlay, picture_for_people
from deployments.endpoint.refusal import Refusal
from deployments.endpoint.served_model import ServedModel
from tasks.images.reject_reasons import ImageRejected
from tasks.models.bundle import Prediction


@dataclass(frozen=True, slots=True)
class Judged:
    """One row's outcome. `sha256` is of the image's bytes, None when there were none; `seconds` of work."""

    outcome: Prediction | Refusal
    sha256: str | None
    seconds: float
    data: bytes
    overlay: str | None = None


def judge(model: ServedModel, row: Row, explain: bool = False) -> Judged:
    """Read, decode and judge one image, and draw what spoke for its label if asked; an unusable one is refused."""
    started = time.perf_counter()
    data, digest, drawn = b"", None, None
    outcome: Prediction | Refusal
    try:
        data = row.read()
        digest = hashlib.sha256(data).hexdigest()
        with model.decoded(data) as decoded:
            pixels = model.prepare(decoded)
            shown = picture_for_people(model, decoded) if explain else None
        outcome = model.bundle.decide(model.logits(pixels)[None])[0]
        if shown is not None:
            drawn = overlay(model, shown, pixels, outcome.label)
    except Refusal as refusal:
        outcome = refusal
    except ImageRejected as rejected:
        reason = rejected.reason.value.replace("_", " ")
        outcome = Refusal(
            400,
            rejected.reason.value,
            f"the image cannot be used ({reason}): {rejected.detail}",
            field=row.field,
        )
    return Judged(outcome, digest, time.perf_counter() - started, data, drawn)


class Judges:
    """The pool of threads that judge, one image each; call from the event loop's thread only."""

    def __init__(self, width: int, gate: Gate, measures: Measures, answer_seconds: float) -> None:
        self._pool = ThreadPoolExecutor(width, thread_name_prefix="judge")
        self._gate, self._measures = gate, measures
        self._seconds = answer_seconds
        self._lock = Lock()
        self._busy = 0
        self._none_free_since: float | None = None
        self.width = width

    @property
    def stuck_seconds(self) -> float:
        """For how long all judges have been at the images that they are at: nothing came free meanwhile."""
        since = self._none_free_since
        return 0.0 if since is None else time.monotonic() - since

    @property
    def is_stuck(self) -> bool:
        """Whether no judge came free for longer than an answer may take: the next request would wait in vain."""
        return self.stuck_seconds > self._seconds

    async def judge(self, model: ServedModel, rows: Sequence[Row], explain: bool = False) -> list[Judged]:
        """Every row's outcome, in order.

        Raises:
            Refusal: 429, the queue is full; 503, not done in time.
        """
        loop = asyncio.get_running_loop()
        self._gate.queue(len(rows))
        jobs = [self._pool.submit(self._work, model, row, explain) for row in rows]
        self._measures.queue.set(self._gate.queued)
        for job in jobs:
            job.add_done_callback(lambda done: loop.call_soon_threadsafe(self._left, done))
        try:
            async with asyncio.timeout(self._seconds):
                return [await asyncio.wrap_future(job) for job in jobs]
        except TimeoutError:
            message = f"no answer within answer_seconds={self._seconds:g}; try again, with fewer rows at once"
            raise Refusal(
                503, "time_out", message, limit=self._seconds, headers={"retry-after": "1"}
            ) from None
        finally:
            for job in jobs:
                job.cancel()

    def close(self) -> None:
        """Wait for what is at work, drop what waits."""
        self._pool.shutdown(cancel_futures=True)

    def _work(self, model: ServedModel, row: Row, explain: bool) -> Judged:
        with self._lock:
            self._busy += 1
            if self._busy == self.width:
                self._none_free_since = time.monotonic()
        try:
            return judge(model, row, explain)
        finally:
            with self._lock:
                self._busy -= 1
                self._none_free_since = None

    def _left(self, job: Future[Judged]) -> None:
        failed = job.cancelled() or job.exception() is not None
        self._gate.left(None if failed else job.result().seconds)
        self._measures.queue.set(self._gate.queued)
