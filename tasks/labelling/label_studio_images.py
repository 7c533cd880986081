"""Which field of a Label Studio task's data is the image: projects call it as they like."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from tasks.data.addresses import is_url
from tasks.errors import ManifestMismatch

_SUFFIXES: Final = (
    ".png",
    ".jpg",
    ".jpeg",
    ".gif",
    ".bmp",
    ".tif",
    ".tiff",
    ".webp",
    ".jp2",
    ".ppm",
    ".heic",
    ".heif",
)

_IMAGES: Final = ("image", "img", "picture", "photo", "image_url", "url", "path", "file")


def image_key(data: Sequence[Mapping[str, Any]], source: str) -> str:
    """The field of the tasks' data that names the image."""
    if not data:
        return _IMAGES[0]
    found = Counter(name for one in data for name, value in one.items() if _is_image(_one(value)))
    best = [name for name, count in found.items() if count == max(found.values())]
    best = [name for name in best if name != "file_upload"] or best
    named = [name for name in _IMAGES if name in best] or [
        name for name in _IMAGES if not best and name in data[0]
    ]
    if len(best) == 1 or named:
        return named[0] if named else best[0]
    fields = ", ".join(sorted(best or {name for one in data for name in one}))
    told = "several fields that could be the image" if best else "no field that names an image"
    raise ManifestMismatch(
        f"{source}: its tasks have {told}: {fields or 'none at all'}",
        cure="call the field with the image image, in the file as in the project's data",
    )


def image_of(data: Mapping[str, Any], key: str, where: str) -> str:
    """The image of a task, also where this one calls it otherwise."""
    images = {name: _one(value) for name, value in data.items() if _is_image(_one(value))}
    image = _one(data.get(key)) or (next(iter(images.values())) if len(images) == 1 else None)
    if not isinstance(image, str):
        raise ManifestMismatch(
            f"{where} has {'several images' if image else 'no image'} in {key}",
            cure="keep one image in each task, or take these tasks out of the file",
        )
    return image


def _is_image(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    bare = value.partition("?")[0].lower()
    return (
        bare.endswith(_SUFFIXES) or is_url(value) or value.startswith(("/data/", "/tasks/", "/storage-data/"))
    )


def _one(value: Any) -> Any:
    """The only item of a list; several pictures are no one image."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value
