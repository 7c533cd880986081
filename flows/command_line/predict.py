"""`lightbox predict`: one JSON line an image file, without anything but the bundle in the process."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from flows.command_line.options import BundleUri
from tasks.options.command import Command

FILES_IN_HAND = 64


@Command
def predict(
    files: Annotated[list[Path], Parameter(help="Image files.")],
    /,
    *,
    bundle: BundleUri,
) -> None:
    """Print what the model says of each file; exit code 1 when one of them could not be judged."""
    sys.exit(_predicted(bundle, files))


def _predicted(bundle_uri: str, files: Sequence[Path]) -> int:
    from tasks.models.bundle import Rejected, load_bundle
    from tasks.stores.fetch import default_cache_root

    bundle = load_bundle(bundle_uri, cache_root=default_cache_root())
    facts = bundle.manifest
    refused = False
    for start in range(0, len(files), FILES_IN_HAND):
        some = files[start : start + FILES_IN_HAND]
        contents = [_content(file) for file in some]
        said = iter(bundle.predict_bytes([data for data in contents if isinstance(data, bytes)]))
        for file, data in zip(some, contents, strict=True):
            line: dict[str, object] = {"file": str(file)}
            answer = next(said) if isinstance(data, bytes) else None
            if answer is None or isinstance(answer, Rejected):
                refused = True
                reason, detail = (
                    ("unreadable", data) if answer is None else (str(answer.reason), answer.detail)
                )
                line |= {"reason": reason, "detail": detail}
            else:
                line |= {"label": answer.label, "probabilities": dict(answer.probabilities)}
                line |= {
                    "threshold": facts.threshold,
                    "positive_class": facts.positive_class,
                    "model": facts.name,
                }
            sys.stdout.write(json.dumps(line, ensure_ascii=False) + "\n")
    return 1 if refused else 0


def _content(file: Path) -> bytes | str:
    try:
        return file.read_bytes()
    except OSError as error:
        return error.strerror or str(error)
