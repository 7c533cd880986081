"""Scoring a store: the same whatever else is in memory or at work, and nothing of others is touched."""

import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest
from support.samples.small_bundles import as_png, facts, pixels, write_bundle

from tasks.data.settings import ImagesSource
from tasks.engine.run import open_run
from tasks.errors import ConfigError
from tasks.models.bundle import Rejected, load_bundle
from tasks.score import IMAGES_AT_ONCE, Scores, score_images


def test_chunks_of_files_say_the_same_as_one_batch(tmp_path: Path) -> None:
    n = 2 * IMAGES_AT_ONCE + 3
    write_bundle(tmp_path / "bundle")
    files = {f"{i:03}.png": as_png(picture) for i, picture in enumerate(pixels(n, seed=5))}
    damaged = {f"{IMAGES_AT_ONCE - 1:03}.png", f"{n - 1:03}.png"}
    files |= {name: files[name][:60] for name in damaged}
    images = tmp_path / "images"
    images.mkdir()
    for name, data in files.items():
        (images / name).write_bytes(data)
    run = open_run(str(tmp_path / "scores"), None, "chunks")
    scores = score_images(run, ImagesSource(url=str(images)), str(tmp_path / "bundle"), None)
    table = pd.read_parquet(io.BytesIO(run.open_workspace().read(scores.parquet.path))).set_index("path")
    at_once = load_bundle(str(tmp_path / "bundle")).predict_bytes(list(files.values()))
    assert table.index.tolist() == list(files)
    assert (scores.images, scores.rejected) == (n, len(damaged))
    for name, row, said in zip(table.index, table.to_dict("records"), at_once, strict=True):
        if isinstance(said, Rejected):
            assert name in damaged
            assert (row["reason"], row["detail"]) == (str(said.reason), said.detail)
            continue
        assert row["Scored Labels"] == said.label
        for label, probability in said.probabilities.items():
            assert row[f"Scored Probabilities_{label}"] == probability


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Seven images to score."""
    images = tmp_path / "images"
    images.mkdir()
    for number, picture in enumerate(pixels(7, seed=5)):
        (images / f"{number:03}.png").write_bytes(as_png(picture))
    return images


def score(store: Path, bundle: Path, out: Path) -> Scores:
    return score_images(open_run(str(out), None, "scores"), ImagesSource(url=str(store)), str(bundle), None)


def test_files_that_scoring_did_not_make_are_left_alone(store: Path, tmp_path: Path) -> None:
    write_bundle(tmp_path / "bundle")
    out = tmp_path / "out"
    strangers = ["parts/customer-invoice.csv", "parts/0123456789abcdef0123456789abcdef.parquet", "letter.txt"]
    strangers += [f"parts/{'a' * 32}/notes.parquet", f"parts/{'a' * 31}/{'b' * 32}.parquet"]
    for name in strangers:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text("not ours")
    for _ in range(2):
        score(store, tmp_path / "bundle", out)
        assert {(out / name).read_text() for name in strangers} == {"not ours"}


def test_parts_of_a_version_or_of_images_that_no_longer_count_go(store: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    kept: list[set[Path]] = []
    for version in range(2):
        write_bundle(tmp_path / f"v{version}", said=facts(threshold=0.4 + version / 5))
        assert score(store, tmp_path / f"v{version}", out).scored_now == 7
        assert score(store, tmp_path / f"v{version}", out).scored_now == 0
        kept.append(set(out.glob("parts/*/*")))
    assert [len(parts) for parts in kept] == [1, 1]
    assert kept[0].isdisjoint(kept[1])
    (store / "000.png").unlink()
    assert score(store, tmp_path / "v1", out).images == 6
    assert len(set(out.glob("parts/*/*"))) == 1


def test_a_place_that_holds_other_scores_is_refused(store: Path, tmp_path: Path) -> None:
    write_bundle(tmp_path / "bundle")
    out, other = tmp_path / "out", tmp_path / "other"
    score(store, tmp_path / "bundle", out)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    other.mkdir()
    (other / "a.png").write_bytes((store / "000.png").read_bytes())
    with pytest.raises(ConfigError, match=f"holds the scores of .* on {store}"):
        score(other, tmp_path / "bundle", out)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_a_file_called_as_scores_are_is_not_overwritten(store: Path, tmp_path: Path) -> None:
    write_bundle(tmp_path / "bundle")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "scores.csv").write_text("of the choir")
    with pytest.raises(ConfigError, match=r"scores\.csv is there already"):
        score(store, tmp_path / "bundle", tmp_path / "out")
    assert (tmp_path / "out" / "scores.csv").read_text() == "of the choir"


def test_two_scorings_at_once_end_with_the_same_scores(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.score.IMAGES_A_PART", 1)
    out = tmp_path / "out"
    for version in range(2):
        write_bundle(tmp_path / f"v{version}", said=facts(threshold=0.4 + version / 5))
    alone = [score(store, tmp_path / f"v{version}", tmp_path / f"alone{version}") for version in range(2)]
    with ThreadPoolExecutor(2) as threads:
        for _ in range(4):
            both = list(threads.map(lambda version: score(store, tmp_path / f"v{version}", out), range(2)))
            assert [one.csv.sha256 for one in both] == [one.csv.sha256 for one in alone]


def test_a_file_of_any_size_is_a_row_with_its_reason(store: Path, tmp_path: Path) -> None:
    write_bundle(tmp_path / "bundle")
    with (store / "003 large.png").open("wb") as file:
        file.truncate(40 << 30)  # takes no room
    scores = score(store, tmp_path / "bundle", tmp_path / "out")
    assert (scores.images, scores.rejected) == (8, 1)
    table = pd.read_csv(tmp_path / "out" / "scores.csv").set_index("path")
    assert table.loc["003 large.png", "reason"] == "too_large"
    assert table["Scored Labels"].notna().sum() == 7
