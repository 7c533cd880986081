"""The demo data set: brain MR slices cut from a real template, with simulated lesions, made on the spot.

`make_demo` writes a data set shaped like the public "Brain MRI Images for Brain Tumor Detection" set: 98
slices without and 155 with a lesion, in mixed formats and sizes, with exact copies, near copies, a
truncated file and a few files in the wrong folder. The anatomy is the ICBM 152 template
(`anatomy.TEMPLATE_NOTICE` goes with it); every lesion is simulated. A model trained on it shows that the
machinery works, and nothing about patients.
"""

import hashlib
import json
import os
import shutil
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from tasks.demo.anatomy import TEMPLATE_NOTICE, Volume, coarse_tissue, draw_geometry, load_volume, sample
from tasks.demo.contrast import WEIGHTINGS, add_head, add_normal_findings, weigh
from tasks.demo.fields import Float
from tasks.demo.lesions import Lesion, draw_lesions, masses, paint_lesion
from tasks.demo.picture import Picture, alter, develop, encode, encode_mask
from tasks.demo.plan import Entry, SliceSpec, plan
from tasks.demo.settings import N_NO, N_YES, RECORD_FILE
from tasks.errors import WorkspaceError
from tasks.record import Frozen
from tasks.work.progress import Progress, silent

DEMO_VERSION = 2
"""Rises with every change to what is drawn, so that an older set is made anew."""

_ABANDONED_SECONDS = 3600


class DemoSummary(Frozen):
    """What the demo folder holds; read back from its record when the set was there already."""

    images: Path = Field(description="folder to train on: no/ and yes/")
    masks: Path = Field(
        description="lesion masks, one PNG for each readable image that shows a lesion, same stem and size"
    )
    seed: int = Field(ge=0, description="seed that the set was made with")
    version: int = Field(ge=1, description="version of the generator")
    n_no: int = Field(ge=0, description="files in images/no")
    n_yes: int = Field(ge=0, description="files in images/yes, the truncated one included")
    exact_copies: int = Field(ge=0, description="files whose bytes are a copy of another")
    near_copies: int = Field(
        ge=0, description="files that show another file's slice, shifted, rescaled or annotated"
    )
    corrupt: int = Field(ge=0, description="truncated files")
    wrong_labels: int = Field(ge=0, description="files that lie in the folder of the other class")
    reused: bool = Field(description="the set was there already and every file of it was intact")
    notice: str = Field(description="where the anatomy comes from, and its licence notice")


@dataclass(frozen=True)
class _Made:
    entry: Entry
    data: bytes
    mask: bytes | None
    lesions: tuple[Lesion, ...]


def make_demo(
    folder: Path, seed: int = 0, progress: Progress = silent, *, n_no: int = N_NO, n_yes: int = N_YES
) -> DemoSummary:
    """Write the demo data set to `folder`, or reuse it when the same one is there and intact.

    Writes images/{no,yes}/, masks/, README.txt and demo.json (what each file is, its copies and its lesions).
    The same arguments give byte-identical files with the same versions of Pillow, NumPy and SciPy. The folder
    appears whole or not at all; a set made with another seed, size or version is replaced.

    Raises:
        ConfigError: a size or seed that cannot be made.
        DataError: the `demo` extra is not installed.
        WorkspaceError: the folder cannot be written, or holds files that are not the demo's.
    """
    entries = plan(seed, n_no, n_yes)
    header = {"version": DEMO_VERSION, "seed": seed, "n_no": n_no, "n_yes": n_yes, "notice": TEMPLATE_NOTICE}
    record = _read_record(folder)
    if _is_intact(folder, record, header):
        progress(len(entries), len(entries), "images")
        return _summary(folder, header, entries, reused=True)
    _refuse_foreign_files(folder, record)
    volume = load_volume()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        prefix = f".{folder.name}.partial-"
        _remove_abandoned(folder.parent, prefix)
        staging = Path(tempfile.mkdtemp(prefix=prefix, dir=folder.parent))
        try:
            _write_set(staging / "new", volume, entries, header, progress)
            _swap_in(staging, folder)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    except OSError as error:
        if not _is_intact(
            folder, _read_record(folder), header
        ):  # else another process finished the same set first
            raise WorkspaceError(
                f"The demo data cannot be written to {folder}: {error}.",
                cure="name a folder on a disk with 40 MB free that you may write to",
            ) from error
    return _summary(folder, header, entries, reused=False)


def _summary(folder: Path, header: dict[str, Any], entries: list[Entry], *, reused: bool) -> DemoSummary:
    kinds = [entry.kind for entry in entries]
    return DemoSummary(
        images=folder / "images",
        masks=folder / "masks",
        exact_copies=kinds.count("exact_copy"),
        near_copies=kinds.count("near_copy"),
        corrupt=kinds.count("corrupt"),
        wrong_labels=kinds.count("wrong_label"),
        reused=reused,
        **header,
    )


def _read_record(folder: Path) -> dict[str, Any]:
    try:
        record = json.loads((folder / RECORD_FILE).read_bytes())
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) and isinstance(record.get("files"), dict) else {}


def _is_intact(folder: Path, record: dict[str, Any], header: dict[str, Any]) -> bool:
    if not record or any(record.get(key) != value for key, value in header.items()):
        return False
    try:
        return all(
            _sha256((folder / path).read_bytes()) == digest for path, digest in record["files"].items()
        )
    except OSError:
        return False


def _refuse_foreign_files(folder: Path, record: dict[str, Any]) -> None:
    """Only the demo's own files are ever replaced."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise WorkspaceError(
            f"{folder} is a file, not a folder.", cure="name a new or empty folder for the demo data"
        )
    own = {*record.get("files", {}), RECORD_FILE}
    found = (path for path in folder.rglob("*") if not path.is_dir())
    foreign = next((path for path in found if path.relative_to(folder).as_posix() not in own), None)
    if foreign is not None:
        raise WorkspaceError(
            f"{folder} holds {foreign.relative_to(folder).as_posix()}, which is not part of the demo data.",
            cure="name a new or empty folder for the demo data, or move that file away",
        )


def _remove_abandoned(parent: Path, prefix: str) -> None:
    """Clear what killed generations left; a living one is never as old as this."""
    for path in parent.iterdir():
        if path.name.startswith(prefix) and time.time() - path.stat().st_mtime > _ABANDONED_SECONDS:
            shutil.rmtree(path, ignore_errors=True)


def _write_set(
    target: Path, volume: Volume, entries: list[Entry], header: dict[str, Any], progress: Progress
) -> None:
    for part in ("images/no", "images/yes", "masks"):
        (target / part).mkdir(parents=True)
    files: dict[str, str] = {}

    def write(path: str, data: bytes) -> None:
        (target / path).write_bytes(data)
        files[path] = _sha256(data)

    described = []
    progress(0, len(entries), "images")
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for done, made in enumerate(
            pool.map(lambda entry: _make(volume, header["seed"], entry), entries), start=1
        ):
            write(f"images/{made.entry.path}", made.data)
            if made.mask is not None:
                write(f"masks/{Path(made.entry.path).stem}.png", made.mask)
            described.append(_describe(made))
            progress(done, len(entries), "images")
    write("README.txt", _README.format(**header).encode())
    record = {**header, "images": described, "files": dict(sorted(files.items()))}
    (target / RECORD_FILE).write_text(json.dumps(record, indent=1), encoding="utf-8")


def _describe(made: _Made) -> dict[str, Any]:
    entry = made.entry
    return {
        "path": entry.path,
        "kind": entry.kind,
        "source": entry.source,
        "plane": entry.spec.plane,
        "contrast": entry.spec.contrast,
        "lesions": [
            {
                "kind": lesion.kind,
                "diameter_mm": round(lesion.diameter_mm, 1),
                "strength": round(lesion.strength, 2),
            }
            for lesion in made.lesions
        ],
    }


def _swap_in(staging: Path, folder: Path) -> None:
    if folder.exists():
        folder.rename(staging / "old")
    try:
        (staging / "new").rename(folder)
    except OSError:
        if (staging / "old").exists() and not folder.exists():
            (staging / "old").rename(folder)
        raise


def _make(volume: Volume, seed: int, entry: Entry) -> _Made:
    spec = entry.spec
    picture, lesions = render(volume, seed, spec)
    acquisition = spec.acquisition
    if entry.kind == "near_copy":
        rng = np.random.default_rng([seed, spec.stream, 1])
        picture = alter(rng, picture)
        acquisition = replace(acquisition, mode="jpeg_rgb", quality=float(rng.random()))
    elif entry.kind == "corrupt":
        acquisition = replace(acquisition, mode="jpeg_rgb")
    data = encode(picture, acquisition.mode, acquisition.quality)
    if entry.kind == "corrupt":
        return _Made(entry, data[: len(data) * 3 // 5], None, lesions)
    mask = encode_mask(picture.mask) if spec.label == "yes" else None
    return _Made(entry, data, mask, lesions)


def render(volume: Volume, seed: int, spec: SliceSpec) -> tuple[Picture, tuple[Lesion, ...]]:
    """Draw one slice from its own random stream, so that neither order nor threads change it."""
    rng = np.random.default_rng([seed, spec.stream])
    geometry = draw_geometry(rng, spec.plane, spec.position, spec.breadth)
    coarse = coarse_tissue(volume, geometry)
    lesions = tuple(draw_lesions(rng, coarse, spec.ease)) if spec.label == "yes" else ()
    swellings = masses(rng, lesions, coarse)
    tissue = sample(volume, geometry, coarse, swellings, float(rng.uniform(-0.25, 0.4)))
    weighting = WEIGHTINGS[spec.contrast]
    values = weigh(rng, tissue, weighting)
    if spec.has_skull:
        values = add_head(rng, values, tissue, weighting)
    values = add_normal_findings(rng, values, tissue, spec.contrast)
    healthy = values
    mask = np.zeros(values.shape, dtype=np.bool_)
    for lesion in lesions:
        values, core = paint_lesion(rng, values, tissue, lesion, weighting)
        mask |= core
    return develop(rng, values / _full_scale(healthy, values), mask, spec.acquisition), lesions


def _full_scale(healthy: Float, values: Float) -> Float:
    """The brightness that is shown as white: halfway between what suits the picture with lesions and without.

    Set by the picture itself, a bright lesion would darken the brain around it; set by the healthy one alone, only
    lesions would reach white. Either would tell the classes apart without a look at the brain.
    """
    white = np.sqrt(np.percentile(healthy, 99.5) * np.percentile(values, 99.5))
    return np.asarray(white, dtype=np.float32)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


_README = """\
Demo data: brain MR slices with SIMULATED lesions

images/no    {n_no} files said to show no lesion
images/yes   {n_yes} files said to show a simulated lesion
masks        where the simulated lesion is (255), one PNG for each readable file that shows one
demo.json    what each file is: copies, contrast, plane, size and strength of the lesions

No patient is shown here. The anatomy is one averaged brain, cut, bent and recoloured by a program; the
lesions are drawn by the same program, and so are skull, scalp, vessels, noise and text. Some files are copies
of others on purpose, one is truncated on purpose, and a few lie in the wrong folder on purpose. Figures
measured on these images say that software works. They say nothing about patients, and no model trained on
them is of medical use.

Generator version {version}, seed {seed}.

{notice}
"""
