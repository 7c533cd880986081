"""Train and evaluate: from a catalogue to a bundle with honest figures, whoever asks for it."""

from flows.config import EvaluationSettings, TrainingSettings
from flows.dispatch import fine_tune_where_it_belongs
from tasks.catalogue import Catalogue
from tasks.chosen import ChosenRecipes
from tasks.compute import ComputeSettings
from tasks.data.training_view import plan_members
from tasks.evaluate import EvaluatedBundle, evaluate_bundle
from tasks.export import ExportedBundle, export
from tasks.fine_tune import TrainedMembers
from tasks.ingest import Listing
from tasks.prepare import prepare_ways
from tasks.run import Run
from tasks.search_settings import SearchSettings


def train_and_evaluate(
    run: Run,
    listing: Listing,
    found: Catalogue,
    training: TrainingSettings,
    search: SearchSettings | None,
    evaluation: EvaluationSettings,
    compute: ComputeSettings,
) -> tuple[TrainedMembers, ExportedBundle, EvaluatedBundle]:
    """Prepare the images, fine-tune where that belongs (after a search where there is one), export, evaluate."""
    n_members = len(plan_members(found.protocol, found.n_folds))
    chosen = ChosenRecipes.same(training.recipe(), n_members)
    pixels = prepare_ways(run, listing, found, chosen.preprocessings)
    members = fine_tune_where_it_belongs(
        run, found, chosen, pixels, training, evaluation.served, listing, search, compute
    )
    bundle = export(run, found, prepare_ways(run, listing, found, members.preprocessings, pixels), members)
    return members, bundle, evaluate_bundle(run, listing, found, bundle, evaluation.recall_target)
