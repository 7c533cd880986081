"""Labels in the forms of others: CSV, COCO, Azure's JSON lines out; the same and Label Studio's JSON in."""

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal

from tasks.data.addresses import StorePaths, file_name, without_query
from tasks.errors import ManifestMismatch

ExportFormat = Literal["csv", "coco", "jsonl"]
CSV_COLUMNS: Final = ("path", "label", "sha256", "source", "by", "time")
NAMED: Final = 5
_UPLOADED: Final = re.compile(r"[0-9a-f]{8}-(.+)")


@dataclass(frozen=True, slots=True)
class ExportRow:
    """One labelled image. `source`: given (it came with the image), person or review; width and height in pixels."""

    path: str
    url: str
    sha256: str
    label: str
    source: str
    by: str
    time: str
    format: str
    width: int
    height: int


def exported(rows: Sequence[ExportRow], kind: ExportFormat, classes: Sequence[str]) -> bytes:
    """The labels as a file; CSV and JSON lines are manifests that Lightbox and others read.

    JSON lines are those of Azure Machine Learning (https://learn.microsoft.com/azure/machine-learning/
    reference-automl-images-schema#image-classification-binarymulti-class); COCO has one annotation an image, whose box
    is all of it (https://cocodataset.org/#format-data).
    """
    match kind:
        case "csv":
            return _csv(rows)
        case "jsonl":
            return "".join(f"{json.dumps(_azure(row), ensure_ascii=False)}\n" for row in rows).encode()
        case "coco":
            return json.dumps(_coco(rows, classes), ensure_ascii=False).encode()


@dataclass(frozen=True, slots=True)
class ForeignLabel:
    """One answer of another program; `image` is an address or a path, `sha256` known where the file says it."""

    image: str
    label: str | None
    by: str | None = None
    time: datetime | None = None
    sha256: str | None = None
    skipped: bool = False


def read_coco(content: Mapping[str, Any], source: str) -> list[ForeignLabel]:
    """The labels of a COCO file; an image under two categories is refused.

    Raises: ManifestMismatch.
    """
    try:
        names = {row["id"]: str(row["name"]) for row in content["categories"]}
        images = {row["id"]: row for row in content["images"]}
        labels: dict[Any, set[str]] = {}
        for row in content["annotations"]:
            labels.setdefault(row["image_id"], set()).add(names[row["category_id"]])
        several = [str(images[number]["file_name"]) for number, found in labels.items() if len(found) > 1]
        if several:
            raise ManifestMismatch(
                f"{source}: {len(several)} images have several categories: {', '.join(several[:NAMED])}",
                cure="keep one category for each image",
            )
        return [
            ForeignLabel(
                str(images[number].get("coco_url") or images[number]["file_name"]),
                next(iter(found)),
                sha256=images[number].get("sha256"),
            )
            for number, found in labels.items()
        ]
    except (KeyError, TypeError) as error:
        raise ManifestMismatch(
            f"{source} is no COCO file: {type(error).__name__} {error}",
            cure="give images with id and file_name, categories with id and name, annotations with image_id and "
            "category_id",
        ) from error


def placed(
    labels: Sequence[ForeignLabel], digests: Mapping[str, str], source: str, root: str = ""
) -> list[tuple[ForeignLabel, str, str]]:
    """Each label with the digest and path of its image; `digests` has those of the paths of the store at `root`.

    An address means the store's file that `StorePaths` finds. A file uploaded to Label Studio, which puts eight digits
    before its name and writes some signs otherwise, and a name without a folder mean the only image of that name.

    Raises: ManifestMismatch when images cannot be found.
    """
    path_of = {sha256: path for path, sha256 in digests.items()}
    paths = StorePaths(digests, root)
    names = Counter(_valid_name(path) for path in digests)
    by_name = {_valid_name(path): path for path in digests}
    found: list[tuple[ForeignLabel, str, str]] = []
    lost: list[str] = []
    for label in labels:
        if label.sha256 in path_of:
            found.append((label, label.sha256, path_of[label.sha256]))
            continue
        path = paths.find(label.image)
        if path is None:
            name = file_name(label.image)
            uploaded = _UPLOADED.fullmatch(name)
            plain = _valid_name(uploaded.group(1) if uploaded else name)
            if names[plain] == 1 and (uploaded or name == without_query(label.image)):
                path = by_name[plain]
        if path is None:
            lost.append(without_query(label.image))
        else:
            found.append((label, digests[path], path))
    if lost:
        raise ManifestMismatch(
            f"{len(lost)} of the {len(labels)} images of {source} are not among the {len(digests)} of the store: "
            f"{', '.join(lost[:NAMED])}{', ...' if len(lost) > NAMED else ''}",
            cure="name the store that they are from with --images, or take them out of the file",
        )
    return found


def _valid_name(path: str) -> str:
    """A file's name as Label Studio keeps it: blanks are underscores, and some signs are left out."""
    return re.sub(r"[^-\w.]", "", path.rpartition("/")[2].strip().replace(" ", "_"))


def _csv(rows: Sequence[ExportRow]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    writer.writerows([getattr(row, name) for name in CSV_COLUMNS] for row in rows)
    return text.getvalue().encode()


def _azure(row: ExportRow) -> dict[str, Any]:
    details = {"format": row.format, "width": f"{row.width}px", "height": f"{row.height}px"}
    return {"image_url": row.url, "image_details": details, "label": row.label}


def _coco(rows: Sequence[ExportRow], classes: Sequence[str]) -> dict[str, Any]:
    names = [*classes, *sorted({row.label for row in rows} - set(classes))]
    number = {name: place for place, name in enumerate(names, start=1)}
    return {
        "info": {"description": "Labels kept by Lightbox", "date_created": f"{datetime.now(UTC):%Y-%m-%d}"},
        "images": [
            {
                "id": place,
                "file_name": row.path,
                "width": row.width,
                "height": row.height,
                "coco_url": row.url,
                "sha256": row.sha256,
            }
            for place, row in enumerate(rows, start=1)
        ],
        "categories": [{"id": place, "name": name, "supercategory": ""} for name, place in number.items()],
        "annotations": [
            {
                "id": place,
                "image_id": place,
                "category_id": number[row.label],
                "bbox": [0, 0, row.width, row.height],
                "area": row.width * row.height,
                "iscrowd": 0,
            }
            for place, row in enumerate(rows, start=1)
        ],
    }
