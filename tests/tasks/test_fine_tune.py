"""Members: each learns from all folds but its own, and its network comes back as it was trained."""

import pytest
import torch
from pydantic import ValidationError
from support.runs.staged_run import IMAGES, OPTIONS, RECIPE, StagedRun

from tasks.catalogue import read_catalogue
from tasks.fine_tune import TrainedMembers, load_network, read_curves, train_refit


def test_each_member_has_learnt_from_all_folds_but_its_own(staged: StagedRun) -> None:
    folds = read_catalogue(staged.run, staged.catalogue).frame["fold"]
    for index, member in enumerate(staged.members.members):
        assert (member.index, member.held_out) == (index, (index,))
        assert member.images == (folds != index).sum()
        assert member.weights.source == "none"
    assert staged.members.served == "average"
    assert staged.members.preprocessings == (RECIPE.preprocessing,)
    assert read_curves(staged.run, staged.members) == {}, "a probe has no epochs"


def test_a_network_comes_back_and_members_differ(staged: StagedRun) -> None:
    first, again, second = (load_network(staged.run, staged.members.members[index], 2) for index in (0, 0, 1))
    assert not first.training
    images = torch.rand(2, 3, 32, 32)
    assert torch.equal(first(images), again(images))
    assert not torch.equal(first(images), second(images))


def test_a_refit_learns_from_all_images(staged_copy: StagedRun) -> None:
    refit = train_refit(staged_copy.run, staged_copy.catalogue, staged_copy.pixels, RECIPE, OPTIONS)
    assert (refit.index, refit.held_out, refit.images) == (None, (), IMAGES)
    trained = TrainedMembers(members=staged_copy.members.members, refit=refit)
    assert (trained.served, list(trained.networks)) == (
        "refit",
        ["member 0", "member 1", "member 2", "refit"],
    )


def test_recipes_that_differ_have_no_average(staged: StagedRun) -> None:
    first, *others = staged.members.members
    other = first.model_copy(update={"recipe": RECIPE.model_copy(update={"views": 2})})
    with pytest.raises(ValidationError, match="a refit is needed"):
        TrainedMembers(members=(other, *others), refit=None)
