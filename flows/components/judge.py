"""What is judged: predictions by who never saw an image, figures, the gate, two models side by side."""

from flows.components.place import Place
from flows.components.settings import ModelChoice
from flows.components.values import (
    Comparison,
    Decision,
    Evaluation,
    Findings,
    Folds,
    Model,
    Predictions,
    Version,
)
from flows.config import EvaluationSettings
from tasks.check_robustness import Robustness, check_robustness
from tasks.clinical import clinical_figures
from tasks.compare import NamedModel, compare_models
from tasks.decide import decide_promotion
from tasks.describe import Described, describe_bundle
from tasks.evaluate import evaluate_bundle
from tasks.evaluation.settings import GateSettings
from tasks.models.registry import Registry
from tasks.predict import predict_unseen
from tasks.rejudge import rejudge_champion


def score_unseen(place: Place, settings: object, *, model: Model) -> Predictions:  # noqa: ARG001
    """Let each image be judged by members that saw neither it nor a copy of it."""
    folds = model.members.folds
    said = predict_unseen(
        place.at(folds.images.run), folds.images.listing, folds.record, model.record.manifest
    )
    return Predictions(model, said)


def evaluate(
    place: Place, settings: EvaluationSettings, *, predictions: Predictions, findings: Findings
) -> Evaluation:
    """Choose thresholds elsewhere, count, and say what that means in use."""
    folds, audit = predictions.model.members.folds, findings.record
    run, listing, about = place.at(folds.images.run), folds.images.listing, folds.images.about
    counted = evaluate_bundle(run, listing, folds.record, predictions.record, settings.rule)
    clinical = clinical_figures(
        run,
        listing,
        folds.record,
        audit,
        counted,
        one_image_a_patient=about.one_image_a_patient,
        prevalence=settings.prevalence,
    )
    described = describe_bundle(run, listing, folds.record, audit, counted, clinical, about.about)
    robust = robustness(place, settings, predictions, described)
    return Evaluation(predictions, findings, described.evaluated, clinical, described, robust)


def robustness(
    place: Place, settings: EvaluationSettings, predictions: Predictions, described: Described
) -> Robustness | None:
    """Let some images be judged again after small changes."""
    members = predictions.model.members
    run, images = place.at(members.folds.images.run), members.folds.images
    sample = settings.robustness_sample(members.preset)
    if not sample:
        return None
    return check_robustness(
        run,
        images.listing,
        members.folds.record,
        predictions.model.record,
        predictions.record,
        described.evaluated,
        sample,
    )


def gate(place: Place, settings: GateSettings, *, evaluation: Evaluation) -> Decision:
    """Compare with the bars, with trivial facts and with the champion."""
    folds = evaluation.predictions.model.members.folds
    run, listing = place.at(folds.images.run), folds.images.listing
    verdict = decide_promotion(
        run,
        listing,
        folds.record,
        evaluation.findings.record,
        evaluation.record,
        settings,
        rejudge_champion(run, listing, folds.record),
    )
    return Decision(evaluation, verdict)


def compare(
    place: Place, settings: EvaluationSettings, *, first: Predictions, second: Predictions
) -> Comparison:
    """Two models of one run on images that neither saw."""
    folds, models = first.model.members.folds, (first.model, second.model)
    named = [
        NamedModel(name=model.members.record.served_recipe.backbone, uri=model.told["bundle"])
        for model in models
    ]
    run, listing = place.at(folds.images.run), folds.images.listing
    return Comparison(compare_models(run, listing, folds.record, named[0], named[1], settings.rule))


def compare_registered(
    place: Place, settings: EvaluationSettings, *, folds: Folds, first: Version, second: Version
) -> Comparison:
    """Two versions of the registry on images that neither saw."""
    run, listing = place.at(folds.images.run), folds.images.listing
    named = [NamedModel(name=f"{one.run.name} {one.number}", uri=one.uri) for one in (first, second)]
    return Comparison(compare_models(run, listing, folds.record, named[0], named[1], settings.rule))


def registered_model(place: Place, settings: ModelChoice) -> Version:
    """A version that is there."""
    run = place.open(settings.name)
    registry = Registry(run.open_workspace())
    number = registry.resolve(settings.name, settings.version)
    return Version(run, registry.uri(settings.name, number), number)
