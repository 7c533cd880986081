"""Whose traces are looked for, and the replacement of each."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

GONE: Final = "forgotten"
"""Stands where the path of an image stood."""


@dataclass(frozen=True)
class Subject:
    """What is to go.

    `digests` maps each digest (of an image's bytes or pixels) to what stands in its place; `paths` are those of the
    images' files in their stores, if no other content stands there; `files` maps the digest of each file that was
    written again to its new one.
    """

    digests: Mapping[str, str]
    paths: frozenset[str] = frozenset()
    files: Mapping[str, str] = field(default_factory=dict)

    def names(self, text: str) -> bool:
        """Whether a text names one of the images, by its digest anywhere in it or by its path alone."""
        return text in self.paths or any(digest in text for digest in self.digests)

    def without(self, text: str) -> str:
        """The text with the replacements; a path goes as a whole."""
        if text in self.paths:
            return GONE
        for before, after in (*self.digests.items(), *self.files.items()):
            text = text.replace(before, after)
        return text

    def without_in(self, value: Any) -> Any:
        """A JSON value with the replacements; where an object or a row names an image, its `path` goes too."""
        match value:
            case str():
                return self.without(value)
            case list():
                return [self.without_in(item) for item in value]
            case dict():
                told = {self.without(key): self.without_in(item) for key, item in value.items()}
                if "path" in told and any(
                    isinstance(item, str) and self._is(item) for item in value.values()
                ):
                    told["path"] = GONE
                return told
            case _:
                return value

    def _is(self, text: str) -> bool:
        return text in self.digests
