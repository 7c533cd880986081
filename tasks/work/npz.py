"""Arrays in one .npz file, read without ever unpickling."""

import io
import zipfile

import numpy as np
from numpy.typing import NDArray

from tasks.errors import WorkspaceError


def arrays_of(data: bytes, names: tuple[str, ...], what: str, cure: str) -> dict[str, NDArray[np.generic]]:
    """The arrays of an .npz file, which are those of `names`.

    Raises:
        WorkspaceError: it is damaged; `what` names it, `cure` says what to do.
    """
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            if set(file.files) != set(names):
                raise ValueError(
                    f"it holds {', '.join(file.files) or 'nothing'} instead of {', '.join(names)}"
                )
            return {name: file[name] for name in names}
    except (ValueError, KeyError, TypeError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise WorkspaceError(f"{what} is damaged: {error}", cure=cure) from error
