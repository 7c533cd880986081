"""YAML of documents: read within limits, since it may come from anybody; written so that git shows what changed."""

from collections.abc import Mapping
from typing import Any, Final

import yaml

from tasks.errors import PipelineError

MOST_BYTES: Final = 256 * 1024
"""Of one document."""
MOST_NESTED: Final = 20
"""Values within values."""
LINE: Final = 100
"""Characters after which a written line goes on below."""
ONE_LINE: Final = 90
"""Characters of a mapping of plain values that stands on one line."""

_Loader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_text(text: str, called: str) -> Any:
    """The plain values of a YAML text; a date stays the text that it was written as.

    Raises: PipelineError when it is no YAML, is too large, is nested too deep, uses anchors, or says a key twice.
    """
    if len(text.encode()) > MOST_BYTES:
        raise PipelineError(
            f"{called} has more than {MOST_BYTES // 1024} kB",
            cure="a pipeline is short: leave out what is not one",
        )
    try:
        _check_events(text, called)
        return yaml.load(text, _PlainLoader)  # noqa: S506 - a safe loader that also refuses doubled keys
    except yaml.YAMLError as error:
        raise PipelineError(
            f"{called} is no YAML: {_where(error)}", cure="correct the text at that place"
        ) from error


class Lines(dict[str, Any]):
    """A mapping that is written a key a line, even where it is short."""


def write_text(values: Mapping[str, Any]) -> str:
    """YAML in the order of the values: mappings and lists of plain values stand on one line where they fit."""
    return yaml.dump(
        Lines(values),
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        width=LINE,
        default_flow_style=None,
    )


def _check_events(text: str, called: str) -> None:
    """Refuse what can make a small text a large value, before any value is made."""
    depth = 0
    for event in yaml.parse(text, _Loader):
        line = event.start_mark.line + 1 if event.start_mark else "?"
        if getattr(event, "anchor", None) is not None:
            raise PipelineError(
                f"{called}, line {line}: anchors and aliases (& and *) are not read",
                cure="write the value out where it is meant",
            )
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        if isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MOST_NESTED:
            raise PipelineError(
                f"{called}, line {line}: more than {MOST_NESTED} values within values",
                cure="take out the inner ones: no setting is that deep",
            )


def _where(error: yaml.YAMLError) -> str:
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    return f"line {mark.line + 1}: {problem}" if mark is not None else str(problem or error)


class _PlainLoader(yaml.SafeLoader):
    """Values of JSON alone."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Keys are the text that was written. One that stands twice is refused: YAML would take the last."""
        said: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = key_node.value
            if not isinstance(key_node, yaml.ScalarNode) or key in said:
                problem = f"the key {key} stands twice" if isinstance(key, str) else "a key that is no text"
                raise yaml.constructor.ConstructorError(None, None, problem, key_node.start_mark)
            said[key] = self.construct_object(value_node, deep=deep)
        return said


_PlainLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


class _Dumper(yaml.SafeDumper):
    """Without aliases: a value that stands in two places is written twice."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - PyYAML's signature
        """Never an alias."""
        return True

    def represent_lines(self, values: Mapping[str, Any]) -> yaml.Node:
        """A key a line."""
        return self.represent_mapping("tag:yaml.org,2002:map", values, flow_style=False)

    def represent_fitting(self, values: Mapping[str, Any]) -> yaml.Node:
        """On one line where that is short enough to be read."""
        flow = None if len(str(values)) <= ONE_LINE else False
        return self.represent_mapping("tag:yaml.org,2002:map", values, flow_style=flow)


_Dumper.add_representer(Lines, _Dumper.represent_lines)
_Dumper.add_representer(dict, _Dumper.represent_fitting)
