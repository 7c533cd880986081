"""Where labelling meets Label Studio: an address, and a token that somebody must give."""

from tasks.errors import LabelStudioUnavailable
from tasks.labelling.label_studio import TOKEN_VARIABLE, LabelStudio
from tasks.labelling.settings import LabellingSettings


def connected(settings: LabellingSettings, token: str) -> LabelStudio:
    """A connection with a token.

    Raises: LabelStudioUnavailable without one.
    """
    if not token:
        raise LabelStudioUnavailable(
            f"no token for Label Studio at {settings.url}",
            cure=f"put the access token of an account there (Account & Settings) into {TOKEN_VARIABLE}, or into a "
            "Lightbox Label Studio block",
        )
    return LabelStudio(settings.url, token)
