"""The walk of a pipeline: each node is done when what it needs is there; where one fails the others go on."""

import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from threading import Lock
from typing import Final

from flows.components.place import Place
from flows.components.registry import COMPONENTS
from flows.components.values import Value, standing_on
from flows.pipeline.choice import Part
from flows.pipeline.result import NodeResult, PipelineResult
from tasks.engine.run import Run
from tasks.engine.stage import StageTiming, timed_stages
from tasks.errors import LightboxError, PipelineError
from tasks.pipeline.component import Component
from tasks.pipeline.document import Document, Node
from tasks.pipeline.graph import ordered, sources_of

logger = logging.getLogger(__name__)

TRAINING: Final = ("search", "train")
"""Components that take a whole machine, or pool: one at a time."""

DOCUMENT_FILE: Final = "pipeline.yaml"
"""Below a run's folder: the document, with all that its defaults say."""


def walk(
    document: Document, open_run: Callable[[str], Run], part: Part, *, at_once: int = 1
) -> PipelineResult:
    """Do what a checked and resolved document says, in this process.

    Args:
        document: With every setting said.
        open_run: Begins a run for a data set or model.
        part: How far.
        at_once: Nodes side by side; trainings are done one at a time all the same.
    """
    return Walk(document, open_run, part).done(at_once)


class Walk:
    """One walk; see `walk`."""

    def __init__(self, document: Document, open_run: Callable[[str], Run], part: Part) -> None:
        self._document, self._open_run = document, open_run
        self._chosen, self._forced = part.chosen(document), part.forced(document)
        self._runs: dict[str, Run] = {}
        self._opening, self._training = Lock(), Lock()
        self._values: dict[str, Value | None] = {}
        self._results: dict[str, NodeResult] = {}
        self._timings: list[StageTiming] = []

    def done(self, at_once: int) -> PipelineResult:
        """Walk, and say what became of each node."""
        started = time.perf_counter()
        order = ordered(self._document)
        with timed_stages() as self._timings:
            if at_once == 1:
                for name in order:
                    self._results[name] = self._result(name)
            else:
                self._side_by_side(order, at_once)
        return PipelineResult(
            pipeline=self._document.name,
            digest=self._document.digest,
            runs={name: run.id for name, run in self._runs.items()},
            nodes=tuple(self._results[name] for name in order),
            seconds=round(time.perf_counter() - started, 3),
        )

    def _side_by_side(self, order: tuple[str, ...], at_once: int) -> None:
        sources, waiting = sources_of(self._document), list(order)
        begun: dict[Future[NodeResult], str] = {}
        with ThreadPoolExecutor(at_once) as pool:
            while waiting or begun:
                for name in [
                    one for one in waiting if all(source in self._results for source in sources[one])
                ]:
                    waiting.remove(name)
                    begun[pool.submit(copy_context().run, self._result, name)] = name
                for future in wait(begun, return_when=FIRST_COMPLETED).done:
                    self._results[begun.pop(future)] = future.result()

    def _result(self, name: str) -> NodeResult:
        node = self._document.nodes[name]
        if name not in self._chosen:
            return NodeResult(node=name, component=node.component, state="left out")
        missing = [one for one in sources_of(self._document)[name] if one not in self._values]
        if missing:
            problem = f"{' and '.join(missing)} did not end well"
            return NodeResult(node=name, component=node.component, state="not reached", problem=problem)
        began = time.perf_counter()
        try:
            value = self._value(name, node)
        except LightboxError as error:
            return self._failed(name, began, error.message, error.cure)
        except Exception as error:
            logger.exception("node %s failed", name)
            return self._failed(
                name, began, repr(error), "this is a fault of Lightbox: report it with the log"
            )
        self._values[name] = value
        stages = self._stages(name)
        reused = bool(stages) and all(row.reused for row in stages)
        return NodeResult(
            node=name,
            component=node.component,
            state="reused" if reused else "done",
            seconds=round(time.perf_counter() - began, 3),
            stages=stages,
            told=value.told if value is not None else None,
        )

    def _failed(self, name: str, began: float, problem: str, cure: str) -> NodeResult:
        return NodeResult(
            node=name,
            component=self._document.nodes[name].component,
            state="failed",
            seconds=round(time.perf_counter() - began, 3),
            stages=self._stages(name),
            problem=problem,
            cure=cure,
        )

    def _stages(self, name: str) -> tuple[StageTiming, ...]:
        return tuple(row for row in self._timings if row.node == name)

    def _value(self, name: str, node: Node) -> Value | None:
        component = COMPONENTS[node.component]
        inputs = {given: self._values[source] for given, (source,) in node.inputs.items()}
        check_agreement(name, component, inputs)
        place = Place(node=name, force=name in self._forced, open=self._opened)
        settings = component.form(node.settings)
        if component.name not in TRAINING:
            return self._done(component, place, settings, inputs)
        with self._training:
            return self._done(component, place, settings, inputs)

    @staticmethod
    def _done(
        component: Component, place: Place, settings: object, inputs: Mapping[str, object]
    ) -> Value | None:
        value: Value | None = component.function()(place, settings, **inputs)
        return value

    def _opened(self, name: str) -> Run:
        """The run of a data set or model; each has one of its own, with the document beside it."""
        with self._opening:
            if name not in self._runs:
                run = self._open_run(name)
                run.write(DOCUMENT_FILE, self._document.write().encode())
                self._runs[name] = run
        return self._runs[name]


def check_agreement(node: str, component: Component, inputs: Mapping[str, object]) -> None:
    """The alarm behind the check's fence: inputs that must stand on the same do, by what is in them.

    Raises: PipelineError when they do not.
    """
    for kind, names in component.agree.items():
        said = {name: standing_on(inputs[name], kind) for name in names if name in inputs}
        if len(set(said.values())) > 1:
            raise PipelineError(
                f"{node}: {' and '.join(said)} stand on another {kind} each",
                cure=f"wire all of them to what follows from one {kind}",
            )
