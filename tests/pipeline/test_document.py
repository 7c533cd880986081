"""A document is read within limits, written one way, and known by what it means."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.errors import PipelineError
from tasks.pipeline.document import MOST_NODES, Document, Node
from tasks.pipeline.text import MOST_BYTES, MOST_NESTED

SMALL = """
lightbox_pipeline: 1
name: small
nodes:
  scans: {is: data_set@1, set: {name: brain_mri}}
  checked: {is: check_images@1, from: {images: scans}}
layout: {scans: [0, 0]}
"""


def refused(text: str) -> PipelineError:
    """What reading a text is refused with."""
    with pytest.raises(PipelineError) as caught:
        Document.read(text, "small.yaml")
    return caught.value


def test_what_is_read_is_what_was_written() -> None:
    document = Document.read(SMALL)
    assert document.nodes["checked"].inputs == {"images": ("scans",)}
    assert document.nodes["scans"].settings == {"name": "brain_mri"}
    assert Document.read(document.write()) == document
    assert Document.model_validate(document.model_dump(mode="json")) == document


def test_only_what_it_means_counts_for_the_digest() -> None:
    document = Document.read(SMALL)
    words = SMALL.replace("name: small", "name: other\ntitle: A title\nnote: A note")
    moved = words.replace("[0, 0]", "[99, -5]").replace("is: data_set@1,", "is: data_set@1, note: theirs,")
    assert Document.read(moved).digest == document.digest
    for other in ("name: brain_ct", "data_set@2", "images: checked"):
        was = {"name: brain_ct": "name: brain_mri", "data_set@2": "data_set@1"}.get(other, "images: scans")
        assert Document.read(SMALL.replace(was, other)).digest != document.digest


@pytest.mark.parametrize(
    ("text", "what", "cure"),
    [
        ("", "says nothing", "lightbox_pipeline"),
        ("[1, 2]", "says nothing", "lightbox_pipeline"),
        ("name: x", "of which format", "begin it with"),
        ("lightbox_pipeline: true", "of which format", "begin it with"),
        ("lightbox_pipeline: 2", "of format 2", "newer"),
        (SMALL + "author: me", "author", "known here are lightbox_pipeline, name"),
        (SMALL.replace("is: check", "kind: check"), "node checked: is", "correct"),
        (SMALL.replace("from: {images", "gives: {images"), "node checked: gives", "is, from, set"),
        (SMALL.replace("scans: {is", "Scans!: {is"), "node Scans!", "lower-case"),
        (SMALL.replace("check_images@1", "check_images"), "node checked: is", "train@1"),
        (SMALL.replace("  checked:", "  scans:"), "the key scans stands twice", "correct the text"),
        (SMALL.replace("  checked:", "  <<:"), "node <<", "lower-case"),
        (SMALL.replace("name: small", "name: yes"), "name", "quotes"),
        (SMALL.replace("{name: brain_mri}", "{name: .nan}"), "not finite", "correct"),
        (
            SMALL.replace("{name: brain_mri}", "{name: !!python/object/apply:os.system [ls]}"),
            "no YAML",
            "place",
        ),
        ("a: [1, 2", "no YAML: line", "correct the text"),
        ("a: \x00", "no YAML", "correct the text"),
        ("? [a]\n: 1", "a key that is no text", "correct the text"),
    ],
)
def test_what_is_wrong_is_named_with_its_place_and_a_cure(text: str, what: str, cure: str) -> None:
    error = refused(text)
    assert error.message.startswith("small.yaml")
    assert what in error.message
    assert cure in error.cure


def test_a_date_is_the_text_that_was_written() -> None:
    document = Document.read(SMALL.replace("name: brain_mri", "name: 2026-11-30"))
    assert document.nodes["scans"].settings == {"name": "2026-11-30"}


def test_a_key_is_the_text_that_was_written() -> None:
    assert list(Document.read(SMALL.replace("  checked:", "  yes:")).nodes) == ["scans", "yes"]


def test_limits() -> None:
    large = SMALL + "note: " + "x" * MOST_BYTES
    assert "256 kB" in refused(large).message
    assert "256 kB" in refused("x" * 10_000_000).message
    nodes = "".join(f"  n{k}: {{is: data_set@1}}\n" for k in range(MOST_NODES + 1))
    assert "at most 200" in refused(f"lightbox_pipeline: 1\nname: x\nnodes:\n{nodes}").message
    deep = SMALL.replace("brain_mri", "[" * MOST_NESTED + "]" * MOST_NESTED)
    assert f"more than {MOST_NESTED} values" in refused(deep).message
    assert f"more than {MOST_NESTED} values" in refused("[" * 100_000).message


def test_an_alias_bomb_is_refused_before_it_is_made() -> None:
    bomb = "a: &a [1, 1]\n" + "".join(
        f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n"
        for before, name in zip("abcdefgh", "bcdefghi", strict=True)
    )
    error = refused(bomb)
    assert "line 1: anchors and aliases" in error.message and "write the value out" in error.cure


names = st.from_regex(r"[a-z0-9]+([-_][a-z0-9]+)*", fullmatch=True).filter(lambda name: len(name) <= 64)
words = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30)
plain = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(-1e9, 1e9) | words
values = st.recursive(
    plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3), max_leaves=6
)
keys = st.from_regex(r"[a-z][a-z0-9_]{0,10}", fullmatch=True)
nodes = st.builds(
    lambda kind, given, said, title: Node.model_validate(
        {"is": kind, "from": given, "set": said, "title": title}
    ),
    st.sampled_from(["data_set@1", "train@1", "of_tomorrow@17"]),
    st.dictionaries(keys, names | st.lists(names, min_size=1, max_size=3), max_size=3),
    st.dictionaries(keys, values, max_size=3),
    st.none() | words,
)
documents = st.builds(
    lambda blocks, note: Document(lightbox_pipeline=1, name="any", nodes=blocks, note=note),
    st.dictionaries(names, nodes, max_size=5),
    st.none() | words,
)


@settings(max_examples=40)
@given(documents)
def test_any_document_survives_being_written(document: Document) -> None:
    again = Document.read(document.write())
    assert again == document
    assert again.digest == document.digest
    assert again.write() == document.write()


GOLDEN = sorted((Path(__file__).parent / "golden").rglob("*.yaml"))


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_documents_of_every_format_are_read_and_mean_what_they_meant(path: Path) -> None:
    digests = dict(line.split() for line in (path.parent / "digests.txt").read_text().splitlines())
    assert Document.read(path.read_text(), path.name).digest == digests[path.stem]
