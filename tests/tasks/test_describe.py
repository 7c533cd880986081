"""What a bundle says of itself: what people said, where each image went, and a card that agrees with the figures."""

import hashlib

import pytest
from support.runs.staged_run import IMAGES, StagedRun

from tasks.audit import audit_images
from tasks.clinical import clinical_figures
from tasks.describe import Described, describe_bundle
from tasks.models.about import AboutDataSet
from tasks.models.bundle import load_bundle
from tasks.models.manifest import read_manifest
from tasks.promote import publish


def _described(staged: StagedRun, about: AboutDataSet) -> Described:
    run, listing, catalogue, evaluated = staged.run, staged.listing, staged.catalogue, staged.evaluated
    audit = audit_images(run, catalogue)
    clinical = clinical_figures(
        run, listing, catalogue, audit, evaluated, one_image_a_patient=False, prevalence=0.02
    )
    return describe_bundle(run, listing, catalogue, audit, evaluated, clinical, about)


def test_what_people_said_goes_into_the_bundle_and_the_card(staged_copy: StagedRun) -> None:
    about = AboutDataSet(intended_use="second | look,\nby <readers>", sites="one")
    described = _described(staged_copy, about)
    workspace = staged_copy.run.open_workspace()
    card = workspace.read(described.card.path).decode()
    assert "| Intended use | second \\| look, by &lt;readers> |" in card
    assert "| Population | not stated |" in card and "| Sites | one |" in card
    evaluation = staged_copy.evaluated.evaluation
    assert f"| Recall (sensitivity) | {evaluation.recall.value:.3f} |" in card
    assert "Where 2 in 100 images have the finding (as stated for its use)" in card
    assert "- Patients unknown, only groups of copies are kept apart" in card

    published = publish(staged_copy.run, staged_copy.bundle, described.evaluated)
    manifest = read_manifest(workspace.read(published.manifest.path), "the version")
    assert manifest.about == about
    assert manifest.files["model_card.md"] == hashlib.sha256(card.encode()).hexdigest()
    folder = published.manifest.path.rpartition("/")[0]
    assert workspace.read(f"{folder}/model_card.md").decode() == card
    assert published.manifest.sha256 == described.evaluated.manifest.sha256
    assert load_bundle(workspace.uri(folder)).manifest.about == about


def test_the_flow_ends_with_what_the_figures_are_about(staged_copy: StagedRun) -> None:
    described = _described(staged_copy, AboutDataSet())
    assert (described.flow.images, described.flow.patients) == (IMAGES, None)
    [step] = described.flow.steps
    assert step.kept and step.images == staged_copy.evaluated.evaluation.n
    assert described.in_words() == f"of {IMAGES} images left out of the figures: none"


def test_the_same_words_give_the_same_bundle(staged_copy: StagedRun) -> None:
    first, again = (_described(staged_copy, AboutDataSet(contact="a")) for _ in range(2))
    assert first == again
    other = _described(staged_copy, AboutDataSet(contact="b"))
    assert other.evaluated.manifest.sha256 != first.evaluated.manifest.sha256


def test_whatever_is_left_empty_is_not_stated() -> None:
    assert AboutDataSet().is_empty and {text for _, text in AboutDataSet().rows} == {"not stated"}
    assert not AboutDataSet(dates="2020").is_empty
    assert AboutDataSet(dates=" \n ").is_empty
    with pytest.raises(ValueError, match="2000"):
        AboutDataSet(contact="x" * 2001)
