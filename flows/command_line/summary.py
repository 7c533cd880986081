"""The last lines on the terminal: figures with their intervals, the decision, and where everything is."""

from shlex import quote

import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from flows.find_recipe import FoundRecipe
from flows.result import RetrainResult
from tasks.audit import AuditFindings
from tasks.automl.chosen import SearchResult
from tasks.catalogue import Catalogue, read_near_pairs
from tasks.data.given_split import Leak
from tasks.engine.run import Run
from tasks.evaluation.intervals import Estimate
from tasks.evaluation.member_spread import member_words
from tasks.evaluation.metrics import Evaluation
from tasks.evaluation.words import interval, number
from tasks.pages.leaderboard import leaderboard_rows
from tasks.score import Scores

MOST_CLASSES = 12
MOST_TRIED = 30
MOST_QUESTIONS = 20
FIGURES = ("recall", "specificity", "precision", "auc", "balanced_accuracy", "brier")


def show_retrain(console: Console, result: RetrainResult) -> None:
    """Data, figures, decision, seconds by stage."""
    data, figures = result.dataset, result.evaluation
    console.print(
        f"\n[bold]{data.name}[/]: {data.images} images, {data.exact_copies} exact copies, {data.groups} groups, "
        f"{sum(data.rejects.values())} unusable, {data.unlabelled} unlabelled"
    )
    operating = result.operating.cautions if result.operating else ()
    for warning in (*result.clinical.patients.cautions, *operating, *result.audit.warnings):
        console.print(f"[yellow]warning[/]: {escape(warning)}", highlight=False)
    if result.search is not None:
        show_search(console, result.search)
    console.print(_figures(result.evaluation))
    if result.leak is not None and result.evaluation_without_leaks is not None:
        console.print(_leak(result.leak, result.evaluation_without_leaks), highlight=False, markup=False)
    colour = "green" if result.decision.verdict == "promoted" else "yellow"
    console.print(f"[bold {colour}]{result.outcome}[/]", highlight=False)
    for reason in result.decision.reasons:
        console.print(f"  - {reason}", highlight=False, markup=False)
    spread = member_words(figures.members)
    if spread:
        console.print(spread, highlight=False, markup=False)
    console.print(_seconds(result))
    console.print(
        f"served now: {result.champion or 'nothing yet'} · figures by {figures.protocol.replace('_', '-')}",
        highlight=False,
    )
    if result.suspect_images:
        console.print(
            f"{result.suspect_images} images have a doubtful label: {result.suspects}",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
    for name in ("bundle", "report", "tracked"):
        if getattr(result, name) is not None:
            console.print(f"{name}: {getattr(result, name)}", highlight=False, markup=False, soft_wrap=True)


def show_found_recipe(console: Console, result: FoundRecipe) -> None:
    """The leaderboard, the honest figures, and how to go on."""
    show_search(console, result.search)
    console.print(_figures(result.evaluation))
    chosen = result.search.chosen
    recipes = len(set(chosen.members))
    console.print(
        f"the members have {recipes} recipe{'s' if recipes > 1 else ''}; served would be {chosen.served.backbone}. "
        "To report and promote it: lightbox retrain --search with the same options, which reuses all of this",
        highlight=False,
        markup=False,
    )
    console.print(f"bundle: {result.bundle}", highlight=False, markup=False, soft_wrap=True)


def show_search(console: Console, found: SearchResult) -> None:
    """The leaderboard, best first."""
    figure = found.objective.label
    table = Table(
        "#",
        "recipe",
        "settings",
        "state",
        figure,
        "95 % interval",
        "seconds",
        "chosen for",
        title="leaderboard",
    )
    for row in leaderboard_rows(found)[:MOST_TRIED]:
        table.add_row(*(escape(str(value)) for value in row.values()))
    console.print(table)
    n = len(found.leaderboard)
    more = f", of which the best {MOST_TRIED} are shown" if n > MOST_TRIED else ""
    console.print(
        f"{n} recipes tried in {found.seconds / 60:.1f} minutes{more}; these figures chose the recipes and flatter "
        "them, the honest ones are below",
        highlight=False,
    )


def show_catalogue(console: Console, run: Run, catalogue: Catalogue) -> None:
    """Counts, and where the table is."""
    table = Table("what", "count", title=f"catalogue of {run.name}", title_justify="left")
    summary = catalogue.summary
    counted = (
        "images",
        "contents",
        "exact_copies",
        "pixel_copies",
        "near_copies",
        "copy_questions",
        "groups",
    )
    for name in (*counted, "conflicts"):
        table.add_row(name.replace("_", " "), str(getattr(summary, name)))
    for label, count in summary.images_by_class.items():
        table.add_row(f"images of {label}", str(count))
    for reason, count in summary.rejects.items():
        table.add_row(f"rejected: {reason}", str(count))
    table.add_row("unlabelled", str(summary.unlabelled))
    console.print(table)
    if summary.copy_questions:
        _show_copy_questions(console, read_near_pairs(run, catalogue))
    uri = run.open_workspace().uri(catalogue.table.path)
    console.print(
        f"protocol: {catalogue.protocol} · digest: {catalogue.digest_of_rows}\ntable: {uri}", soft_wrap=True
    )


def _show_copy_questions(console: Console, pairs: pd.DataFrame) -> None:
    """Likely copies that a person must judge, as the options that say that they are none."""
    asked = pairs[pairs["asked"]].sort_values("agreement", ascending=False, kind="stable")
    console.print(
        f"{len(asked)} pairs of likely copies were not joined, since their labels or patients differ or they resemble "
        "only some of a group. They count in no figure. If they are copies, correct the table of labels; if not, say:",
        highlight=False,
    )
    for one, other in asked[["path_a", "path_b"]].head(MOST_QUESTIONS).itertuples(index=False, name=None):
        console.print(
            f"  --not-copies {quote(f'{one} | {other}')}", highlight=False, soft_wrap=True, markup=False
        )
    if len(asked) > MOST_QUESTIONS:
        console.print(f"  and {len(asked) - MOST_QUESTIONS} more")


def show_audit(console: Console, findings: AuditFindings) -> None:
    """How well trivial facts alone predict the label, and all warnings."""
    table = Table("fact", "AUC alone", "95 % interval", title="shortcuts", title_justify="left")
    for shortcut in findings.shortcuts:
        table.add_row(shortcut.fact, *_value_and_interval(shortcut.auc))
    console.print(table)
    for warning in findings.warnings:
        console.print(f"[yellow]warning[/]: {escape(warning)}", highlight=False)


def show_scores(console: Console, run: Run, scores: Scores) -> None:
    """Counts, and where the files are."""
    labels = ", ".join(f"{label} {count}" for label, count in sorted(scores.by_label.items()))
    console.print(
        f"{scores.images} images ({scores.scored_now} scored now): {labels}; {scores.rejected} unusable"
    )
    for file in (scores.parquet, scores.csv):
        console.print(run.open_workspace().uri(file.path), highlight=False, soft_wrap=True)


def _figures(evaluation: Evaluation) -> Table:
    table = Table("figure", "value", "95 % interval", "n")
    for name in FIGURES:
        figure: Estimate = getattr(evaluation, name)
        table.add_row(name.replace("_", " "), *_value_and_interval(figure), str(figure.n))
    if len(evaluation.classes) > 2:
        for of_class in evaluation.per_class[:MOST_CLASSES]:
            table.add_row(
                f"recall of {escape(of_class.name)}", *_value_and_interval(of_class.recall), str(of_class.n)
            )
    return table


def _value_and_interval(figure: Estimate) -> tuple[str, str]:
    return number(figure.value), interval(figure)


def _leak(leak: Leak, clean: Evaluation) -> str:
    """What the given split leaks, in one sentence."""
    recall = "" if clean.recall.value is None else f"; without them recall is {number(clean.recall.value)}"
    return (
        f"the given split leaks: {leak.test_files_with_copies} of {leak.test_files} test files have a copy among the "
        f"training files, {leak.images_on_both_sides} images stand on both sides{recall} (n={clean.n})"
    )


def _seconds(result: RetrainResult) -> Table:
    table = Table("stage", "seconds", "")
    for name, seconds in result.seconds.items():
        table.add_row(name, f"{seconds:.1f}", "reused" if name in result.reused else "")
    return table
