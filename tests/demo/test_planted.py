"""What the demo has wrong on purpose is counted as found only where a run found it."""

import json
from pathlib import Path

import pytest

from tasks.demo.planted import planted_and_found

KINDS = {
    "no/a.jpg": ("slice", None),
    "no/b.jpg": ("exact_copy", "no/a.jpg"),
    "yes/c.jpg": ("near_copy", "yes/d.jpg"),
    "yes/d.jpg": ("slice", None),
    "yes/e.jpg": ("corrupt", None),
    "yes/f.jpg": ("wrong_label", None),
}
SHARED = {"no/a.jpg": "1", "no/b.jpg": "1", "yes/c.jpg": "2", "yes/d.jpg": "2", "yes/f.jpg": "3"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    images = [{"path": path, "kind": kind, "source": source} for path, (kind, source) in KINDS.items()]
    (tmp_path / "demo.json").write_text(json.dumps({"images": images}))
    return tmp_path


def counts(folder: Path, groups: dict[str, str], doubtful: set[str]) -> list[tuple[str, int, int]]:
    faults = planted_and_found(folder, groups, doubtful)
    return [(fault.words.split(",")[0].split(" (")[0], fault.found, fault.planted) for fault in faults]


def test_everything_is_found(folder: Path) -> None:
    assert counts(folder, SHARED, {"yes/f.jpg"}) == [
        ("truncated file", 1, 1),
        ("exact copies", 1, 1),
        ("near copies", 1, 1),
        ("wrong labels", 1, 1),
    ]


def test_what_was_not_found_is_not_claimed(folder: Path) -> None:
    apart = {path: str(place) for place, path in enumerate(KINDS)}
    assert [found for _, found, _ in counts(folder, apart, {"no/a.jpg"})] == [0, 0, 0, 0]
