"""What is said of an image does not depend on the files that are in memory beside it."""

import io
from pathlib import Path

import pandas as pd
from support.samples.small_bundles import as_png, pixels, write_bundle

from tasks.data.settings import ImagesSource
from tasks.engine.run import open_run
from tasks.models.bundle import Rejected, load_bundle
from tasks.score import IMAGES_AT_ONCE, score_images


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
