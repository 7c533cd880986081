"""Labels that differ only in how they are written: one class, and a person is told."""

import html
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final
from urllib.parse import unquote

_NAMED: Final = 5
_DASHES: Final = dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63\uff0d"), "-")
_UNSEEN: Final = dict.fromkeys(map(ord, "\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"), None)
_QUOTES: Final = "\"'`\u2018\u2019\u201a\u201c\u201d\u201e\u00ab\u00bb\u2039\u203a"
_LISTED: Final = re.compile(
    r"\[\s*([^\[\],]*?)\s*,?\s*\]|\(\s*([^(),]*?)\s*,\s*\)|b(['\"].*['\"])", re.DOTALL
)
_NUMBER: Final = re.compile(r"[+-]?\d+(\.\d*)?|[+-]?\d+,(\d{1,2}|\d{4,})")
_BETWEEN: Final = re.compile(r"(?<=[^\W_])[\s_-]+(?=[^\W_])")
_MANGLED: Final = re.compile("[\u00c2\u00c3\u00e2]")

_SAME_ANSWER: Final = (
    frozenset({"1", "true", "yes", "y", "positive", "pos"}),
    frozenset({"0", "false", "no", "n", "negative", "neg"}),
)
_SAYS_NOTHING: Final = frozenset(
    {
        "",
        "?",
        "-",
        "--",
        ".",
        "unknown",
        "missing",
        "not available",
        "unlabelled",
        "unlabeled",
        "undefined",
        "none",
    }
    | {
        "nan",
        "na",
        "n/a",
        "null",
        "nil",
        "tbd",
        "todo",
        "not labelled",
        "not labeled",
        "no label",
        "<na>",
        "#n/a",
    }
)
_SEVERAL: Final = re.compile(r"\s*[;|,/+]\s*")


@dataclass(frozen=True)
class Spellings:
    """`names` says which class each label is; `told` what a person should know, a sentence each."""

    names: Mapping[str, str]
    told: tuple[str, ...]


def spelling_key(text: str) -> str:
    """What two ways to write the same label have in common.

    Left out are upper and lower case, Unicode's forms, blanks and what is not seen, quotes and brackets around it,
    underscores and hyphens between words, how a number is written (1, 1.0, 01), and what another program's export made
    of a sign (`&amp;`, `%20`, UTF-8 read as Windows-1252). A sign at an end stays: ER+ is not ER-.
    """
    plain = _as_meant(text)
    plain = unicodedata.normalize("NFKC", plain).translate(_UNSEEN).translate(_DASHES)
    plain = _unwrapped(" ".join(plain.split()))
    if _NUMBER.fullmatch(plain):
        number = Decimal(plain.replace(",", "."))
        return str(number.normalize() + 0) if number else "0"
    return unicodedata.normalize("NFKC", _BETWEEN.sub(" ", plain).casefold())


def join_spellings(
    counts: Mapping[str, int],
    *,
    preferred: Collection[str] = (),
    join: bool = True,
    key: Callable[[str], str] = spelling_key,
) -> Spellings:
    """Which labels are one class.

    The spelling that counts is one of `preferred`, else the plainest one: with the fewest capital letters, then the
    shortest, then the first of the alphabet. So it does not depend on how many images have which.
    """
    by_key: defaultdict[str, list[str]] = defaultdict(list)
    for label in sorted(counts):
        by_key[key(label)].append(label)
    names: dict[str, str] = {}
    told: list[str] = []
    for spellings in by_key.values():
        best = min(spellings, key=lambda label: (label not in preferred, *_plainness(label)))
        names.update((label, best if join else label) for label in spellings)
        if len(spellings) > 1:
            told.append(_joined(best, spellings, counts) if join else _apart(spellings, counts))
    return Spellings(names, tuple(told))


def doubtful_names(counts: Mapping[str, int]) -> list[str]:
    """Classes that are perhaps the same one, or none, in sentences; nothing is changed."""
    alike: defaultdict[str, list[str]] = defaultdict(list)
    for label in sorted(counts):
        alike[_loose_key(label)].append(label)
    groups = [labels for labels in alike.values() if len({spelling_key(label) for label in labels}) > 1]
    for same in _SAME_ANSWER:
        labels = [label for label in sorted(counts) if spelling_key(label) in same]
        if len(labels) > 1:
            groups.append(labels)
    told = [
        f"The classes {_counted(labels, counts)} look like one class written in several ways and are kept apart: if "
        "they mean the same, write them alike."
        for labels in groups
    ]
    for label in sorted(counts):
        if spelling_key(label) in _SAYS_NOTHING:
            told.append(
                f"The class {label!r} ({counts[label]} images) reads as if it said that there is no label, and is "
                "learnt as a class: if it is none, leave the label empty or put the files outside of a class's folder."
            )
        parts = {spelling_key(part) for part in _SEVERAL.split(label)}
        if len(parts) > 1 and parts <= {spelling_key(other) for other in counts if other != label}:
            told.append(
                f"The class {label!r} ({counts[label]} images) names several other classes and is learnt as one of its "
                "own: give each image one label."
            )
    return told


def _plainness(label: str) -> tuple[int, int, str]:
    return sum(letter.isupper() for letter in label), len(label), label


def _joined(best: str, spellings: list[str], counts: Mapping[str, int]) -> str:
    others = [label for label in spellings if label != best]
    return (
        f"The labels {_counted(others, counts)} differ from {best!r} ({counts[best]}) only in how they are written and "
        f"count as {best!r}. Write them alike, or keep them apart with --no-join-spellings."
    )


def _apart(spellings: list[str], counts: Mapping[str, int]) -> str:
    return (
        f"The labels {_counted(spellings, counts)} differ only in how they are written and are classes of their own, "
        "as --no-join-spellings asks."
    )


def _counted(labels: list[str], counts: Mapping[str, int]) -> str:
    named = ", ".join(f"{label!r} ({counts[label]})" for label in labels[:_NAMED])
    return named + (f" and {len(labels) - _NAMED} more" if len(labels) > _NAMED else "")


def _as_meant(text: str) -> str:
    """Without what other programs' exports made of signs."""
    plain = html.unescape(text)
    if "%" in plain:
        plain = unquote(plain, errors="strict") if _is_quoted(plain) else plain
    if _MANGLED.search(plain):
        try:
            plain = plain.encode("cp1252").decode()
        except UnicodeError:
            return plain
    return plain


def _is_quoted(text: str) -> bool:
    try:
        unquote(text, errors="strict")
    except UnicodeDecodeError:
        return False
    return True


def _unwrapped(text: str) -> str:
    while True:
        listed = _LISTED.fullmatch(text)
        inner = next(filter(None, listed.groups()), text) if listed else text
        if len(inner) > 1 and inner[0] in _QUOTES and inner[-1] in _QUOTES:
            inner = inner[1:-1].strip()
        if inner == text or not inner:
            return text
        text = inner


def _loose_key(label: str) -> str:
    """Letters and digits alone, without accents; a sign at the end stays."""
    key = unicodedata.normalize("NFKD", spelling_key(label))
    letters = "".join(sign for sign in key if sign.isalnum())
    return (letters or key) + (key[-1] if key and key[-1] in "+-" and letters else "")


def counted(labels: Collection[str | None]) -> Counter[str]:
    """How many images have each label."""
    return Counter(label for label in labels if label is not None)
