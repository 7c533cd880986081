"""The trainings of a search: a network is asked only about folds that it never saw, and each is kept."""

import numpy as np
from support.runs.staged_run import OPTIONS, RECIPE, StagedRun

from tasks.catalogue import read_catalogue
from tasks.engine.stage import timed_stages
from tasks.search_trainings import checkpoint_folder, probe_base, read_answers, train_unit
from tasks.training.recipes import FineTune, Optimisation

UNITS = ((0, 1), (0, 2), (1, 2))
FINE_TUNE = FineTune(
    backbone=RECIPE.backbone,
    weights=RECIPE.weights,
    preprocessing=RECIPE.preprocessing,
    test_views=("identity",),
    views=1,
    probe_views=0,
    frozen_stages=4,
    optimisation=Optimisation(epochs=2, batch_size=8),
)


def test_a_probe_answers_for_both_folds_that_it_never_saw(staged_copy: StagedRun) -> None:
    run, catalogue = staged_copy.run, staged_copy.catalogue
    table = read_catalogue(run, catalogue)
    probed = probe_base(run, catalogue, staged_copy.pixels, RECIPE, UNITS, UNITS, OPTIONS)
    assert [(unit.held_out, unit.asked, unit.epochs) for unit in probed.units] == [
        (pair, pair, 0) for pair in UNITS
    ]
    for unit in probed.units:
        for fold, answers in read_answers(run, table, unit).items():
            of_fold = table.frame[table.frame["fold"] == fold]
            assert set(answers.sha256) == set(of_fold["sha256"])
            assert answers.logits.shape == (len(of_fold), 2)


def test_a_training_goes_on_from_its_first_epochs_and_is_kept(staged_copy: StagedRun) -> None:
    run, catalogue, pixels = staged_copy.run, staged_copy.catalogue, staged_copy.pixels
    table = read_catalogue(run, catalogue)

    def trained(epochs: int) -> np.ndarray:
        unit = train_unit(run, catalogue, pixels, FINE_TUNE, (0, 1), (1,), epochs, OPTIONS)
        assert (unit.epochs, len(unit.curve)) == (epochs, epochs)
        return read_answers(run, table, unit)[1].logits

    first = trained(1)
    assert checkpoint_folder(run, FINE_TUNE, (1, 0)).is_dir()
    with timed_stages() as timings:
        whole, again = trained(2), trained(2)
    assert [row.reused for row in timings] == [False, True]
    assert np.array_equal(whole, again)
    assert not np.array_equal(first, whole)
