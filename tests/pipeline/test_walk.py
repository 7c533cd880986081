"""A pipeline is run by the very stages of the main job: what the one has done the other takes, both ways round."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.repository import REPOSITORY
from support.runs.main_job import Done, lightbox
from support.runs.staged_run import FOLDS, NAME, RECIPE, write_pictures

from flows.config import DataSet, EvaluationSettings, TrainingSettings, WorkspaceLocation
from flows.result import RetrainResult
from flows.retrain import retrain
from tasks.copies.settings import NearCopyRule
from tasks.data.settings import CatalogueSettings, ImagesSource
from tasks.evaluation.settings import GateSettings
from tasks.pipeline.document import Document
from tasks.training.recipes import PRESETS

MAIN_JOB = REPOSITORY / "deployments" / "pipelines" / "main-job.yaml"
SETTINGS: dict[str, dict[str, Any]] = {
    "scans": {"name": NAME},
    "checked": {"n_folds": FOLDS, "copies": {"search": False}},
    "trained": {"weights": "none"},
    "judged": {"robustness_images": 0},
    "good": {"min_recall": 0.3},
}
ALWAYS = {"scans", "apart", "served", "told"}
"""Nodes that have no stage whose result is kept."""


class Workplace:
    """A workspace, a folder of data sets, and pipelines that are run there."""

    def __init__(self, folder: Path, images: Path) -> None:
        self.folder, self.images = folder, images
        self.workspace = folder / "ws"
        (folder / "sets").mkdir(parents=True)
        self.add_data_set(NAME, images)

    def add_data_set(self, name: str, images: Path) -> None:
        """A file that tells of a data set."""
        told = {"dataset": {"name": name, "positive_class": "yes"}, "images": {"url": str(images)}}
        (self.folder / "sets" / f"{name}.yaml").write_text(
            yaml.safe_dump({**told, "gate": {"min_recall": 0.1}})
        )

    def document(self, changes: dict[str, dict[str, Any]] | None = None) -> Document:
        """The main job of these pictures."""
        document = Document.read(MAIN_JOB.read_text())
        settings: dict[str, dict[str, Any]] = {**SETTINGS, **(changes or {})}
        for node, said in settings.items():
            document = document.with_settings(node, said)
        return document

    def run(self, document: Document, *more: str) -> tuple[Done, dict[str, Any]]:
        """`lightbox pipeline run`: how it ended, and each node of its result by name."""
        (self.folder / "drawn.yaml").write_text(document.write())
        out = self.folder / "out.json"
        out.unlink(missing_ok=True)
        done = lightbox(
            *("pipeline", "run", str(self.folder / "drawn.yaml"), "--workspace", str(self.workspace)),
            *("--data-sets", str(self.folder / "sets"), "--json", str(out), *more),
            cache=self.folder / "cache",
        )
        result = json.loads(out.read_text()) if out.exists() else {"nodes": []}
        return done, {**result, "nodes": {node["node"]: node for node in result["nodes"]}}

    def retrain(self) -> RetrainResult:
        """The main job itself, with the same settings."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("LIGHTBOX_CACHE", str(self.folder / "cache"))
            return retrain.fn(
                ImagesSource(url=str(self.images)),
                WorkspaceLocation(url=str(self.workspace)),
                DataSet(name=NAME, positive_class="yes"),
                CatalogueSettings(n_folds=FOLDS, copies=NearCopyRule(search=False)),
                TrainingSettings(weights="none"),
                evaluation=EvaluationSettings(robustness_images=0),
                gate=GateSettings(min_recall=0.3),
            )


def states(result: dict[str, Any]) -> dict[str, str]:
    """What became of each node."""
    return {name: node["state"] for name, node in result["nodes"].items()}


@pytest.fixture(scope="module", autouse=True)
def quick_preset() -> Iterator[None]:
    """A preset that trains in seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PRESETS, "standard", RECIPE)
        yield


@pytest.fixture(scope="module")
def place(discs: Path, tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """A workspace in which the main job has run once."""
    made = Workplace(tmp_path_factory.mktemp("place"), discs)
    assert TrainingSettings(weights="none").recipe() == RECIPE
    made.result = made.retrain()  # type: ignore[attr-defined]
    return made


def test_what_the_main_job_did_is_taken(place: Workplace) -> None:
    done, result = place.run(place.document())
    assert done.returncode == 0, done.stderr
    came = states(result)
    assert {name for name, state in came.items() if state != "reused"} == ALWAYS
    assert {came[name] for name in ALWAYS} == {"done"}
    before: RetrainResult = place.result  # type: ignore[attr-defined]
    assert result["nodes"]["judged"]["told"] == before.evaluation.model_dump(mode="json")
    assert result["nodes"]["page"]["told"]["report"] == before.report
    assert result["nodes"]["served"]["told"]["version"] == before.version
    run = place.workspace / "runs" / result["runs"][NAME]
    kept = Document.read((run / "pipeline.yaml").read_text())
    assert kept.digest == result["digest"]
    said = kept.nodes["scans"].settings
    assert said["positive_class"] == "yes"
    assert said["images"] == ImagesSource(url=str(place.images)).model_dump(mode="json")
    assert kept.nodes["good"].settings["margin"] == GateSettings().margin
    assert not (run / "members").exists()


def test_the_main_job_takes_what_a_pipeline_did(discs: Path, tmp_path: Path) -> None:
    place = Workplace(tmp_path / "place", discs)
    done, result = place.run(place.document())
    assert done.returncode == 0, done.stderr
    assert set(states(result).values()) == {"done"}
    again = place.retrain()
    assert set(again.seconds) - {"orchestration", "total", "ingest", "promote", "notify"} == set(again.reused)
    assert again.version == "v1"
    assert again.evaluation.model_dump(mode="json") == result["nodes"]["judged"]["told"]


def test_another_threshold_runs_only_what_judges(place: Workplace) -> None:
    done, result = place.run(place.document({"judged": {"recall_target": 0.7, "robustness_images": 0}}))
    assert done.returncode == 0, done.stderr
    came = states(result)
    assert {came[name] for name in ("trained", "packed", "scored", "shortcuts", "checked")} == {"reused"}
    assert came["judged"] == "done"


def test_a_part_of_it(place: Workplace) -> None:
    _, result = place.run(place.document(), "--until", "apart")
    assert {name for name, state in states(result).items() if state != "left out"} == {
        "scans",
        "checked",
        "apart",
    }
    _, result = place.run(place.document(), "--from", "scored", "--until", "judged")
    assert states(result)["judged"] == "reused" and states(result)["good"] == "left out"
    _, result = place.run(place.document(), "--force-from", "judged", "--until", "judged")
    assert (states(result)["scored"], states(result)["judged"]) == ("reused", "done")
    done, _ = place.run(place.document(), "--until", "judge")
    assert done.returncode == 2 and "did you mean judged?" in done.stderr
    done, _ = place.run(place.document(), "--from", "shortcuts", "--until", "trained")
    assert "nothing leads from shortcuts to trained" in done.stderr


def test_another_data_set_and_back(place: Workplace, tmp_path: Path) -> None:
    place.add_data_set("others", write_pictures(tmp_path / "others", 30))
    _, other = place.run(place.document(), "--data-set", "others", "--until", "judged")
    assert states(other)["trained"] == "done"
    assert set(other["runs"]) == {"others"}
    _, back = place.run(place.document(), "--until", "judged")
    assert {name for name, state in states(back).items() if state == "done"} == {"scans", "apart"}
    done, _ = place.run(place.document(), "--data-set", "other")
    assert done.returncode == 2
    assert "there is no data set other" in done.stderr and "did you mean others?" in done.stderr


def test_a_node_that_fails_leaves_what_follows_and_the_others_go_on(place: Workplace) -> None:
    broken = {"trained": {"weights": str(place.folder / "gone.pth"), "backbone": "resnet18"}}
    done, result = place.run(place.document(broken))
    assert done.returncode == 2
    came = states(result)
    assert came["trained"] == "failed" and came["shortcuts"] == "reused"
    assert {came[name] for name in ("packed", "scored", "judged", "good", "page", "served")} == {
        "not reached"
    }
    node = result["nodes"]["trained"]
    assert "gone.pth" in node["problem"] and node["cure"]
    assert "1 of 13 nodes failed" in done.stderr and "gone.pth" in done.stderr
    assert "trained did not end well" in result["nodes"]["packed"]["problem"]


@pytest.mark.slow
def test_two_networks_are_trained_as_each_alone(discs: Path, tmp_path: Path) -> None:
    text = (REPOSITORY / "deployments" / "pipelines" / "two-networks.yaml").read_text()
    both = Document.read(text.replace("densenet@1", "resnet@1"))
    changes: dict[str, dict[str, Any]] = {
        "scans": {"name": NAME},
        "checked": SETTINGS["checked"],
        "dense": {"model_name": "resnet18", "weights": "none"},
        "light": {"model_name": "resnet34", "weights": "none"},
        "dense_judged": SETTINGS["judged"],
        "light_judged": SETTINGS["judged"],
    }
    for node, said in changes.items():
        both = both.with_settings(node, said)
    _, alone = Workplace(tmp_path / "alone", discs).run(both, "--until", "dense_judged")
    place = Workplace(tmp_path / "both", discs)
    done, result = place.run(both)
    assert done.returncode == 0, done.stderr
    nodes = result["nodes"]
    assert nodes["dense_judged"]["told"] == alone["nodes"]["dense_judged"]["told"]
    assert nodes["dense_judged"]["told"] != nodes["light_judged"]["told"]
    folder = place.workspace / "runs" / result["runs"][NAME] / "nodes"
    networks = [
        folder / node / "members" / "member-0.safetensors" for node in ("dense_trained", "light_trained")
    ]
    assert networks[0].read_bytes() != networks[1].read_bytes()
    told = nodes["side_by_side"]["told"]
    assert (told["first"]["name"], told["second"]["name"]) == ("resnet18", "resnet34")
    assert told["comparison"]["n"] == nodes["dense_judged"]["told"]["n"]
    assert told["first_evaluation"]["confusion_matrix"] and told["second_evaluation"]["confusion_matrix"]
