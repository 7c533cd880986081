"""The search stage on a small set, with real trainings: honest, resumable, within its bounds."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

from tasks.automl.chosen import SearchResult
from tasks.automl.settings import Range, SearchSettings, SearchSpace
from tasks.catalogue import Catalogue, build_catalogue, read_catalogue
from tasks.copies.settings import NearCopyRule
from tasks.data.catalogue_table import CatalogueTable
from tasks.data.settings import CatalogueSettings, ImagesSource
from tasks.data.training_view import held_out_view, training_view
from tasks.demo.data_set import DemoSummary
from tasks.engine.run import Run, open_run, write_file
from tasks.errors import ConfigError
from tasks.ingest import Listing, ingest
from tasks.search import find_recipes
from tasks.training.recipes import PRESETS, FineTune, TrainingOptions

SPACE = SearchSpace(
    backbones=("efficientnet_lite0",),
    sizes_px=(64,),
    fit=("letterbox",),
    learning_rate=Range(low=1e-4, high=3e-3),
    epochs=(2,),
)
OPTIONS = TrainingOptions(seed=0, device="cpu")


def root() -> FineTune:
    recipe = PRESETS["fast"]
    assert isinstance(recipe, FineTune)
    return recipe.model_copy(update={"probe_views": 1})


def settings(**changes: object) -> SearchSettings:
    return SearchSettings.model_validate(
        {"mode": "on", "minutes": 30, "max_trials": 2, "bases": 1, "survivors": 1, "space": SPACE, **changes}
    )


@dataclass(frozen=True)
class Checked:
    """A catalogued data set in a workspace of its own."""

    run: Run
    listing: Listing
    catalogue: Catalogue

    def search(self, **changes: object) -> SearchResult:
        """A search in a run of its own."""
        run = open_run(self.run.workspace, None, self.run.name)
        return find_recipes(run, self.listing, self.catalogue, root(), settings(**changes), OPTIONS, False)

    def trainings(self) -> dict[str, int]:
        """Every training that is kept, and when it was written."""
        folder = Path(self.run.workspace) / "stages" / "search-unit"
        return {path.name: path.stat().st_mtime_ns for path in folder.glob("*.json")}


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIGHTBOX_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield patch


@pytest.fixture(scope="module")
def checked(small_demo: DemoSummary, tmp_path_factory: pytest.TempPathFactory) -> Checked:
    run = open_run(str(tmp_path_factory.mktemp("search") / "ws"), None, "small")
    listing = ingest(run, ImagesSource(url=str(small_demo.images))).listing
    rules = CatalogueSettings(n_folds=3, max_reject_fraction=0.5, copies=NearCopyRule(search=False))
    return Checked(run, listing, build_catalogue(run, listing, rules, "yes"))


@pytest.fixture(scope="module")
def result(checked: Checked) -> SearchResult:
    return checked.search()


@pytest.mark.slow
def test_every_fold_gets_a_recipe_and_every_recipe_a_row(checked: Checked, result: SearchResult) -> None:
    assert len(result.chosen.members) == 3
    assert result.chosen.served in result.chosen.members
    kinds = [row.kind for row in result.leaderboard]
    assert kinds.count("probe") == 2
    assert 1 <= kinds.count("fine_tune") <= 2
    assert sorted(fold for row in result.leaderboard for fold in row.chosen_for) == [0, 1, 2]
    scores = [row.score for row in result.leaderboard]
    assert scores == sorted((score for score in scores if score is not None), reverse=True)
    for row in result.leaderboard:
        assert row.lower is not None and row.score is not None and row.upper is not None
        assert row.lower <= row.score <= row.upper
        if row.kind == "fine_tune":
            assert row.state == ("survivor" if row.epochs == 2 else "stopped early")
            assert [point.epoch for point in row.curve] == list(range(1, row.epochs + 1))
    assert not list((checked.run.cache_root / "checkpoints").rglob("*.pt"))


@pytest.mark.slow
def test_a_larger_search_repeats_no_training_that_was_done(checked: Checked, result: SearchResult) -> None:
    before = checked.trainings()
    larger = checked.search(max_trials=3, survivors=2)
    after = checked.trainings()
    assert {name: after[name] for name in before} == before
    assert len(after) > len(before)
    assert len(larger.leaderboard) > len(result.leaderboard)


@pytest.mark.slow
def test_what_a_fold_says_has_no_say_in_its_recipe(checked: Checked, result: SearchResult) -> None:
    """All labels of fold 1 turned round: other folds' recipes may change, its own must not."""
    table = read_catalogue(checked.run, checked.catalogue)
    frame = table.frame.copy()
    own = frame["fold"] == 1
    frame.loc[own, "label"] = frame.loc[own, "label"].map({"yes": "no", "no": "yes"})
    turned = CatalogueTable(frame, table.rejects, table.n_folds)
    rows, _ = turned.to_parquet()
    reference = write_file(checked.run.open_workspace(), "turned/catalogue.parquet", rows)
    lied_to = Checked(
        checked.run,
        checked.listing,
        checked.catalogue.model_copy(update={"table": reference, "digest_of_rows": turned.digest}),
    )
    other = lied_to.search()
    assert other.chosen.members[1] == result.chosen.members[1]
    assert [row.score for row in other.leaderboard] != [row.score for row in result.leaderboard]


def test_a_training_of_a_search_never_sees_what_it_is_asked_about(checked: Checked) -> None:
    table = read_catalogue(checked.run, checked.catalogue)
    view = training_view(table, frozenset({0, 1}))
    for fold in (0, 1):
        view.check_unseen(held_out_view(table, fold))
    assert not pd.Series(view.folds).isin([0, 1]).any()


def test_a_budget_too_small_for_one_trial_is_refused_before_any_training(checked: Checked) -> None:
    before = checked.trainings()
    with pytest.raises(ConfigError, match="too short") as caught:
        checked.search(minutes=0.001)
    assert "minutes or more" in caught.value.cure
    assert checked.trainings() == before
