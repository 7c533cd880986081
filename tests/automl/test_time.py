"""The time of a search: what is left of it, and what is expected to fit."""

from dataclasses import replace

from tasks.automl.fold_search import Candidate, Proposals
from tasks.automl.scope import SearchScope
from tasks.automl.settings import SearchSettings
from tasks.automl.space import Base, base_of
from tasks.automl.time import Budget, SearchTime, Step
from tasks.automl.units import Unit
from tasks.training.recipes import PRESETS, FineTune

N_FOLDS = 3


def recipe(epochs: int, runs: int = 1) -> FineTune:
    preset = PRESETS["fast"]
    assert isinstance(preset, FineTune)
    optimisation = preset.optimisation.model_copy(update={"epochs": epochs, "runs": runs})
    return preset.model_copy(update={"optimisation": optimisation})


def scope(root: FineTune) -> SearchScope:
    return SearchScope(
        protocol="cross_validation",
        n_folds=N_FOLDS,
        positive=1,
        contents=60,
        root=root,
        bases=(base_of(root),),
        settings=SearchSettings(halving=2),
        seed=0,
        refit=False,
    )


def test_a_budget_counts_what_earlier_attempts_used_and_expects_the_worse_of_what_it_saw() -> None:
    now = [0.0]
    budget = Budget(2, clock=lambda: now[0])
    now[0] = 30
    budget.add_earlier(50)
    assert budget.left_seconds == 40
    training = Step(base_of(recipe(2)), rest=False, scored=True)
    assert training not in budget.costs
    budget.measured(training, 10)
    budget.measured(training, 2)
    assert budget.costs[training] == 6
    budget.measured(training, 20)
    assert budget.costs[training] == 20


def test_as_many_folds_go_on_as_there_is_room_for() -> None:
    now = [0.0]
    budget = Budget(1, clock=lambda: now[0])
    preset = recipe(epochs=4)
    dearer = preset.model_copy(update={"backbone": "densenet121"})

    def needed(proposals: Proposals, *, whole: bool) -> list[tuple[Candidate, Unit]]:
        """Nothing is there yet."""
        units = scope(preset).units(proposals)
        return [(Candidate({}, preset), unit) for unit in units]

    def seconds_an_image(base: Base) -> float:
        return 3.0 if base.backbone == "densenet121" else 1.0

    time = SearchTime(scope(preset), budget, needed, seconds_an_image)
    twice = SearchTime(scope(recipe(epochs=4, runs=2)), budget, needed, seconds_an_image)
    first = Step(base_of(preset), rest=False, scored=True)
    rest, alone = replace(first, rest=True), replace(first, rest=True, scored=False)
    wanted = {fold: [Candidate({}, preset)] for fold in (2, 0, 1)}

    assert time.begun(wanted, 30, 29) == wanted, "nothing is known of what it takes"
    budget.measured(first, 5.0)
    assert time.seconds(wanted, whole=False) == 3 * 2 * 5, "two epochs for each pair of folds"
    assert time.seconds(wanted, whole=True) == 3 * 2 * 5
    budget.measured(rest, 2.5)
    assert time.seconds(wanted, whole=True) == 3 * 2 * 2.5
    assert time.begun(wanted, 14, finish=1) == wanted
    assert list(time.begun(wanted, 16, finish=1)) == [2], "two of the pairs; any other fold needs the third"
    assert list(time.begun(wanted, 16, finish=24)) == [], "the best so far would not be finished"
    assert list(time.finished(wanted, 46)) == [2]
    now[0] = 51
    assert time.finished(wanted, 0) == {}
    now[0] = 0
    budget.measured(alone, 1.5)
    budget.measured(replace(alone, rest=False), 2.0)
    assert time.member_seconds(preset, 1) == 2 * 2 + 2 * 1.5
    assert time.member_seconds(preset, 2) == 2 * 2 + 6 * 1.5
    assert time.members_seconds([preset], 2) == 3 * 13 * 2, "two parts of three to learn from, not one"
    assert time.member_seconds(dearer, 1) == 3 * time.member_seconds(preset, 1), "as its forward pass"
    assert time.affordable_runs([preset]) == 1
    assert twice.affordable_runs([preset]) == 1
    now[0] = -20
    assert twice.affordable_runs([preset]) == 2
