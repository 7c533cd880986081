"""Images as a browser shows them: the file itself where browsers know its kind, else a PNG of what the model sees."""

import io
from typing import Final

from PIL import Image

from tasks.errors import LabellingError
from tasks.images.decode import decode
from tasks.images.settings import DecodeLimits
from tasks.stores.connection import connect

BROWSER_KINDS: Final = {"JPEG": "jpg", "PNG": "png", "GIF": "gif", "WEBP": "webp", "BMP": "bmp"}
"""Pillow's names of the kinds that every browser shows, and their file extensions."""


def for_browser(data: bytes, limits: DecodeLimits) -> tuple[bytes, str]:
    """An image file's bytes for a browser, and their extension.

    A 16-bit image, a TIFF and the like become a PNG, 8 bits a channel, as `decode` sees them.

    Raises:
        ImageRejected: it cannot be decoded.
    """
    image = decode(data, limits)
    if image.format in BROWSER_KINDS and not image.mode.startswith(("I", "F", "CMYK")):
        return data, BROWSER_KINDS[image.format]
    picture = io.BytesIO()
    Image.fromarray(image.pixels).save(picture, "PNG")
    return picture.getvalue(), "png"


class Links:
    """Signed links into an image store, for whoever has them, for a while.

    Raises:
        LabellingError: the kind of store makes none.
    """

    def __init__(self, url: str, options: dict[str, object] | None, hours: float) -> None:
        from tasks.stores.object_files import ObjectFiles

        files = connect(url, options).files
        if not isinstance(files, ObjectFiles):
            raise LabellingError(
                f"{url} is a folder, and no links lead into a folder", cure="use images_by upload"
            )
        self._files, self._url, self._seconds = files, url, round(hours * 3600)

    def of(self, path: str) -> str:
        """The link to one image.

        Raises:
            LabellingError: the store's credentials cannot sign.
        """
        try:
            return self._files.signed(path, self._seconds)
        except (NotImplementedError, ValueError, AttributeError) as error:
            raise LabellingError(
                f"no link into {self._url} can be signed ({type(error).__name__})",
                cure="give the account's key, which links are signed with, or use images_by upload",
            ) from None
