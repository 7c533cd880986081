"""The report in sentences: how many would be missed, how sure that is, what is served, whose figures."""

from dataclasses import dataclass

import numpy as np

from tasks.evaluation.comparison import Comparison
from tasks.evaluation.intervals import Estimate
from tasks.evaluation.metrics import Evaluation
from tasks.evaluation.shortcuts import ALL_FACTS
from tasks.evaluation.words import interval_of_difference, signed
from tasks.pages.clinical_words import right_alarms
from tasks.pages.content import ReportContent
from tasks.pages.outcome import Outcome

PROTOCOLS = {
    "cross_validation": "cross-validation: each image was predicted by a model that had seen neither it nor a "
    "copy of it",
    "holdout": "hold-out: one part of the images was set aside before training, copies included, and the figures "
    "cover that part only",
    "given_split": "given split: the figures cover the test images that the data set itself names",
}


@dataclass(frozen=True)
class Caution:
    """One thing to be careful about, and the section that says more."""

    words: str
    anchor: str


@dataclass(frozen=True)
class Headline:
    """The first screen in sentences."""

    tested: str
    misses: str
    misses_sure: str
    alarms: str
    alarms_sure: str
    right_alarms: str
    verdict: str
    served: str
    whose: str
    cautions: list[Caution]


def headline(content: ReportContent) -> Headline:
    """What a reader must know before anything else."""
    evaluation = content.evaluation
    tested = f"{evaluation.n} images that the model had not seen ({_who(content)})"
    words = _binary_words(content) if evaluation.positive_class is not None else _many_class_words(evaluation)
    right = right_alarms(content.practice) if content.practice is not None else ""
    outcome = _outcome(content)
    return Headline(
        tested,
        *words,
        right,
        verdict=outcome.title,
        served=outcome.now,
        whose=_whose(content),
        cautions=_cautions(content),
    )


def _who(content: ReportContent) -> str:
    """On whom the figures rest; never more than is known."""
    groups = counted(content.evaluation.n_groups, "group")
    if content.patients.known == "key":
        return f"{groups} of patients and copies"
    if content.patients.known == "declared":
        return f"{groups} of copies; no patient twice, as declared"
    return f"{groups} of copies, patients unknown"


def counted(count: int, what: str) -> str:
    """Such as `1 group` and `3 groups`."""
    return f"{count} {what}{'' if count == 1 else 's'}"


def _binary_words(content: ReportContent) -> tuple[str, str, str, str]:
    evaluation = content.evaluation
    positive = evaluation.classes.index(str(evaluation.positive_class))
    counts = np.asarray(evaluation.confusion_matrix)
    total = int(counts[positive].sum())
    missed = total - int(counts[positive, positive])
    others = int(counts.sum()) - total
    alarms = int(counts[:, positive].sum() - counts[positive, positive])
    quoted = f"“{evaluation.positive_class}” image"
    one = content.finding.one if content.finding else quoted
    many = content.finding.many if content.finding else quoted + "s"
    return (
        f"{missed or 'None'} of {total} {one if total == 1 else many} would be missed",
        _per_hundred(evaluation.recall, many),
        f"{alarms or 'None'} of {others} other images would raise a false alarm",
        _per_hundred(evaluation.specificity, "other images"),
    )


def _many_class_words(evaluation: Evaluation) -> tuple[str, str, str, str]:
    counts = np.asarray(evaluation.confusion_matrix)
    wrong = int(counts.sum() - np.trace(counts))
    known = [c for c in evaluation.per_class if c.recall.value is not None]
    worst = min(known, key=lambda c: c.recall.value or 0.0)
    missed = round(worst.n * (1 - (worst.recall.value or 0.0)))
    return (
        f"{wrong or 'None'} of {evaluation.n} images would be given the wrong class",
        _per_hundred(evaluation.accuracy, "images"),
        f"Hardest class: {worst.name}, {missed or 'none'} of {worst.n} images missed",
        _per_hundred(worst.recall, f"{worst.name} images"),
    )


def _per_hundred(rate: Estimate, what: str) -> str:
    """Errors in 100 with their interval, from the rate of successes."""
    if rate.value is None or rate.lower is None or rate.upper is None:
        return rate.reason or ""
    middle, low, high = (f"{100 * (1 - end):.0f}" for end in (rate.value, rate.upper, rate.lower))
    return f"about {middle} in 100 {what}; with 95 % confidence between {low} and {high} in 100"


def _outcome(content: ReportContent) -> Outcome:
    serving = content.serving
    return Outcome(
        name=content.dataset.name,
        version=serving.version,
        decision=content.decision,
        champion=serving.champion_version,
        is_champion=serving.is_champion,
    )


def _cautions(content: ReportContent) -> list[Caution]:
    found = [Caution(caution, "patients") for caution in content.patients.cautions]
    raised = [shortcut for shortcut in content.shortcuts if shortcut.warning]
    if raised:
        # The facts themselves first, all of them together last.
        ordered = sorted(raised, key=lambda found: (found.fact == ALL_FACTS, -(found.auc.value or 0.0)))
        named = ", ".join(f"{shortcut.fact} (AUC {shortcut.auc.value:.2f})" for shortcut in ordered)
        found.append(
            Caution(
                f"Trivial facts predict the label without a look at the finding: {named}. The figures may rest "
                "on them in part, and would then not hold elsewhere.",
                "shortcuts",
            )
        )
    found += [Caution(warning, "data") for warning in content.balance.warnings] if content.balance else []
    if content.serving.operating is not None:
        found += [Caution(words, "threshold") for words in content.serving.operating.cautions]
    if content.leak is not None and content.leak.test_files_with_copies:
        found.append(
            Caution(
                f"{content.leak.test_files_with_copies} of the {content.leak.test_files} test images have a copy among "
                "the training images that were given with them; the model did not learn from those.",
                "second-looks",
            )
        )
    if content.suspect_groups:
        what = "image" if content.suspect_groups == 1 else "images"
        found.append(
            Caution(
                f"{content.suspect_groups} {what} (copies counted once) may be labelled wrongly; a person should look. "
                "Nothing was left out for it.",
                "suspects",
            )
        )
    return found


def _whose(content: ReportContent) -> str:
    serving = content.serving
    many = serving.n_members > 1
    built = {
        "average": f"the average of {serving.n_members} members" if many else "the one trained network",
        "refit": "a refit: trained once more, by the same recipe, on all images",
    }[serving.kind]
    if serving.figures_of == "served":
        return f"Version {serving.version} is {built}. The figures are its own, on images that it never saw."
    return (
        f"Version {serving.version} is {built}. It has seen every image here, so it cannot be tested on them: the "
        f"figures are those of its {serving.n_members} members, each on the images that it never saw. They stand "
        f"for what version {serving.version} can be expected to do; they did not measure it."
    )


def comparison_words(comparison: Comparison) -> str:
    """Which of the two is the better one, if that can be told."""
    champion = f"version {comparison.champion_version}"
    return capitalized(difference_words(comparison.auc_difference, champion, "this model"))


def capitalized(text: str) -> str:
    """The text with a capital first letter, the rest as it is."""
    return text[:1].upper() + text[1:]


def difference_words(difference: Estimate, first: str, second: str) -> str:
    """Which of two models has the greater AUC, if that can be told from the second's less the first's."""
    if difference.value is None or difference.lower is None or difference.upper is None:
        return f"Which is better cannot be told: {difference.reason}."
    span = f"{signed(difference.value)}, 95 % interval {interval_of_difference(difference)}"
    if difference.lower > 0:
        return f"{second} tells the images apart better than {first} (AUC {span})."
    if difference.upper < 0:
        return f"{first} tells the images apart better than {second} (AUC {span})."
    return f"Neither is shown to be better: the difference in AUC ({span}) may be chance."
