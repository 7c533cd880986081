"""The report of a real run: audits, suspects, explanations and copies are there, and say what the files say."""

import json
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support.runs.main_job import FinishedRun, lightbox

from tasks.catalogue import copies_ever
from tasks.data.catalogue_table import CatalogueTable
from tasks.engine.run import Run
from tasks.evaluation.shortcuts import ALL_FACTS
from tasks.evaluation.suspects import SUSPECT_COLUMNS
from tasks.models.bundle import load_bundle
from tasks.models.registry import Registry
from tasks.pages.album import Album
from tasks.pages.history import history
from tasks.stores.workspace import Workspace

pytestmark = pytest.mark.slow


class _Sections(HTMLParser):
    """Alt texts of the images in each section of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.images: dict[str, list[str]] = {}
        self._section = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag == "section":
            self._section = found["id"] or ""
        if tag == "img":
            self.images.setdefault(self._section, []).append(found["alt"] or "")


def _run_folder(finished: FinishedRun) -> Path:
    return finished.workspace / "runs" / str(finished.result["run"])


def test_the_audit_is_in_the_result_in_a_file_and_in_the_report(finished: FinishedRun) -> None:
    audit = finished.result["audit"]
    (file,) = finished.workspace.glob("datasets/small/*/audit.json")
    assert json.loads(file.read_text()) == audit
    assert [row["name"] for row in audit["balance"]["classes"]] == ["no", "yes"]
    assert sum(row["images"] for row in audit["balance"]["classes"]) == 59
    facts = [shortcut["fact"] for shortcut in audit["shortcuts"]]
    assert facts[-1] == ALL_FACTS and "mean intensity" in facts and "aspect ratio" in facts
    page = Path(finished.result["report"]).read_text()
    for shortcut in audit["shortcuts"]:
        assert shortcut["fact"] in page
    assert 'id="shortcuts"' in page


def test_the_catalogue_command_shows_the_audit(finished: FinishedRun, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    where = ("--images", finished.demo.images, "--workspace", tmp_path / "ws", "--name", "small")
    done = lightbox(
        *("catalogue", *where, "--positive-class", "yes", "--folds", "3", "--json", out), cache=finished.cache
    )
    assert done.returncode == 0, done.stderr
    assert "shortcuts" in done.stderr and "mean intensity" in done.stderr
    found = json.loads(out.read_text())
    assert found["audit"] == finished.result["audit"]
    assert found["digest_of_rows"] == finished.result["dataset"]["digest"]


def test_suspects_are_listed_and_stay_in_all_figures(finished: FinishedRun) -> None:
    suspects = pd.read_parquet(finished.result["suspects"])
    assert suspects.columns.tolist() == SUSPECT_COLUMNS
    assert len(suspects) == finished.result["suspect_images"]
    predictions = pd.read_parquet(_run_folder(finished) / "predictions.parquet").set_index("path")
    assert len(predictions) == finished.result["evaluation"]["n"] == 59
    judged = predictions.loc[suspects["path"]]
    assert (judged["label"].to_numpy() == suspects["label"].to_numpy()).all()
    assert (suspects["label"] != suspects["suggested"]).all()
    own = [judged.iloc[i][f"probability_{label}"] for i, label in enumerate(suspects["label"])]
    np.testing.assert_allclose(own, suspects["self_confidence"])


def test_the_page_shows_errors_with_explanations_and_copies_side_by_side(finished: FinishedRun) -> None:
    predictions = pd.read_parquet(_run_folder(finished) / "predictions.parquet")
    images = _Sections(Path(finished.result["report"]).read_text()).images
    shown = [alt for alt in images["errors"] if not alt.startswith("What the prediction rests on")]
    assert len(images["errors"]) == 2 * len(shown), "each with its overlay"
    by_path = predictions.set_index("path").loc[shown]
    wrong = by_path[by_path["label"] != by_path["predicted"]]
    n_groups_wrong = predictions[predictions["label"] != predictions["predicted"]]["group"].nunique()
    assert wrong["group"].nunique() == len(wrong) == min(n_groups_wrong, 12)
    hits = by_path[by_path["label"] == by_path["predicted"]]
    assert set(hits["label"]) == {"yes"} and len(hits) == 6
    paths = predictions.set_index("path")["group"]
    assert len(images["data"]) >= 2
    assert paths.loc[images["data"][0]] == paths.loc[images["data"][1]]


def test_an_explanation_is_drawn_by_those_who_never_saw_the_image(finished: FinishedRun) -> None:
    (folder,) = (path.parent for path in finished.workspace.glob("datasets/small/*/catalogue.parquet"))
    table = CatalogueTable.from_parquet(
        (folder / "catalogue.parquet").read_bytes(), (folder / "rejects.parquet").read_bytes()
    )
    bundle = load_bundle(finished.result["bundle"])
    run = Run(id=finished.result["run"], name="small", workspace=str(finished.workspace))
    album = Album(
        table, copies_ever(run, table), bundle, lambda path: (finished.demo.images / path).read_bytes()
    )
    row = table.contents.iloc[0]
    (member,) = bundle.members_unseen_by(row["sha256"], row["group"])
    pixels = album.prepared(row["path"], row["sha256"], row["group"])
    heats = {}
    for index in (None, *(found.index for found in bundle.manifest.members)):
        maps = bundle.class_maps(pixels[None], index)
        assert maps is not None
        heats[index] = maps[0, 1] - maps[0, 0]
    drawn = album.heat(pixels, row["sha256"], row["group"], "yes")
    assert drawn is not None
    expected = np.maximum(heats[member], 0) / max(np.maximum(heats[member], 0).max(), 1e-12)
    np.testing.assert_allclose(drawn, expected, atol=1e-5)
    assert all(np.abs(heats[member] - heat).max() > 1e-3 for index, heat in heats.items() if index != member)


def test_the_next_version_says_what_changed(finished: FinishedRun, tmp_path: Path) -> None:
    workspace = Workspace(str(tmp_path / "ws"))
    bundle = tmp_path / "bundle"
    shutil.copytree(Path(finished.result["bundle"]), bundle)
    shutil.copytree(finished.workspace / "datasets", tmp_path / "ws" / "datasets")
    registry = Registry(workspace)
    assert [registry.publish(bundle) for _ in range(2)] == ["v1", "v2"]
    (folder,) = (path.parent for path in finished.workspace.glob("datasets/small/*/catalogue.parquet"))
    table = CatalogueTable.from_parquet(
        (folder / "catalogue.parquet").read_bytes(), (folder / "rejects.parquet").read_bytes()
    )
    assert history(workspace, "small", "v1", table) is None
    same = history(workspace, "small", "v2", table)
    assert same is not None and (same.version, list(same.changes)) == ("v1", [])
    fewer = CatalogueTable(table.frame.iloc[5:], table.rejects, table.n_folds)
    changed = history(workspace, "small", "v2", fewer)
    assert changed is not None and "Images removed" in [change.what for change in changed.changes]
    for file in (tmp_path / "ws" / "datasets").rglob("catalogue.parquet"):
        file.unlink()
    gone = history(workspace, "small", "v2", table)
    assert gone is not None and gone.changes[0].before.startswith("no longer known")


def test_the_report_opens_without_network_and_reads_on_its_own(finished: FinishedRun) -> None:
    html = Path(finished.result["report"]).read_text()
    assert html.count("<img ") == html.count('src="data:image/jpeg;base64,')
    assert len(html) < 4_000_000
    assert html.lstrip().startswith("<!doctype html>")
