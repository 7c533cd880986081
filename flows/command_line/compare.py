"""`lightbox compare`: two models side by side on the same images, which neither learnt from."""

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from flows.command_line.options import Checks, Images, JsonFile, Named, Quiet, Workspace
from flows.config import EvaluationSettings
from tasks.options.command import Command
from tasks.options.marks import Options

if TYPE_CHECKING:
    from rich.console import Console

    from tasks.compare import ComparedModels
    from tasks.evaluation.intervals import Estimate

FIGURES = (("auc", "ROC AUC"), ("recall", "recall"), ("specificity", "specificity"))
Model = Annotated[
    str,
    Parameter(
        help="v3, champion or challenger of --name; NAME/v3 of another model; or a bundle's folder or URL."
    ),
]
Thresholds = Annotated[EvaluationSettings, Options("Evaluation", {"served": None})]


@Command
def compare(
    first: Model,
    second: Model,
    /,
    *,
    images: Images,
    workspace: Workspace,
    dataset: Named,
    checks: Checks,
    evaluation: Thresholds,
    json: JsonFile = None,
    quiet: Quiet = False,
) -> None:
    """Compare two models by figures and paired tests, with thresholds chosen anew, and write a page."""
    from flows.command_line.terminal import present
    from tasks.catalogue import build_catalogue
    from tasks.compare import compare_models, find_model, load_model
    from tasks.engine.run import open_run
    from tasks.ingest import ingest

    run = open_run(workspace.url, workspace.block, dataset.name)
    models = [find_model(run, model) for model in (first, second)]
    positive = load_model(run, models[0]).manifest.positive_class

    def work() -> "ComparedModels":
        listing = ingest(run, images).listing
        catalogue = build_catalogue(run, listing, checks, positive)
        return compare_models(run, listing, catalogue, models[0], models[1], evaluation.rule)

    present(work, show_comparison, json_file=json, quiet=quiet)


def show_comparison(console: "Console", result: "ComparedModels") -> None:
    """Both models' figures, their paired differences, the tests, and where the page is."""
    from rich.table import Table

    from tasks.evaluation.words import interval_of_difference, signed, with_interval
    from tasks.pages.headline import difference_words

    comparison = result.comparison
    evaluations = (result.first_evaluation, result.second_evaluation)
    table = Table("figure", result.first.name, result.second.name, "difference", "95 % interval")
    for field, title in FIGURES:
        difference: Estimate = getattr(comparison, f"{field}_difference")
        figures = (with_interval(getattr(evaluation, field)) for evaluation in evaluations)
        table.add_row(title, *figures, signed(difference.value), interval_of_difference(difference))
    wrong = (comparison.champion.errors, comparison.challenger.errors)
    table.add_row("images wrong", *map(str, wrong), f"{wrong[1] - wrong[0]:+d}", "")
    console.print(table)
    auc_test = "" if comparison.auc_p_value is None else f"DeLong p = {comparison.auc_p_value:.3g}, "
    console.print(
        f"{comparison.n} common images in {comparison.n_groups} groups, of {result.images}; {auc_test}errors by "
        f"signs of groups p = {comparison.p_value:.3g}. "
        f"Only {result.first.name} right: {comparison.only_champion_right}, "
        f"only {result.second.name}: {comparison.only_challenger_right}",
        highlight=False,
        markup=False,
    )
    words = difference_words(comparison.auc_difference, result.first.name, result.second.name)
    console.print(words, style="bold", highlight=False, markup=False)
    for note in result.notes:
        console.print(f"careful: {note}", style="yellow", highlight=False, markup=False)
    console.print(f"page: {result.uri}", highlight=False, markup=False, soft_wrap=True)
