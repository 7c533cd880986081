"""Train and evaluate: from a catalogue to a bundle with honest figures, whoever asks for it."""

from flows.config import EvaluationSettings, TrainingSettings
from flows.dispatch import fine_tune_where_it_belongs
from tasks.automl.chosen import ChosenRecipes
from tasks.automl.settings import SearchSettings
from tasks.catalogue import Catalogue
from tasks.compute.settings import ComputeSettings
from tasks.data.training_view import plan_members
from tasks.engine.run import Run
from tasks.evaluate import EvaluatedBundle, evaluate_bundle
from tasks.export import ExportedBundle, export_bundle
from tasks.fine_tune import TrainedMembers
from tasks.ingest import Listing
from tasks.prepare import prepare_ways


def train_and_evaluate(
    run: Run,
    listing: Listing,
    catalogue: Catalogue,
    training: TrainingSettings,
    search: SearchSettings | None,
    evaluation: EvaluationSettings,
    compute: ComputeSettings,
) -> tuple[TrainedMembers, ExportedBundle, EvaluatedBundle]:
    """Prepare the images, fine-tune where that belongs (after a search where there is one), export, evaluate."""
    n_members = len(plan_members(catalogue.protocol, catalogue.n_folds))
    chosen = ChosenRecipes.same(training.recipe(), n_members)
    pixels = prepare_ways(run, listing, catalogue, chosen.preprocessings)
    members = fine_tune_where_it_belongs(
        run, catalogue, chosen, pixels, training, evaluation.served, listing, search, compute
    )
    bundle = export_bundle(
        run, catalogue, prepare_ways(run, listing, catalogue, members.preprocessings, pixels), members
    )
    return members, bundle, evaluate_bundle(run, listing, catalogue, bundle, evaluation.recall_target)
