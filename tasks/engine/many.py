"""Many: one stage over many arguments, side by side, on the task runner of the flow run or in threads."""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, TypeVar

from tasks.engine.run import Run
from tasks.engine.stage import Outcome, Stage, inside_flow_run
from tasks.errors import LightboxError, TrainingError
from tasks.record import Record

logger = logging.getLogger(__name__)

R = TypeVar("R", bound=Record)

ATTEMPTS = 3
"""How often a training is begun whose process or machine dies."""


def run_many(
    stage: Stage[Any, R], run: Run, calls: Sequence[tuple[Any, ...]], at_once: int
) -> list[Outcome[R] | TrainingError]:
    """The outcomes of a stage for each tuple of arguments, in their order; a training that cannot go on is an outcome.

    Raises:
        LightboxError: any other failure.
    """
    if not inside_flow_run():
        return _in_threads(stage, run, calls, at_once)
    outcomes: list[Outcome[R] | TrainingError] = []
    begun: list[Callable[[], Outcome[R]]] = []
    for place in range(len(calls)):
        begun += [stage.begin(run, *call) for call in calls[len(begun) : place + at_once]]
        outcomes.append(_waited_for(begun[place], stage, run, calls[place]))
    return outcomes


def _in_threads(
    stage: Stage[Any, R], run: Run, calls: Sequence[tuple[Any, ...]], at_once: int
) -> list[Outcome[R] | TrainingError]:
    def one(call: tuple[Any, ...]) -> Outcome[R] | TrainingError:
        try:
            return stage.execute(run, *call)
        except TrainingError as error:
            return error

    if at_once == 1:
        return [one(call) for call in calls]
    with ThreadPoolExecutor(at_once) as pool:
        contexts = [copy_context() for _ in calls]
        return list(pool.map(lambda context, call: context.run(one, call), contexts, calls))


def _waited_for(
    wait: Callable[[], Outcome[R]], stage: Stage[Any, R], run: Run, call: tuple[Any, ...]
) -> Outcome[R] | TrainingError:
    """A process or machine that dies is no fault of the training: it is begun again elsewhere."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return wait()
        except TrainingError as error:
            return error
        except LightboxError:
            raise
        except Exception:
            if attempt == ATTEMPTS:
                raise
            logger.warning("a training was lost and is begun again", exc_info=True)
            wait = stage.begin(run, *call)
    raise AssertionError("unreachable")
