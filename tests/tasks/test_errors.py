"""The tree of errors that is drawn is the one that is raised, and each of them travels between processes."""

import pickle
import re
from collections.abc import Iterator

import pytest

from tasks import errors
from tasks.errors import LightboxError


def drawn() -> dict[str, str | None]:
    """Each name of the drawing, with the name above it."""
    above: list[str] = []
    tree: dict[str, str | None] = {}
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"^([│├└─ ]*)([A-Z]\w+)(?: {2,}\S|$)", line)
        if found is not None:
            depth = len(found[1]) // 4
            above[depth:] = [found[2]]
            tree[found[2]] = above[depth - 1] if depth else None
    return tree


def defined(error: type[LightboxError] = LightboxError) -> Iterator[type[LightboxError]]:
    """An error of the module, and all below it."""
    yield error
    for below in error.__subclasses__():
        if below.__module__ == errors.__name__:
            yield from defined(below)


def test_the_drawing_equals_the_classes() -> None:
    classes = {kind.__name__: kind.__base__.__name__ for kind in defined() if kind.__base__ is not None}
    assert {**classes, "LightboxError": None} == drawn()


def test_every_error_of_the_code_is_of_the_tree() -> None:
    """Nobody adds an expected failure elsewhere, where the drawing would miss it."""
    assert {kind.__module__ for kind in LightboxError.__subclasses__()} == {errors.__name__}
    assert len(list(defined())) > 15


@pytest.mark.parametrize("kind", list(defined()), ids=lambda kind: kind.__name__)
def test_an_error_comes_back_whole_from_another_process(kind: type[LightboxError]) -> None:
    error = pickle.loads(pickle.dumps(kind("what", cure="how")))  # noqa: S301 - our own bytes
    assert (type(error), error.message, error.cure) == (kind, "what", "how")
    assert str(error) == "what\n  cure: how"
