"""One fold's search: what is proposed, who survives, what is chosen."""

import math

import pytest

from tasks.automl.bases import bases_of
from tasks.automl.fold_search import Candidate, FoldSearch
from tasks.automl.settings import SearchSpace
from tasks.automl.space import Base, starting_values
from tasks.errors import TrainingError
from tasks.training.recipes import PRESETS, FineTune


def root() -> FineTune:
    recipe = PRESETS["standard"]
    assert isinstance(recipe, FineTune)
    return recipe


def search(space: SearchSpace | None = None, **options: object) -> tuple[FoldSearch, tuple[Base, ...]]:
    chosen = space or SearchSpace(
        backbones=("efficientnet_lite0", "efficientnet_lite1"), crop_to_content=(True,)
    )
    settings = {"sampling": "tpe", "seed": 0, "n_bases": 2, **options}
    return FoldSearch(0, chosen, root(), **settings), bases_of(chosen, root())  # type: ignore[arg-type]


def probed(one: FoldSearch, bases: tuple[Base, ...], *scores: float) -> None:
    for base, score in zip(bases, scores, strict=False):
        one.probed(base, score)
    one.close_probing()


def test_the_preset_is_proposed_first_and_then_its_settings_on_the_best_bases() -> None:
    one, bases = search()
    probed(one, bases, 0.7, 0.9, 0.8)
    first = one.propose(3)
    assert [candidate.values["base"] for candidate in first] == [base.name for base in bases[:3]]
    runs = {"runs": root().optimisation.runs}
    preset = first[0].recipe
    assert preset.model_copy(update={"optimisation": preset.optimisation.model_copy(update=runs)}) == (
        root().model_copy(update={"frozen_stages": preset.frozen_stages})
    )
    assert {candidate.recipe.optimisation.learning_rate for candidate in first} == {
        root().optimisation.learning_rate
    }


def test_what_an_earlier_search_chose_is_proposed_next() -> None:
    _, bases = search()
    chosen = SearchSpace(backbones=("efficientnet_lite0", "efficientnet_lite1"), crop_to_content=(True,))
    earlier = starting_values(bases[0], root(), chosen) | {"learning_rate": 7e-4}
    one, bases = search(earlier=[earlier])
    probed(one, bases, 0.9, 0.8)
    assert [one.recipe.optimisation.learning_rate for one in one.propose(2)][1] == 7e-4


def test_the_same_scores_give_the_same_proposals_and_other_scores_others() -> None:
    def course(scale: float) -> list[Candidate]:
        one, bases = search()
        probed(one, bases, 0.8, 0.7)
        seen: list[Candidate] = []
        for _ in range(12):
            for candidate in one.propose(1):
                seen.append(candidate)
                one.trained(
                    candidate.recipe, scale * candidate.recipe.optimisation.learning_rate, whole=False
                )
        return seen

    assert course(100) == course(100)
    assert course(100) != course(-100)
    assert len({candidate.recipe for candidate in course(100)}) == len(course(100))


def test_a_space_that_is_exhausted_proposes_no_more() -> None:
    one, bases = search(
        SearchSpace.model_validate(
            {
                "backbones": ["efficientnet_lite0"],
                "fit": ["letterbox"],
                "crop_to_content": [True],
                "learning_rate": {"low": 1e-3, "high": 1e-3},
                "weight_decay": {"low": 1e-2, "high": 1e-2},
                "label_smoothing": [0.0, 0.1],
                "more_frozen_stages": [0],
            }
        )
    )
    probed(one, bases, 0.8)
    seen = []
    for _ in range(6):
        for candidate in one.propose(1):
            seen.append(candidate.recipe)
            one.trained(candidate.recipe, 0.5, whole=False)
    assert len(seen) == len(set(seen)) == 2


def test_failed_trainings_neither_survive_nor_are_chosen() -> None:
    one, bases = search()
    probed(one, bases, 0.8, 0.7)
    first, second = one.propose(2)
    one.trained(first.recipe, math.nan, whole=False)
    one.trained(second.recipe, 0.9, whole=False)
    assert one.survivors(3) == [second]
    assert one.preset is None
    assert one.choice() == second


def test_the_preset_survives_beside_the_best() -> None:
    one, bases = search()
    probed(one, bases, 0.8, 0.7)
    preset, second, third = one.propose(3)
    for candidate, score in ((preset, 0.1), (second, 0.5), (third, 0.9)):
        one.trained(candidate.recipe, score, whole=False)
    assert one.preset == preset
    assert one.survivors(1) == [preset, third]
    assert one.survivors(5) == [preset, third, second]


def test_a_finished_training_is_chosen_over_a_probe_only_when_it_is_better() -> None:
    one, bases = search()
    probed(one, bases, 0.8, 0.7)
    [candidate] = one.propose(1)
    one.trained(candidate.recipe, 0.95, whole=False)
    one.trained(candidate.recipe, 0.75, whole=True)
    assert one.choice() == bases[0]
    one.trained(candidate.recipe, 0.85, whole=True)
    assert one.choice() == candidate


def test_probes_are_not_chosen_where_only_fine_tuning_may_be() -> None:
    one, bases = search(SearchSpace(backbones=("efficientnet_lite0",), kinds=("fine_tune",)))
    probed(one, bases, 0.99)
    with pytest.raises(TrainingError, match="fold 0"):
        one.choice()


def test_without_any_probe_there_is_no_search() -> None:
    one, bases = search()
    one.probed(bases[0], math.nan)
    with pytest.raises(TrainingError, match="probed"):
        one.close_probing()
