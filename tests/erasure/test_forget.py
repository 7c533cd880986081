"""Forgetting on a real workspace: afterwards nothing names the image nor shows it, and everything else goes on."""

import base64
import hashlib
import io
import json
import os
import re
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from copy import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from PIL import Image
from support.runs.main_job import lightbox
from support.runs.staged_run import CHECKS, NAME, RECIPE, StagedRun, write_pictures

from deployments.endpoint.log_shipping import ship
from deployments.endpoint.prediction_log import LogRow
from tasks.catalogue import build_catalogue, ledger_of, read_catalogue
from tasks.clinical import clinical_figures
from tasks.data.settings import ImagesSource
from tasks.decide import Verdict
from tasks.describe import describe_bundle
from tasks.engine.run import open_run
from tasks.erasure.forget import ForgetPlan, forget, plan_forget
from tasks.erasure.records import Forgotten
from tasks.erasure.settings import ForgetSettings
from tasks.errors import WorkspaceError
from tasks.evaluation.gate import decide
from tasks.evaluation.settings import GateSettings
from tasks.images.decode import decode, prepare
from tasks.ingest import ingest, read_listing
from tasks.label_exchange import decide as decide_label
from tasks.models.about import AboutDataSet
from tasks.models.bundle import load_bundle
from tasks.models.registry import Registry
from tasks.prepare import prepare_images
from tasks.promote import publish
from tasks.report import write_report
from tasks.stores.layout import KINDS, place_of
from tasks.stores.workspace import Workspace

WHY = {"by": "a data officer", "reason": "request 12"}


def log_row(sha256: str, image: bytes) -> LogRow:
    return LogRow(
        time=time.time(), request_id="r", sha256=sha256, deployment="champion", version="v1", mirrored=False,
        label="yes", probabilities={"no": 0.25, "yes": 0.75}, rejected=None, seconds=0.01, image=image,
    )  # fmt: skip


def cells(path: Path) -> Iterator[bytes]:
    """Everything that a file holds, whatever it is packed in."""
    data = path.read_bytes()
    yield data
    match path.suffix:
        case ".parquet":
            table = pq.read_table(io.BytesIO(data))
            for name in table.column_names:
                for value in table[name].to_pylist():
                    yield value if isinstance(value, bytes) else str(value).encode()
        case ".npz":
            with np.load(io.BytesIO(data)) as arrays:
                yield from (arrays[name].tobytes() for name in arrays.files)
        case ".html":
            for found in re.findall(rb"data:image/[a-z]+;base64,([^\"]+)", data):
                with Image.open(io.BytesIO(base64.b64decode(found))) as picture:
                    yield picture.convert("RGB").tobytes()


def holders(folder: Path, *needles: bytes) -> set[str]:
    """The files below a folder that hold one of the needles."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {
        path.relative_to(folder).as_posix()
        for path in files
        if any(needle in cell for cell in cells(path) for needle in needles)
    }


class Lived:
    """A workspace with two versions, a report, labels and a log of an endpoint; and the image that is to go."""

    def __init__(self, staged: StagedRun, tmp_path: Path) -> None:
        self.staged, self.run = staged, staged.run
        self.workspace = self.run.open_workspace()
        self.cache, self.folder = tmp_path / "cache", Path(self.run.workspace)
        registry = Registry(self.workspace)
        verdict = Verdict(
            decision=decide(staged.evaluated.evaluation, None, GateSettings(min_recall=0.0)),
            champion=None,
            is_champion=False,
            comparison=None,
            facts=(),
        )
        clinical = clinical_figures(
            self.run,
            staged.listing,
            staged.catalogue,
            staged.audit,
            staged.evaluated,
            one_image_a_patient=False,
            prevalence=None,
        )
        described = describe_bundle(
            *(self.run, staged.listing, staged.catalogue, staged.audit),
            *(staged.evaluated, clinical, AboutDataSet()),
        )
        published = publish(self.run, staged.bundle, described.evaluated)
        registry.promote(NAME, published.version, ("test",))
        write_report(
            self.run, staged.listing, staged.catalogue, staged.audit, staged.members, staged.bundle,
            staged.evaluated, clinical, described, None, verdict, published, None,
        )  # fmt: skip
        [page] = self.folder.rglob("report/index.html")
        self.path = re.findall(
            r'<figure class="picture">.*?class="path">([^<]+)<', page.read_text(), re.DOTALL
        )[0]
        self.file = Path(staged.listing.url) / self.path
        self.data = self.file.read_bytes()
        self.sha256 = hashlib.sha256(self.data).hexdigest()
        frame = read_catalogue(self.run, staged.catalogue).frame
        self.pixel_sha256 = frame.set_index("path")["pixel_sha256"][self.path]
        registry.publish(Path(registry.uri(NAME, "v1")))
        decide_label(self.run, self.path, label="yes", by="ann", review=False)
        log = tmp_path / "log"
        log.mkdir()
        lines = (log_row(self.sha256, self.data), log_row("0" * 64, b"another"))
        (log / "2027-01-31T23-0-1.jsonl").write_bytes(b"".join(row.line(with_image=True) for row in lines))
        ship(self.workspace, NAME, log)

    @property
    def needles(self) -> tuple[bytes, ...]:
        """The digests as text, the file, and its pixels as they are kept."""
        shown = prepare(decode(self.data).pixels, RECIPE.preprocessing)
        return (self.sha256.encode(), self.pixel_sha256.encode(), self.data, shown.tobytes())

    def settings(self) -> ForgetSettings:
        return ForgetSettings(sha256=(self.sha256,), **WHY)


@pytest.fixture(scope="module")
def lived_once(staged: StagedRun, tmp_path_factory: pytest.TempPathFactory) -> Lived:
    folder = tmp_path_factory.mktemp("lived")
    shutil.copytree(staged.run.workspace, folder / "ws", copy_function=os.link)
    shutil.copytree(staged.cache, folder / "cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIGHTBOX_CACHE", str(folder / "cache"))
        own = replace(staged, run=staged.run.model_copy(update={"workspace": str(folder / "ws")}))
        return Lived(own, folder)


@pytest.fixture
def lived(lived_once: Lived, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lived:
    """A copy of the test's own."""
    monkeypatch.setenv("LIGHTBOX_CACHE", str(tmp_path / "cache"))
    shutil.copytree(lived_once.folder, tmp_path / "ws", copy_function=os.link)
    shutil.copytree(lived_once.cache, tmp_path / "cache")
    own = copy(lived_once)
    own.run = own.run.model_copy(update={"workspace": str(tmp_path / "ws")})
    own.workspace, own.folder, own.cache = own.run.open_workspace(), tmp_path / "ws", tmp_path / "cache"
    return own


def texts(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_dry_run_says_all_and_changes_nothing(lived: Lived) -> None:
    before = texts(lived.folder)
    plan = plan_forget(lived.workspace, lived.settings(), lived.cache)
    assert {name: data for name, data in texts(lived.folder).items() if "private" not in name} == before
    found = {trace.path for trace in plan.traces}
    there = holders(lived.folder, *lived.needles)
    assert {path for path in there if not path.endswith(".npy")} <= found
    assert plan.store_paths == (lived.path,)
    assert plan.learnt == (f"{NAME} v1", f"{NAME} v2")
    assert any("v1 learnt from it" in line for line in plan.elsewhere)
    assert {place_of(path).kind for path in found} >= {
        *("runs", "models", "listings", "fold ledger", "catalogues", "image cache", "inspections", "labels"),
        *("endpoint log",),
    }


def test_afterwards_nothing_finds_the_digest_nor_the_pixels(lived: Lived) -> None:
    assert len(holders(lived.folder, *lived.needles)) > 10
    page = next(lived.folder.rglob("report/index.html"))
    assert f">{lived.path}<" in page.read_text()
    others = Counter(pd.read_parquet(lived.folder / lived.staged.catalogue.table.path)["label"])
    plan = forget(lived.workspace, lived.settings(), lived.cache)
    assert holders(lived.folder, *lived.needles) == set()
    assert holders(lived.cache, *lived.needles) == set()
    assert f">{lived.path}<" not in page.read_text()
    # Counted still, but nameless; the other row of the log is whole.
    after = pd.read_parquet(lived.folder / lived.staged.catalogue.table.path)
    assert Counter(after["label"]) == others
    assert lived.path not in set(after["path"])
    [log] = lived.folder.glob("endpoint-log/*/*/*.parquet")
    rows = pq.read_table(log).to_pylist()
    assert [row["image"] for row in rows] == [None, b"another"]
    assert rows[1]["sha256"] == "0" * 64
    # The records say so without a name, and are in no plan to go.
    records = Forgotten(lived.workspace).records
    assert [record.state for record in records] == ["begun", "done"]
    assert (records[1].by, records[1].reason) == (WHY["by"], WHY["reason"])
    assert plan.record is not None and lived.path not in (lived.folder / plan.record).read_text()
    with pytest.raises(WorkspaceError, match="no trace"):
        plan_forget(lived.workspace, lived.settings(), lived.cache)


def test_every_record_still_fits_its_files_and_the_versions_are_whole(lived: Lived) -> None:
    forget(lived.workspace, lived.settings(), lived.cache)
    for version in ("v1", "v2"):
        load_bundle(Registry(lived.workspace).uri(NAME, version)).verify()
    stale = []
    for path in lived.workspace.list():
        if path.endswith(".json"):
            found = re.findall(
                r'"path": ?"([^"]+)",\s*"sha256": ?"([0-9a-f]{64})"', lived.workspace.read(path).decode()
            )
            stale += [
                (path, name)
                for name, sha256 in found
                if lived.workspace.exists(name)
                and hashlib.sha256(lived.workspace.read(name)).hexdigest() != sha256
            ]
    assert stale == []


def test_the_next_run_takes_no_forgotten_image_although_the_store_still_has_it(lived: Lived) -> None:
    forget(lived.workspace, lived.settings(), lived.cache)
    run = open_run(lived.run.workspace, None, NAME)
    ingested = ingest(run, ImagesSource(url=lived.staged.listing.url))
    assert ingested.forgotten == 1
    catalogue = build_catalogue(run, ingested.listing, CHECKS, "yes")
    prepare_images(run, ingested.listing, catalogue, RECIPE.preprocessing)
    assert lived.path not in set(read_catalogue(run, catalogue).frame["path"])
    assert holders(lived.folder, *lived.needles) == set()
    assert holders(lived.cache, *lived.needles) == set()


@pytest.mark.parametrize("writes", [0, 1, 4, 9])
def test_killed_in_the_middle_the_same_command_goes_on(
    lived: Lived, writes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    done: list[str] = []
    write = Workspace.write

    def dying(self: Workspace, rel: str, data: bytes) -> None:
        if len(done) == writes:
            raise Killed
        done.append(rel)
        write(self, rel, data)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Workspace, "write", dying)
        forget(lived.workspace, lived.settings(), lived.cache)
    forget(lived.workspace, lived.settings(), lived.cache)
    assert holders(lived.folder, *lived.needles) == set()
    load_bundle(Registry(lived.workspace).uri(NAME, "v1")).verify()


def test_all_of_a_patient_go_also_those_that_come_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIGHTBOX_CACHE", str(tmp_path / "cache"))
    images = write_pictures(tmp_path / "images", 12)
    paths = sorted(path.relative_to(images).as_posix() for path in images.rglob("*.png"))
    lines = [f"{path},{path.partition('/')[0]},{4711 + place // 2}" for place, path in enumerate(paths)]
    manifest = tmp_path / "manifest.csv"
    manifest.write_text("\n".join(["path,label,group", *lines]))
    source = ImagesSource(url=str(images), manifest=str(manifest))
    run = open_run(str(tmp_path / "ws"), None, NAME)
    build_catalogue(run, ingest(run, source).listing, CHECKS, "yes")
    folder = tmp_path / "ws"
    assert holders(folder, b"4711", b"4712") == set(), "patients' numbers stand nowhere"
    settings = ForgetSettings(name=NAME, group="4711", **WHY)
    digests = [hashlib.sha256((images / path).read_bytes()).hexdigest().encode() for path in paths[:3]]
    plan = plan_forget(run.open_workspace(), settings, tmp_path / "cache")
    assert {sha256.encode() for sha256 in plan.sha256s} == set(digests[:2])
    forget(run.open_workspace(), settings, tmp_path / "cache")
    assert holders(folder, *digests[:2]) == set()
    assert len(holders(folder, digests[2])) > 1
    (images / "no" / "late.png").write_bytes((images / paths[4]).read_bytes() + b"later")
    manifest.write_text("\n".join(["path,label,group", *lines, "no/late.png,no,4711"]))
    later = ingest(run, source)
    assert later.forgotten == 3
    assert not {"no/late.png", *paths[:2]} & set(read_listing(run, later.listing)["path"])
    with pytest.raises(WorkspaceError, match="no trace"):
        plan_forget(run.open_workspace(), settings.model_copy(update={"group": "9999"}), tmp_path / "cache")


def test_the_command_says_what_goes_and_what_is_left_to_do(lived: Lived) -> None:
    where = ("workspace", "forget", "--workspace", lived.folder, "--sha256", lived.sha256)
    why = ("--by", WHY["by"], "--reason", WHY["reason"])
    told = lightbox(*where, *why, cache=lived.cache)
    assert told.returncode == 0, told.stderr
    assert "Nothing was changed" in told.stdout
    assert lived.path in told.stdout
    done = lightbox(*where, *why, "--apply", "--json", "-", cache=lived.cache)
    plan = ForgetPlan.model_validate_json(done.stdout)
    assert plan.record is not None
    assert holders(lived.folder, *lived.needles) == set()
    again = lightbox(*where, *why, "--apply", cache=lived.cache)
    assert again.returncode == 2
    assert "cure:" in again.stderr


COVERED = {
    *(
        "stage results",
        "models",
        "runs",
        "search choices",
        "notices",
        "listings",
        "fold ledger",
        "copy pairs",
    ),
    *("catalogues", "image cache", "embeddings", "inspections", "labels", "endpoint log", "aliases", "other"),
}
"""Searched, and changed where they name the image."""
NAMELESS = {
    "version claims": "a number and a time",
    "feature scale": "means over all images of a data set",
    "pipelines": "data sets and settings; of images at most paths in not_copies, which people wrote and change",
    "erasures": "the record itself, by pseudonyms",
    "pseudonym key": "what pseudonyms are made with",
    "leftovers": "what killed writers left; a pruning removes them, and a run rewrites what it lost",
}
"""Kinds that name no image, and why."""


def test_every_kind_of_file_is_covered_or_named() -> None:
    assert COVERED | NAMELESS.keys() == set(KINDS)
    assert COVERED & NAMELESS.keys() == set()


def test_a_planted_name_is_found_in_each_form(lived: Lived) -> None:
    told = {"path": lived.path, "sha256": lived.sha256, "of": [lived.sha256, {"x": lived.pixel_sha256}]}
    frame = pd.DataFrame({"path": [lived.path, "b"], "sha256": [lived.sha256, "1" * 64]})
    packed = io.BytesIO()
    np.savez_compressed(packed, sha256s=np.array([lived.sha256], dtype="S64"))
    planted = {
        "notices/n/f/e.json": json.dumps(told).encode(),
        "searches/n/s.json": json.dumps([told]).encode(),
        "cache/embeddings/f/d.parquet": frame.to_parquet(index=False),
        "datasets/n/copies/pairs-1.npz": packed.getvalue(),
        "somebody/notes.txt": f"see {lived.sha256}".encode(),
        "labels/n/queue.parquet": frame.to_parquet(index=False),
    }
    for path, data in planted.items():
        lived.workspace.write(path, data)
    forget(lived.workspace, lived.settings(), lived.cache)
    assert holders(lived.folder, *lived.needles) == set()
    assert not lived.workspace.exists("datasets/n/copies/pairs-1.npz")
    assert not lived.workspace.exists("somebody/notes.txt")
    for path in ("cache/embeddings/f/d.parquet", "labels/n/queue.parquet"):
        assert list(pd.read_parquet(lived.folder / path)["path"]) == ["b"]
    assert json.loads(lived.workspace.read("notices/n/f/e.json"))["path"] == "forgotten"
    assert lived.sha256 not in ledger_of(lived.run).read()[1].decode()  # type: ignore[union-attr]
