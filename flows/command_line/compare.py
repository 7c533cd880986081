"""`lightbox compare`: two models side by side on the same images, which neither learnt from."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console
from rich.table import Table

from flows.command_line.app import (
    Debug,
    Folds,
    Images,
    ImagesBlock,
    JsonFile,
    Manifest,
    Quiet,
    WorkspaceBlock,
    WorkspaceUrl,
)
from flows.command_line.invocation import validated
from flows.command_line.output import write_json
from flows.command_line.terminal import progress_bars
from tasks.catalogue import build_catalogue
from tasks.compare import ComparedModels, compare_models, find_model, load_model
from tasks.data.settings import CatalogueSettings, ImagesSource
from tasks.engine.run import open_run
from tasks.errors import ConfigError
from tasks.evaluation.intervals import Estimate
from tasks.evaluation.words import interval_of_difference, signed, with_interval
from tasks.ingest import ingest
from tasks.pages.headline import difference_words

FIGURES = (("auc", "ROC AUC"), ("recall", "recall"), ("specificity", "specificity"))
Model = Annotated[
    str,
    Parameter(
        help="v3, champion or challenger of --name; NAME/v3 of another model; or a bundle's folder or URL."
    ),
]


def compare(
    first: Model,
    second: Model,
    /,
    *,
    images: Images,
    workspace: WorkspaceUrl,
    name: Annotated[str, Parameter(help="Name of the data set whose ledger knows the images' copies.")],
    manifest: Manifest = None,
    recall_target: Annotated[
        float, Parameter(help="Both thresholds are chosen anew for this recall.")
    ] = 0.95,
    folds: Folds = 5,
    images_block: ImagesBlock = None,
    workspace_block: WorkspaceBlock = None,
    json: JsonFile = None,
    quiet: Quiet = False,
    debug: Debug = False,  # noqa: ARG001 - read by main()
) -> None:
    """Compare two models on images that neither learnt from: figures, paired tests, and a page."""
    with validated():
        source = ImagesSource(url=images, block=images_block, manifest=manifest)
        checks = CatalogueSettings(n_folds=folds)
    if not 0 < recall_target < 1:
        raise ConfigError(f"--recall-target {recall_target:g}", cure="give a share above 0 and below 1")
    console = Console(stderr=True)
    run = open_run(workspace, workspace_block, name)
    models = [find_model(run, model) for model in (first, second)]
    positive = load_model(run, models[0]).manifest.positive_class
    with progress_bars(console, quiet=quiet or json == Path("-")):
        listing = ingest(run, source).listing
        catalogue = build_catalogue(run, listing, checks, positive)
        result = compare_models(run, listing, catalogue, models[0], models[1], recall_target)
    if not quiet:
        show_comparison(console, result)
    write_json(result, json)


def show_comparison(console: Console, result: ComparedModels) -> None:
    """Both models' figures, their paired differences, the tests, and where the page is."""
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
        f"{comparison.n} common images in {comparison.n_groups} groups, of {result.images}; {auc_test}McNemar "
        f"p = {comparison.p_value:.3g}. Only {result.first.name} right: {comparison.only_champion_right}, only "
        f"{result.second.name}: {comparison.only_challenger_right}",
        highlight=False,
        markup=False,
    )
    words = difference_words(comparison.auc_difference, result.first.name, result.second.name)
    console.print(words, style="bold", highlight=False, markup=False)
    for note in result.notes:
        console.print(f"careful: {note}", style="yellow", highlight=False, markup=False)
    console.print(f"page: {result.uri}", highlight=False, markup=False, soft_wrap=True)
