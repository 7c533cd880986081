"""What the report says of a search: the leaderboard, and the honest figure beside its best one."""

import numpy as np

from tasks.automl.chosen import SearchResult
from tasks.automl.objective import Objective
from tasks.automl.tried import telling
from tasks.evaluation.words import number
from tasks.pages.content import EvaluatedPredictions, SearchFacts


def search_facts(result: SearchResult, rows: EvaluatedPredictions, positive: int | None) -> SearchFacts:
    """The leaderboard beside the same figure of the honest predictions."""
    return SearchFacts(
        objective=result.objective.label,
        smaller_is_better=result.objective.metric == "log_loss",
        tried=result.leaderboard,
        minutes=result.seconds / 60,
        best=result.best_score,
        honest=honest_figure(result.objective, rows, positive),
        recipes=len(set(result.chosen.members)),
    )


def honest_figure(objective: Objective, rows: EvaluatedPredictions, positive: int | None) -> float | None:
    """The figure that was optimised, of predictions by members whose recipe was chosen without the image."""
    score = objective.score(rows.labels, rows.probabilities, positive)
    return None if np.isnan(score) else objective.shown(score)


def leaderboard_rows(result: SearchResult) -> list[dict[str, str | int | float]]:
    """The leaderboard as a Prefect table has it."""
    names = telling(result.leaderboard)
    return [
        {
            "#": row.number,
            "recipe": f"{row.kind.replace('_', '-')}, {row.backbone}",
            "settings": row.settings(names),
            "state": row.state if row.reason is None else f"{row.state}: {row.reason}",
            result.objective.label: number(row.score),
            "95 % interval": f"{number(row.lower)} to {number(row.upper)}",
            "seconds": round(row.seconds, 1),
            "chosen for folds": ", ".join(map(str, row.chosen_for)),
        }
        for row in result.leaderboard
    ]
