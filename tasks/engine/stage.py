"""A stage: one box of the data's way. Runs plainly or as a Prefect task, and not at all when nothing changed.

A stage is a function of a `Run` and of records and settings. Its key is the digest of its name, its version
and all its arguments but the run; its result is kept in the workspace under that key, so that a rerun, a
resumed run or another machine takes it from there. Prefect's own result cache is not used: it would depend on
the server's storage, hash payloads and not see changed code behind the task.
"""

import importlib
import inspect
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import update_wrapper
from typing import Any, Concatenate, Final, Generic, ParamSpec, TypeVar, cast

from pydantic import BaseModel, Field, ValidationError

from tasks.engine.display import StageEnd, progress_of, tell_end
from tasks.engine.kept import KeptResult, StageUse, keep_result, read_result, result_path, tell_use
from tasks.engine.run import Run
from tasks.record import Frozen, Record, digest_of
from tasks.stores.disk import told_when_full
from tasks.work.progress import Progress

P = ParamSpec("P")
R = TypeVar("R", bound=Record)

KEY_NAMES: Final[Mapping[str, str]] = {"catalogue": "found", "bundle": "exported", "audit": "audited"}
"""Under what name an input stands in keys, where that is not its parameter's: as when results were first kept, so that
a rename loses nothing that was trained."""


NODE_TAG: Final = "node:"
"""What the Prefect tag of a stage's task begins with where a run has nodes; the node's name follows."""


@dataclass(frozen=True)
class Outcome(Generic[R]):
    """What a stage answered, the seconds that it took now, and whether an earlier result was taken."""

    record: R
    seconds: float
    reused: bool


class StageTiming(Frozen):
    """One row of the summary: what a stage cost in this run."""

    stage: str = Field(description="Name of the stage.")
    node: str | None = Field(default=None, description="Node of the run, where it holds several trainings.")
    seconds: float = Field(ge=0, description="Wall-clock seconds in this run.")
    reused: bool = Field(description="Whether an earlier result was taken.")


_timings: ContextVar[list[StageTiming] | None] = ContextVar("lightbox_timings", default=None)
_progress: ContextVar[Progress] = ContextVar("lightbox_progress")


@contextmanager
def timed_stages() -> Iterator[list[StageTiming]]:
    """Collect the timings of the stages run inside, in order."""
    rows: list[StageTiming] = []
    token = _timings.set(rows)
    try:
        yield rows
    finally:
        _timings.reset(token)


def progress() -> Progress:
    """The progress callable of the running stage."""
    return _progress.get()


def add_timing(stage: str, seconds: float, *, reused: bool, node: str | None = None) -> None:
    """Count work of this run that was done elsewhere, such as on a work pool."""
    rows = _timings.get()
    if rows is not None:
        rows.append(StageTiming(stage=stage, node=node, seconds=round(seconds, 3), reused=reused))


def timings_so_far() -> tuple[StageTiming, ...]:
    """The stages that this run has finished."""
    return tuple(_timings.get() or ())


class Stage(Generic[P, R]):
    """A callable stage; see the module's docstring."""

    def __init__(
        self,
        fn: Callable[Concatenate[Run, P], R],
        *,
        name: str,
        version: int,
        retries: int,
        reusable: bool,
        state: Callable[..., Any] | None,
    ) -> None:
        self._fn = fn
        self.name = name
        self.version = version
        self.retries = retries
        self.reusable = reusable
        self._state = state
        self._signature = inspect.signature(fn)
        self._record: type[R] = self._signature.return_annotation
        update_wrapper(self, fn)

    def __call__(self, run: Run, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the stage, as a Prefect task when called inside a flow run."""
        label = self._label(run, args, kwargs)
        if inside_flow_run():
            # A task that returns a state is answered with that state, not with its data.
            outcome = self._as_task(run, label)(run, args, kwargs, label, True, return_state=True).result()
        else:
            outcome = self._execute(run, args, kwargs, label, False)
        add_timing(label, outcome.seconds, reused=outcome.reused, node=run.node)
        record = cast("R", outcome.record)
        tell_end(StageEnd(_shown(run, label), outcome.seconds, outcome.reused, record.in_words()))
        return record

    def begin(self, run: Run, *args: P.args, **kwargs: P.kwargs) -> Callable[[], Outcome[R]]:
        """Submit the stage to the task runner of the flow run that calls; what is answered waits for its outcome."""
        label = self._label(run, args, kwargs)
        future = self._as_task(run, label).submit(run, args, kwargs, label, True)
        return lambda: cast("Outcome[R]", future.result())

    def execute(self, run: Run, *args: P.args, **kwargs: P.kwargs) -> Outcome[R]:
        """Run the stage in this thread, without Prefect."""
        return self._execute(run, args, kwargs, self._label(run, args, kwargs), False)

    def __reduce__(self) -> tuple[object, ...]:
        """By name: another process finds the stage in its module."""
        return _stage_named, (self._fn.__module__, self._fn.__name__)

    def _label(self, run: Run, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        bound = self._signature.bind(run, *args, **kwargs)
        return self.name.format(**bound.arguments)

    def _as_task(self, run: Run, label: str) -> Any:
        from prefect import task
        from prefect.cache_policies import NO_CACHE
        from prefect.states import Completed

        def body(
            run: Run, args: tuple[Any, ...], kwargs: dict[str, Any], label: str, in_prefect: bool
        ) -> Any:
            outcome = self._execute(run, args, kwargs, label, in_prefect)
            # Prefect logs a state with its message: the log says what each stage found.
            name = "Reused" if outcome.reused else None
            return Completed(name=name, message=outcome.record.in_words() or None, data=outcome)

        return task(
            name=label.split(" ", maxsplit=1)[0],
            task_run_name=label,
            tags=[f"{NODE_TAG}{run.node}"] if run.node else None,
            description=inspect.getdoc(self._fn),
            cache_policy=NO_CACHE,
            persist_result=False,
            retries=self.retries,
            retry_delay_seconds=[2.0 * 3**attempt for attempt in range(self.retries)],
            retry_condition_fn=_worth_a_retry,
        )(body)

    def _execute(
        self, run: Run, args: tuple[Any, ...], kwargs: dict[str, Any], label: str, in_prefect: bool
    ) -> Outcome[R]:
        started = time.perf_counter()
        if self.reusable and not run.force:
            kept = self._kept(run, label, self._entry(run, args, kwargs))
            if kept is not None:
                return Outcome(kept, time.perf_counter() - started, reused=True)
        token = _progress.set(progress_of(_shown(run, label), in_prefect=in_prefect))
        try:
            with told_when_full(run.places):
                result = self._fn(run, *args, **kwargs)
                if self.reusable:
                    seconds = time.perf_counter() - started
                    self._keep(run, label, self._entry(run, args, kwargs), result, seconds)
        finally:
            _progress.reset(token)
        return Outcome(result, time.perf_counter() - started, reused=False)

    def _kept(self, run: Run, label: str, entry: str) -> R | None:
        """The earlier result; that it is used is told before its files are looked for, so that none goes meanwhile."""
        workspace = run.open_workspace()
        kept = read_result(workspace, entry)
        if kept is None:
            return None
        try:
            record = self._record.model_validate(kept.record)
        except ValidationError:
            return None  # written by another version of the record: made again
        self._tell_use(run, label, entry, record, reused=True)
        return record if all(workspace.exists(file.path) for file in record.files()) else None

    def _keep(self, run: Run, label: str, entry: str, record: R, seconds: float) -> None:
        self._tell_use(run, label, entry, record, reused=False)
        told = record.model_dump(mode="json")
        result = KeptResult(
            stage=self.name, name=run.name, run=run.id, seconds=round(seconds, 3), record=told
        )
        keep_result(run.open_workspace(), entry, result)

    def _tell_use(self, run: Run, label: str, entry: str, record: R, *, reused: bool) -> None:
        files = tuple(sorted({file.path for file in record.files()}))
        use = StageUse(name=run.name, stage=label, node=run.node, entry=entry, files=files, reused=reused)
        tell_use(run.open_workspace(), run.id, use)

    def _entry(self, run: Run, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        bound = self._signature.bind(run, *args, **kwargs)
        bound.apply_defaults()
        inputs = {KEY_NAMES.get(key, key): _plain(value) for key, value in list(bound.arguments.items())[1:]}
        content = {
            "name": self.name,
            "version": self.version,
            "of": run.name,
            "inputs": inputs,
            "state": self._state_of(bound.arguments),
        }
        return result_path(self.name, digest_of(content))

    def _state_of(self, arguments: Mapping[str, Any]) -> Any:
        """What `state` says of those of the stage's arguments that it names."""
        if self._state is None:
            return None
        return self._state(**{name: arguments[name] for name in inspect.signature(self._state).parameters})


def _shown(run: Run, label: str) -> str:
    """A stage as people see it: with its node where the run has several."""
    return f"{run.node}: {label}" if run.node else label


def _stage_named(module: str, name: str) -> Any:
    return getattr(importlib.import_module(module), name)


def stage(
    name: str,
    *,
    version: int,
    retries: int = 0,
    reusable: bool = True,
    state: Callable[..., Any] | None = None,
) -> Callable[[Callable[Concatenate[Run, P], R]], Stage[P, R]]:
    """Make a function of a run into a stage.

    `name` may hold fields filled from the arguments (`"fine-tune member {plan.index}"`); its first word names
    the Prefect task. `state` says what else the result depends on, such as the fold ledger, from those arguments
    of the stage that it names; it is asked before the stage, to look for a kept result, and after it, to keep one.
    """

    def wrap(fn: Callable[Concatenate[Run, P], R]) -> Stage[P, R]:
        return Stage(fn, name=name, version=version, retries=retries, reusable=reusable, state=state)

    return wrap


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, frozenset):
        return sorted(value)
    if hasattr(value, "__dataclass_fields__"):
        return {key: _plain(getattr(value, key)) for key in value.__dataclass_fields__}
    return value


def inside_flow_run() -> bool:
    """Whether the calling code runs in a Prefect flow run."""
    if "prefect" not in sys.modules:
        return False
    from prefect.context import FlowRunContext

    return FlowRunContext.get() is not None


def _worth_a_retry(task: Any, task_run: Any, state: Any) -> bool:  # noqa: ARG001 - Prefect's signature
    """Expected failures name their own cure; trying again would only delay the message."""
    from tasks.errors import LightboxError, StoreUnreachable

    try:
        state.result(raise_on_failure=True)
    except StoreUnreachable:
        return True
    except LightboxError:
        return False
    except Exception:  # noqa: BLE001 - any other failure may be passing
        return True
    return False
