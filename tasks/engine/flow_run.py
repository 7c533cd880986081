"""A flow run as people see it: its name says of what it is and when, its last state what was found or decided."""

from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import Any, TypeVar, cast

from tasks.engine.stage import inside_flow_run

R = TypeVar("R")


def run_name() -> str:
    """Of the flow run that begins, such as `retrain demo 2026-11-30 03:00`; one that a person typed is kept."""
    from prefect.runtime import flow_run

    given = flow_run.name
    if given and not is_made_up(given):
        return str(given)
    when = f"{datetime.now().astimezone():%Y-%m-%d %H:%M}"
    words = (flow_run.flow_name, subject_of(flow_run.parameters), when)
    return " ".join(str(word) for word in words if word)


def subject_of(parameters: Mapping[str, Any]) -> str:
    """What a run's parameters say that it is about: a data set, a model or a work pool."""
    for key in ("dataset", "run", "model"):
        value = parameters.get(key)
        name = value.get("name") if isinstance(value, Mapping) else getattr(value, "name", None)
        if name:
            return str(name)
    return str(parameters.get("pool") or "")


def is_made_up(name: str) -> bool:
    """Whether Prefect made it up, such as `chivalrous-mouflon`."""
    words = name.split("-")
    return len(words) > 1 and all(word in _made_up_words() for word in words)


@cache
def _made_up_words() -> frozenset[str]:
    """The vocabulary of the package that Prefect takes such names from."""
    from coolname.data import config

    parts: dict[str, Any] = config
    phrases = [
        phrase for part in parts.values() for phrase in (*part.get("words", ()), *part.get("phrases", ()))
    ]
    pieces = [piece for phrase in phrases for piece in ([phrase] if isinstance(phrase, str) else phrase)]
    return frozenset(word for piece in pieces for word in piece.replace("-", " ").split())


def ended(result: R, words: str, name: str | None = None) -> R:
    """The result of a flow, whose run ends in a state that is called `name` and says these words."""
    if not inside_flow_run():
        return result
    from prefect.states import Completed

    return cast("R", Completed(name=name, message=words, data=result))
