"""The map of a workspace: what a builder writes is known again by its path, as that kind and no other."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.stores.layout import (
    CATALOGUE_FILE,
    FOLD_LEDGER,
    KINDS,
    LISTING,
    NODE_FILE,
    PATH_KINDS,
    RUN_FILE,
    STAGE_USE,
    PathKind,
    Place,
    place_of,
    run_folder,
)

SHAPES = {
    "version": st.integers(1, 999).map(lambda n: f"v{n}"),
    "rows": st.text("0123456789abcdef", min_size=16, max_size=16),
    "number": st.integers(0, 10**9).map(lambda n: f"{n:08d}"),
    "file": st.sampled_from(["a.json", "b/c.parquet", "members/member-0.safetensors"]),
    "ending": st.sampled_from(["json", "npy"]),
}
NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,12}", fullmatch=True)


@pytest.mark.parametrize("kind", PATH_KINDS, ids=lambda kind: kind.text)
@given(data=st.data())
def test_what_a_builder_writes_is_known_again(kind: PathKind, data: st.DataObject) -> None:
    names = [part.partition("}")[0] for part in kind.text.split("{")[1:]]
    fields = {name: data.draw(SHAPES.get(name, NAMES), label=name) for name in names}
    path = kind.path(**fields)
    place = place_of(path)
    assert place == kind.place(path)
    assert place.kind == kind.kind
    assert path.startswith(place.item)
    assert place.name == fields.get("name", "")
    for count in range(len(names)):
        folder = kind.folder(**{name: fields[name] for name in names[:count]})
        assert path.startswith(f"{folder}/")


def test_every_kind_but_the_unknown_has_a_path() -> None:
    assert {kind.kind for kind in PATH_KINDS} == set(KINDS) - {"other"}


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("runs/r/nodes/n/bundle/model.onnx", Place("runs", "runs/r", "", "r")),
        ("runs/r/stages/search-1.json", Place("runs", "runs/r", "", "r")),
        ("models/m/claims/v1.json", Place("version claims", "models/m/claims/v1.json", "m")),
        ("datasets/d/copies/scale-1.npz", Place("feature scale", "datasets/d/copies/scale-1.npz", "d")),
        ("datasets/d/0123456789abcdef/audit.json", Place("catalogues", "datasets/d/0123456789abcdef", "d")),
        ("somebody/else's.txt", Place("other")),
    ],
)
def test_a_file_is_known_by_its_path(path: str, place: Place) -> None:
    found = place_of(path)
    assert (found.kind, found.item, found.name) == (place.kind, place.item, place.name)


def test_a_builder_writes_nothing_that_it_would_not_know() -> None:
    for fields in ({"name": "a/b", "digest": "1"}, {"name": "a"}, {"name": "a", "digest": "1", "more": "2"}):
        with pytest.raises(ValueError, match="make no path"):
            LISTING.path(**fields)
    with pytest.raises(ValueError, match="make no path"):
        CATALOGUE_FILE.path(name="a", rows="not hexadecimal", file="catalogue.parquet")
    with pytest.raises(ValueError, match="no folder"):
        FOLD_LEDGER.folder(number="1")


def test_folders() -> None:
    assert FOLD_LEDGER.folder(name="a") == "datasets/a/folds"
    assert STAGE_USE.folder(run="r") == "runs/r/stages"
    assert RUN_FILE.folder() == "runs"
    assert run_folder("r", None) == "runs/r"
    assert run_folder("r", "n") == NODE_FILE.folder(run="r", node="n") == "runs/r/nodes/n"
