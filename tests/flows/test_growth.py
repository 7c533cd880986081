"""Ten half-years of growing data: folds stay, nobody is judged on what he saw, what is known is not done again."""

import io
import json
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from support.runs.growing_data import (
    CLASS_APPEARS,
    NAME,
    PROMOTED_BY_HAND,
    ROLLED_BACK,
    YEARS,
    Grown,
    HalfYear,
)

from tasks.data.folds import FoldLedger
from tasks.data.patient_keys import PatientKeys
from tasks.stores.workspace import VersionedDocument, Workspace

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def ledgers(grown: Grown) -> list[FoldLedger]:
    """Every version of the fold ledger, oldest first."""
    workspace = Workspace(str(grown.workspace))
    document, keys = VersionedDocument(workspace, f"datasets/{NAME}/folds"), PatientKeys(workspace)
    return [FoldLedger.from_bytes(document.read_version(number), 3, keys) for number in document.versions()]


def used_record(grown: Grown, half_year: HalfYear, stage: str) -> dict[str, Any]:
    """The record that a stage of a retrain handed on."""
    use = json.loads(
        next((grown.workspace / "runs" / half_year.result.run / "stages").glob(f"{stage}-*.json")).read_text()
    )
    record: dict[str, Any] = json.loads((grown.workspace / use["entry"]).read_text())["record"]
    return record


def seen_by_member(bundle: str) -> dict[int, set[str]]:
    """The contents that each member of a bundle learnt from."""
    seen: dict[int, set[str]] = defaultdict(set)
    for image in json.loads((Path(bundle) / "training_images.json").read_text())["images"]:
        for member in image["members"]:
            seen[member].add(image["sha256"])
    return seen


def test_no_content_ever_changes_its_fold(ledgers: list[FoldLedger], grown: Grown) -> None:
    assert len(ledgers) == YEARS
    for before, after in pairwise(ledgers):
        for sha256, entry in before.entries.items():
            assert after.entries[sha256].fold == entry.fold
    assert grown.half_years[-1].contents <= ledgers[-1].entries.keys()


def test_late_copies_join_the_group_of_their_original(ledgers: list[FoldLedger], grown: Grown) -> None:
    entries = ledgers[-1].entries
    assert len(grown.copies) == 6
    for copy, original in grown.copies.items():
        assert entries[copy].group == entries[original].group
        assert entries[copy].fold == entries[original].fold


def test_no_member_ever_judges_what_it_or_a_copy_of_it_has_taught_it(
    grown: Grown, ledgers: list[FoldLedger]
) -> None:
    """By the groups as they were known when the prediction was made, whatever has vanished since."""
    seen = {
        bundle: seen_by_member(bundle)
        for bundle in {one.bundle for h in grown.half_years for one in h.judged}
    }
    assert len(seen) > YEARS, "each new bundle in its run's folder, and the champions of then in the registry"
    for half_year, ledger in zip(grown.half_years, ledgers, strict=True):
        learnt = {
            (bundle, member): {ledger.entries[sha256].group for sha256 in contents}
            for bundle, members in seen.items()
            for member, contents in members.items()
            if contents <= ledger.entries.keys()
        }
        assert len(half_year.judged) > 10
        for one in half_year.judged:
            assert ledger.entries[one.sha256].group not in learnt[one.bundle, one.member]


def test_each_model_begins_from_the_pretrained_weights_and_not_from_an_older_one(grown: Grown) -> None:
    weights = {
        json.dumps(json.loads((Path(half_year.result.bundle) / "bundle.json").read_text())["weights"])
        for half_year in grown.half_years
    }
    assert len(weights) == 1
    assert "models/" not in weights.pop()


def test_champion_and_challenger_meet_on_common_unseen_images(grown: Grown) -> None:
    for half_year in grown.half_years[1:]:
        verdict = used_record(grown, half_year, "decide")
        if half_year.number == CLASS_APPEARS:
            assert verdict["comparison"] is None
            assert "cannot be compared" in " ".join(half_year.result.decision.reasons)
            continue
        comparison = verdict["comparison"]
        assert comparison["champion_version"] == verdict["champion"]
        champion = str(grown.workspace / "models" / NAME / verdict["champion"])
        by_champion = {one.sha256 for one in half_year.judged if one.bundle == champion}
        data = (grown.workspace / "runs" / half_year.result.run / "predictions.parquet").read_bytes()
        reported = pd.read_parquet(io.BytesIO(data))
        honest = reported["sha256"].isin(by_champion)
        assert comparison["n"] == int(honest.sum()) >= 5


def test_aliases_tell_what_happened(grown: Grown) -> None:
    for half_year in grown.half_years:
        assert half_year.result.version == f"v{half_year.number}"
    aliases = grown.registry.aliases(NAME)
    champions = [
        (change.action, change.before, change.after)
        for change in aliases.history
        if change.alias == "champion"
    ]
    verdicts = {half_year.number: half_year.result.decision.verdict for half_year in grown.half_years}
    expected: list[tuple[str, str | None, str | None]] = []
    past: list[str | None] = []
    served: str | None = None
    for number, verdict in verdicts.items():
        if verdict == "promoted" or number == PROMOTED_BY_HAND:
            past.append(served)
            expected.append(("promote", served, served := f"v{number}"))
        if number == ROLLED_BACK:
            before, served = served, past.pop()
            expected.append(("rollback", before, served))
    assert champions == expected
    assert aliases.champion == served == grown.half_years[-1].result.champion
    assert verdicts[1] == verdicts[CLASS_APPEARS] == "promoted"


def test_only_what_is_new_is_decoded_and_embedded(grown: Grown) -> None:
    ever = frozenset().union(*(half_year.contents for half_year in grown.half_years))
    embedded = [
        sha256
        for file in (grown.workspace / "cache" / "embeddings").rglob("*.parquet")
        for sha256 in pq.read_table(file)["sha256"].to_pylist()
    ]
    decoded = [
        json.loads(file.read_text())["sha256"]
        for file in (grown.workspace / "cache" / "images").rglob("*.json")
    ]
    assert sorted(embedded) == sorted(ever), "each content is embedded once in ten half-years"
    assert sorted(sha256 for shard in decoded for sha256 in shard) == sorted(ever)
    tenth = grown.half_years[-1].contents - frozenset().union(*(h.contents for h in grown.half_years[:-1]))
    assert sorted(tenth) in [sorted(shard) for shard in decoded]
