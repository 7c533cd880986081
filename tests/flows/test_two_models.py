"""Two models: one of members whose recipes differ, from the images to the report, and one to compare it with."""

import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import roc_auc_score
from support.runs.main_job import Done, lightbox

from flows.config import TrainingSettings
from flows.fine_tune import NO_AVERAGE, fine_tune, read_trained
from tasks.audit import Audit, audit_images
from tasks.automl.chosen import ChosenRecipes
from tasks.catalogue import Catalogue, build_catalogue
from tasks.clinical import clinical_figures
from tasks.data.settings import CatalogueSettings, ImagesSource
from tasks.decide import Verdict, decide_promotion
from tasks.demo.data_set import DemoSummary
from tasks.describe import describe_bundle
from tasks.engine.run import Run, open_run
from tasks.engine.stage import timed_stages
from tasks.evaluate import EvaluatedBundle, evaluate_bundle
from tasks.evaluation.settings import GateSettings, ThresholdRule
from tasks.export import ExportedBundle, export_bundle
from tasks.fine_tune import TrainedMembers, load_network
from tasks.images.decode import decode
from tasks.images.decode import prepare as prepared
from tasks.images.settings import Preprocessing
from tasks.ingest import Listing, ingest
from tasks.models.about import AboutDataSet
from tasks.models.bundle import load_bundle
from tasks.models.manifest import amend, read_folder, sha256_of
from tasks.models.registry import Registry
from tasks.predict import predict_unseen
from tasks.prepare import prepare_images
from tasks.promote import publish
from tasks.rejudge import ServedAgain
from tasks.report import write_report
from tasks.training.backbones import BACKBONES
from tasks.training.recipes import Probe, WeightsChoice

pytestmark = pytest.mark.slow

SMALL = Probe(
    backbone="resnet18",
    weights=WeightsChoice(source="none"),
    preprocessing=Preprocessing(size_px=64, fit="squash", crop_to_content=False),
    views=1,
    inner_folds=2,
)
LARGE = Probe(
    backbone="efficientnet_lite0",
    weights=WeightsChoice(source="none"),
    preprocessing=Preprocessing(size_px=96),
    test_views=("identity", "hflip"),
    views=1,
    inner_folds=2,
)
MEMBERS = (SMALL, LARGE, SMALL)


class Went:
    """One run as far as its report."""

    def __init__(self, demo: DemoSummary, folder: Path) -> None:
        self.demo, self.cache = demo, folder / "cache"
        self.run: Run = open_run(str(folder / "ws"), None, "small")
        self.listing: Listing = ingest(self.run, ImagesSource(url=str(demo.images))).listing
        checks = CatalogueSettings(n_folds=3, protocol="cross_validation")
        self.catalogue: Catalogue = build_catalogue(self.run, self.listing, checks, "yes")
        chosen = ChosenRecipes(members=MEMBERS, served=LARGE)
        pixels = tuple(
            prepare_images(self.run, self.listing, self.catalogue, way) for way in chosen.preprocessings
        )
        self.trained: TrainedMembers = fine_tune.fn(
            self.run, self.catalogue, chosen, pixels, TrainingSettings(device="cpu"), "average"
        )
        self.bundle: ExportedBundle = export_bundle(self.run, self.catalogue, pixels, self.trained)
        self.evaluated = self.judged(self.run, self.bundle)
        self.audit: Audit = audit_images(self.run, self.catalogue)
        verdict = self.decided(self.run, self.evaluated)
        version = publish(self.run, self.bundle, self.evaluated)
        clinical = clinical_figures(
            *(self.run, self.listing, self.catalogue, self.audit, self.evaluated),
            one_image_a_patient=False,
            prevalence=None,
        )
        described = describe_bundle(
            *(self.run, self.listing, self.catalogue, self.audit),
            *(self.evaluated, clinical, AboutDataSet()),
        )
        with timed_stages():
            report = write_report(
                self.run,
                self.listing,
                self.catalogue,
                self.audit,
                self.trained,
                self.bundle,
                self.evaluated,
                clinical,
                described,
                None,
                verdict,
                version,
                None,
            )
        self.page = self.run.open_workspace().read(report.page.path).decode()
        another = open_run(str(folder / "ws"), None, "small")
        same = ChosenRecipes.same(SMALL, len(MEMBERS))
        members = fine_tune.fn(
            another, self.catalogue, same, pixels, TrainingSettings(device="cpu"), "average"
        )
        bundle = export_bundle(another, self.catalogue, pixels, members)
        challenger = self.judged(another, bundle)
        publish(another, bundle, challenger)
        Registry(self.run.open_workspace()).promote("small", version.version, ("first",))
        self.verdict = self.decided(another, challenger)

    def decided(self, run: Run, evaluated: EvaluatedBundle) -> Verdict:
        """Against whatever is served."""
        nobody = ServedAgain(champion=None, figures=None)
        return decide_promotion(
            run, self.listing, self.catalogue, self.audit, evaluated, GateSettings(), nobody
        )

    def judged(self, run: Run, bundle: ExportedBundle) -> EvaluatedBundle:
        """Predict and evaluate."""
        predictions = predict_unseen(run, self.listing, self.catalogue, bundle.manifest)
        return evaluate_bundle(
            run, self.listing, self.catalogue, predictions, ThresholdRule(insist_on_target=True)
        )

    def compare(self, first: str, second: str, *more: str) -> Done:
        """`lightbox compare` on the images that both were trained on."""
        where = ("--images", self.demo.images, "--workspace", self.run.workspace, "--name", "small")
        return lightbox("compare", first, second, *where, "--folds", "3", *more, cache=self.cache)


@pytest.fixture(scope="module")
def went(small_demo: DemoSummary, tmp_path_factory: pytest.TempPathFactory) -> Went:
    folder = tmp_path_factory.mktemp("recipes")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIGHTBOX_CACHE", str(folder / "cache"))
        return Went(small_demo, folder)


def test_a_refit_of_the_overall_choice_is_served_and_said(went: Went) -> None:
    assert [member.recipe for member in went.trained.members] == list(MEMBERS)
    assert (went.trained.served, went.trained.served_recipe) == ("refit", LARGE)
    assert [note for note in went.trained.all_notes if NO_AVERAGE in note] == [f"refit: {NO_AVERAGE}"]
    assert read_trained(went.run) == went.trained
    manifest = load_bundle(went.run.open_workspace().uri(went.bundle.folder)).manifest
    assert (manifest.served, manifest.backbone) == ("refit", LARGE.backbone)
    assert manifest.preprocessings == (LARGE.preprocessing, SMALL.preprocessing)
    assert [(member.backbone, member.test_views) for member in manifest.members] == [
        (recipe.backbone, recipe.test_views) for recipe in MEMBERS
    ]
    assert max(manifest.parity.values()) < 1e-3


def test_figures_are_those_of_unseen_members_each_on_its_own_pixels(went: Went) -> None:
    data = went.run.open_workspace().read(went.evaluated.predictions.path)
    rows = pd.read_parquet(io.BytesIO(data))
    assert went.evaluated.evaluation.n == len(rows) == 59
    some = rows.groupby(["fold", "threshold"]).head(4)
    for _, alike in some.groupby(["fold", "threshold"]):
        fold = int(alike["fold"].iloc[0])
        said = [_said_in_torch(went, fold, path) for path in alike["path"]]
        chance = alike["probability_yes"].to_numpy()
        # Of one member and one part: a rising straight line from what it says to what is told.
        line = np.polynomial.Polynomial.fit(said, np.log(chance / (1 - chance)), 1)
        np.testing.assert_allclose(line(np.array(said)), np.log(chance / (1 - chance)), atol=5e-3)
        assert line.deriv()(0.0) > 0


def _said_in_torch(went: Went, fold: int, path: str) -> float:
    """How much the member that held out the fold leans towards "yes"."""
    recipe = MEMBERS[fold]
    spec = BACKBONES[recipe.backbone]
    network = load_network(went.run, went.trained.members[fold], 2)
    pixels = prepared(decode((went.demo.images / path).read_bytes()).pixels, recipe.preprocessing)
    scaled = (pixels / 255.0 - np.array(spec.mean)) / np.array(spec.std)
    seen = [scaled, scaled[:, ::-1]] if "hflip" in recipe.test_views else [scaled]
    with torch.no_grad():
        no, yes = network(torch.from_numpy(np.stack(seen)).permute(0, 3, 1, 2).float()).mean(0).tolist()
    return float(yes - no)


def test_the_champion_is_judged_by_thresholds_that_were_chosen_without_the_image(went: Went) -> None:
    """On the images of its own evaluation it gets the figures of its own evaluation, not those of its served rule."""
    published, compared = went.evaluated.evaluation, went.verdict.comparison
    assert compared is not None
    assert (compared.champion_version, compared.n) == ("v1", published.n)
    champion = compared.champion
    assert published.recall is not None and published.specificity is not None and published.auc is not None
    assert champion.recall == pytest.approx(published.recall.value)
    assert champion.specificity == pytest.approx(published.specificity.value)
    assert champion.auc == pytest.approx(published.auc.value)
    said = pd.read_parquet(io.BytesIO(went.run.read(went.evaluated.predictions)))
    assert len({*said["threshold"], went.evaluated.threshold}) > 2


def test_the_report_says_which_recipe_each_member_has(went: Went) -> None:
    assert "Recipe of member 0" in went.page and "Recipe of refit" in went.page
    assert "backbone resnet18" in went.page and "preprocessing size px 64" in went.page
    assert NO_AVERAGE in went.page.replace("&#39;", "'")


def test_two_models_are_compared_on_what_neither_saw(went: Went, tmp_path: Path) -> None:
    done = went.compare("v1", "small/v2", "--json", str(tmp_path / "out.json"))
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "out.json").read_text())
    said, predictions = found["comparison"], found["predictions"]["path"]
    rows = pd.read_parquet(Path(went.run.workspace) / predictions)
    assert said["n"] == len(rows) == found["images"] == 59
    assert said["n_groups"] == rows["group"].nunique() < 59
    right = {}
    for side in ("first", "second"):
        auc = roc_auc_score(rows["label"] == "yes", rows[f"{side}_probability_yes"])
        assert found[f"{side}_evaluation"]["auc"]["value"] == pytest.approx(auc, abs=1e-9)
        right[side] = rows[f"{side}_predicted"] == rows["label"]
    assert 0 < said["p_value"] <= 1
    assert 0 <= said["auc_p_value"] <= 1
    assert said["only_champion_right"] == int((right["first"] & ~right["second"]).sum())
    first, second = (rows[f"{side}_probability_yes"] for side in ("first", "second"))
    alike = (first > 0.5) == (second > 0.5)
    assert alike[rows["fold"] != 1].all(), "members 0 and 2 are the same networks in both, temperatures apart"
    assert "DeLong p" in done.stderr and "small v2" in done.stderr


def test_the_page_fits_a_desktop_and_a_phone(went: Went, browser: Any, tmp_path: Path) -> None:
    done = went.compare("small/v1", "v2", "--json", str(tmp_path / "out.json"), "--quiet")
    assert done.returncode == 0, done.stderr
    uri = Path(json.loads((tmp_path / "out.json").read_text())["uri"]).as_uri()
    for width, height in ((1280, 1000), (390, 844)):
        page = browser.new_page(viewport={"width": width, "height": height})
        asked: list[str] = []
        page.on("request", lambda request, asked=asked: asked.append(request.url.split(":")[0]))
        page.goto(uri)
        assert set(asked) <= {"file", "data"} and asked.count("file") == 1
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert page.locator("svg.plot").count() == 3
        assert page.get_by_text("Which is better").bounding_box()["y"] < height
        page.close()


def test_what_every_member_saw_is_left_out_with_its_copies(went: Went, tmp_path: Path) -> None:
    """A bundle elsewhere whose members all learnt from the images of fold 0."""
    bundle = tmp_path / "elsewhere"
    shutil.copytree(Path(went.run.workspace) / "models" / "small" / "v2", bundle)
    seen = json.loads((bundle / "training_images.json").read_text())
    fold_0 = [image for image in seen["images"] if image["fold"] == 0]
    (one,) = fold_0[:1]
    for image in seen["images"]:
        if image["group"] == one["group"]:
            image["members"] = [0, 1, 2]
    (bundle / "training_images.json").write_text(json.dumps(seen))
    manifest = read_folder(bundle)
    amend(
        bundle, files={**manifest.files, "training_images.json": sha256_of(bundle / "training_images.json")}
    )
    done = went.compare("v1", str(bundle), "--json", str(tmp_path / "out.json"))
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "out.json").read_text())
    rows = pd.read_parquet(Path(went.run.workspace) / found["predictions"]["path"])
    gone = 59 - len(rows)
    assert one["sha256"] not in set(rows["sha256"]) and gone >= 1
    assert (found["unseen_by_first"], found["unseen_by_second"]) == (59, 59 - gone)
    for image in seen["images"]:
        image["members"] = [0, 1, 2]
    (bundle / "training_images.json").write_text(json.dumps(seen))
    amend(
        bundle, files={**manifest.files, "training_images.json": sha256_of(bundle / "training_images.json")}
    )
    refused = went.compare("v1", str(bundle))
    assert refused.returncode == 2 and "no image of no, yes among the 0" in refused.stderr.replace("\n", " ")


@pytest.mark.parametrize(
    ("first", "second", "more", "said"),
    [
        ("v1", "small/v1", (), "both models are"),
        ("v1", "v7", (), "small has no v7"),
        ("v1", "challenger", (), "small has no challenger yet"),
        ("v1", "/nowhere/at/all", (), "no bundle at"),
        ("v1", "v2", ("--recall-target", "1"), "should be less than 1"),
    ],
)
def test_what_cannot_be_compared(
    went: Went, first: str, second: str, more: tuple[str, ...], said: str
) -> None:
    done = went.compare(first, second, *more)
    assert done.returncode == 2 and said in done.stderr
