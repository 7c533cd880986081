"""The rule of what goes: never what an alias, a kept run or another data set needs, and nothing twice."""

from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.pruning.retention import (
    DOCUMENT_VERSIONS,
    EntryFacts,
    PrunePlan,
    RunNeeds,
    WorkspaceFacts,
    plan_pruning,
)
from tasks.stores.files import Blob
from tasks.stores.layout import place_of

DAY = 86_400.0
NOW = 1000 * DAY
NAMES = ("brain", "lung")


def old(*paths: str, days: float = 100) -> list[Blob]:
    return [Blob(path, 10, "1", NOW - days * DAY) for path in paths]


def plan(facts: WorkspaceFacts, keep: int = 2, name: str | None = None) -> PrunePlan:
    return plan_pruning(facts, name=name, keep=keep, now_seconds=NOW, min_age_seconds=DAY)


def gone(planned: PrunePlan) -> set[str]:
    return {path for item in planned.removed for path in item.paths}


def kept(planned: PrunePlan) -> set[str]:
    return {path for item in planned.kept for path in item.paths}


def contents(held: dict[str, set[str]]) -> Callable[[str], frozenset[str]]:
    return lambda path: frozenset(held.get(path, ()))


@st.composite
def workspaces(draw: st.DrawFn) -> WorkspaceFacts:
    """Runs of two data sets, each reusing files of earlier ones, with versions, titles, catalogues and caches."""
    files: list[Blob] = []
    runs: dict[str, RunNeeds] = {}
    entries: dict[str, EntryFacts] = {}
    versions: dict[tuple[str, str], str] = {}
    titles: dict[tuple[str, str], str] = {}
    held: dict[str, set[str]] = {}
    ages = st.sampled_from([0.5, 3.0, 100.0])
    for name in NAMES:
        for number in range(draw(st.integers(0, 6))):
            run, age = f"{number:03d}-{name}", draw(ages)
            made = sorted(path for needs in runs.values() if needs.name == name for path in needs.files)
            used = set(draw(st.lists(st.sampled_from(made), max_size=4))) if made else set()
            own = {f"runs/{run}/members/{name}.safetensors", f"runs/{run}/report/{name}.html"}
            bundle = f"models/{name}/v{number + 1}/bundle.json"
            digest = f"{draw(st.integers(0, 3)):016x}"
            table = f"datasets/{name}/{digest}/catalogue.parquet"
            entry = f"stages/export/{run}.json"
            shard = f"cache/images/{draw(st.sampled_from('ab'))}/shard-{draw(st.integers(0, 2))}"
            held[f"{shard}.json"] = held[table] = {digest}
            new = [*own, bundle, table, entry, f"{shard}.npy", f"{shard}.json", f"runs/{run}/stages/x.json"]
            present = {file.path for file in files}
            files += old(*(path for path in new if path not in present), days=age)
            needed = frozenset(used | own | {bundle, table})
            folder = shard.rpartition("/")[0]
            runs[run] = RunNeeds(name, needed, frozenset({entry}), frozenset({folder}))
            entries[entry] = EntryFacts(name, needed)
            versions[name, f"v{number + 1}"] = digest
            if draw(st.booleans()):
                titles[name, f"v{number + 1}"] = "champion"
    files += old(
        "labels/brain/1.jsonl", "endpoint-log/brain/d/1.parquet", "models/brain/claims/v1.json", "own"
    )
    return WorkspaceFacts(files, contents(held), runs, entries, versions, titles)


def without(facts: WorkspaceFacts, paths: set[str]) -> WorkspaceFacts:
    """What is found after a pruning."""
    files = [file for file in facts.files if file.path not in paths]
    there = {file.path for file in files}
    return WorkspaceFacts(
        files,
        facts.contents,
        {run: needs for run, needs in facts.runs.items() if f"runs/{run}/stages/x.json" in there},
        {path: entry for path, entry in facts.entries.items() if path in there},
        {
            (name, version): digest
            for (name, version), digest in facts.versions.items()
            if f"models/{name}/{version}/bundle.json" in there
        },
        facts.titles,
        facts.remembered,
    )


@settings(deadline=None, max_examples=60)
@given(workspaces(), st.integers(1, 4), st.sampled_from([None, *NAMES]))
def test_what_is_needed_stays(facts: WorkspaceFacts, keep: int, name: str | None) -> None:
    planned = plan(facts, keep, name)
    removed = gone(planned)
    for model, version in facts.titles:
        assert not any(path.startswith(f"models/{model}/{version}/") for path in removed)
    for own in NAMES:
        mine = sorted(run for run, needs in facts.runs.items() if needs.name == own)
        numbers = sorted(int(version[1:]) for model, version in facts.versions if model == own)
        stays = mine[-keep:] if name in (None, own) else mine
        for run in stays:
            assert not (facts.runs[run].files | facts.runs[run].entries) & removed
        for number in numbers[-keep:] if name in (None, own) else numbers:
            assert f"models/{own}/v{number}/bundle.json" not in removed
    for file in facts.files:
        if file.modified_seconds is not None and file.modified_seconds > NOW - DAY:
            assert file.path not in removed
        if place_of(file.path).kind in ("labels", "endpoint log", "version claims", "other"):
            assert file.path not in removed
    assert not removed & kept(planned)
    assert len(removed) == sum(len(item.paths) for item in planned.removed)


@settings(deadline=None, max_examples=60)
@given(workspaces(), st.integers(1, 4), st.data())
def test_it_is_idempotent_and_goes_on_where_it_stopped(
    facts: WorkspaceFacts, keep: int, data: st.DataObject
) -> None:
    planned = plan(facts, keep)
    order = [path for item in planned.removed for path in item.paths]
    after = without(facts, set(order))
    assert gone(plan(after, keep)) == set()
    stopped = without(facts, set(order[: data.draw(st.integers(0, len(order)))]))
    rest = plan(stopped, keep)
    assert {file.path for file in without(stopped, gone(rest)).files} == {file.path for file in after.files}


@settings(deadline=None, max_examples=60)
@given(workspaces(), st.integers(1, 4))
def test_no_kept_result_refers_to_what_goes(facts: WorkspaceFacts, keep: int) -> None:
    planned = plan(facts, keep)
    removed = gone(planned)
    for path, entry in facts.entries.items():
        assert path in removed or not entry.files & removed or path in _young(facts)


def _young(facts: WorkspaceFacts) -> set[str]:
    return {file.path for file in facts.files if (file.modified_seconds or NOW) > NOW - DAY}


def test_the_run_of_a_kept_version_keeps_its_report_and_figures() -> None:
    runs = {f"{n}": RunNeeds("brain", frozenset({f"models/brain/v{n}/bundle.json"})) for n in (1, 2, 3)}
    each = (
        "stages/x.json",
        "report/index.html",
        "predictions.parquet",
        "bundle/model.onnx",
        "members/0.safetensors",
    )
    files = old(*(f"runs/{run}/{name}" for run in runs for name in each))
    files += old(*(f"models/brain/v{n}/bundle.json" for n in (1, 2, 3)))
    versions = {("brain", f"v{n}"): "" for n in (1, 2, 3)}
    facts = WorkspaceFacts(files, contents({}), runs, {}, versions, {("brain", "v1"): "champion"})
    removed = gone(plan(facts, keep=1))
    assert {path for path in removed if path.startswith("runs/1/")} == {
        "runs/1/bundle/model.onnx",
        "runs/1/members/0.safetensors",
    }
    assert {path for path in removed if path.startswith("runs/2/")} == {f"runs/2/{name}" for name in each}
    assert not any(path.startswith("runs/3/") for path in removed)
    assert "models/brain/v2/bundle.json" in removed


def test_documents_listings_shards_embeddings_inspections_and_leftovers() -> None:
    held = {
        "datasets/brain/0000000000000001/catalogue.parquet": {"a"},
        "cache/images/k/shard-1.json": {"a", "z"},
        "cache/images/k/shard-2.json": {"z"},
        "cache/embeddings/e/1.parquet": {"remembered"},
        "cache/embeddings/e/2.parquet": {"z"},
        "cache/inspections/i/1.parquet": {"a", "z"},
        "cache/inspections/i/2.parquet": {"z"},
    }
    ledgers = [f"datasets/brain/folds/{n:08d}.json" for n in range(1, 14)]
    files = old(*held, *ledgers, "cache/images/k/shard-1.npy", "cache/images/k/shard-2.npy")
    files += old("cache/images/k/shard-3.npy", ".tmp/left", "models/brain/v7/model.onnx")  # of killed writers
    files += old(".tmp/now", days=0.1)
    files += [blob for n in range(4) for blob in old(f"datasets/brain/listings/{n}.parquet", days=100 - n)]
    needs = RunNeeds("brain", frozenset({next(iter(held))}), frozenset(), frozenset({"cache/images/k"}))
    files += old("runs/1/stages/x.json")
    facts = WorkspaceFacts(files, contents(held), {"1": needs}, remembered=frozenset({"remembered"}))
    planned = plan(facts, keep=2)
    assert gone(planned) == {
        *ledgers[:-DOCUMENT_VERSIONS],
        "datasets/brain/listings/0.parquet",
        "datasets/brain/listings/1.parquet",
        "cache/images/k/shard-2.json",
        "cache/images/k/shard-2.npy",
        "cache/images/k/shard-3.npy",
        "cache/embeddings/e/2.parquet",
        "cache/inspections/i/2.parquet",
        ".tmp/left",
        "models/brain/v7/model.onnx",
    }
    shard = next(item for item in planned.removed if item.item.endswith("shard-2"))
    assert shard.paths[0].endswith(".json"), "the list goes first, so that nobody reads a shard that is going"


def test_what_only_the_next_run_begins_with_and_what_a_retry_asks_for() -> None:
    pairs = [f"datasets/brain/copies/pairs-{digest}.npz" for digest in "cab"]  # in the order of their age
    files = [blob for place, path in enumerate(pairs) for blob in old(path, days=100 - place)]
    searches = [f"searches/{name}/202{year}0101-000000-a.json" for name in NAMES for year in range(3)]
    stays = ["datasets/brain/copies/scale-1.npz", "models/brain/claims/v1.json"]
    notices = [f"notices/{name}/flow-run/refused.json" for name in NAMES]
    files += old(*searches, *stays, *notices) + old("notices/brain/now/refused.json", days=0.1)
    facts = WorkspaceFacts(files, contents({}))
    assert gone(plan(facts, keep=2)) == {pairs[0], searches[0], searches[3], *notices}
    assert gone(plan(facts, keep=1, name="brain")) == {*pairs[:2], *searches[:2], notices[0]}


def test_a_node_of_an_old_run_keeps_figures_and_loses_what_stands_in_the_registry() -> None:
    bundle = "models/brain/v1/bundle.json"
    heavy = {"runs/1/nodes/a/bundle/model.onnx", "runs/1/nodes/a/members/0.safetensors"}
    files = old(*heavy, "runs/1/nodes/a/predictions.parquet", "runs/1/stages/x.json", bundle)
    files += old("runs/2/stages/x.json")
    runs = {"1": RunNeeds("brain", frozenset({bundle})), "2": RunNeeds("brain")}
    facts = WorkspaceFacts(
        files, contents({}), runs, {}, {("brain", "v1"): ""}, {("brain", "v1"): "champion"}
    )
    assert gone(plan(facts, keep=1)) == heavy
