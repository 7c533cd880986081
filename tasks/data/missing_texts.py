"""Texts that tables write where there is no value, as pandas knows them; and what a cell says besides."""

from typing import Any, Final

MISSING_TEXTS: Final = frozenset(
    {
        "#n/a",
        "#n/a n/a",
        "#na",
        "-1.#ind",
        "-1.#qnan",
        "-nan",
        "1.#ind",
        "1.#qnan",
        "<na>",
        "n/a",
        "na",
        "null",
        "nan",
    }
    | {"nat"}
)
"""In any case of letters; pandas' `None` only as it stands, since `none` is a class's name where nothing was found."""


def is_missing_text(text: str) -> bool:
    """Whether a cell's text is how programs write that there is no value."""
    return text == "None" or text.casefold() in MISSING_TEXTS


def cell_text(value: Any) -> str | None:
    """A cell as text without blanks around it; None where it is empty."""
    if value is None or value != value:  # noqa: PLR0124 NaN is how tables say nothing
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip() or None
