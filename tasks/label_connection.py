"""Where labelling meets Label Studio: the token, and the state that must be there first."""

import os

from tasks.errors import LabelStudioUnavailable
from tasks.labelling.label_studio import TOKEN_VARIABLE, LabelStudio
from tasks.labelling.project import LabellingSettings, ProjectDocument
from tasks.run import Run


def connected(settings: LabellingSettings) -> LabelStudio:
    """A connection with the token of the block that is named, or of the environment.

    Raises: LabelStudioUnavailable without a token; ConfigError without the block.
    """
    if settings.token_block is not None:
        from tasks.blocks import LabelStudioToken

        return LabelStudio(settings.url, LabelStudioToken.token_of(settings.token_block))
    token = os.environ.get(TOKEN_VARIABLE, "").strip()
    if not token:
        raise LabelStudioUnavailable(
            f"no token for Label Studio at {settings.url}",
            cure=f"put the access token of an account there (Account & Settings) into {TOKEN_VARIABLE}, or into a "
            "Lightbox Label Studio block",
        )
    return LabelStudio(settings.url, token)


def document_of(run: Run) -> ProjectDocument:
    """The state of the run's labelling."""
    return ProjectDocument(run.open_workspace(), run.name)
