"""Begin labelling: fix the classes, and remember how it is done."""

import os

from pydantic import Field

from tasks.data.labels import GIVEN
from tasks.data.settings import ImagesSource
from tasks.engine.run import Run
from tasks.engine.stage import stage
from tasks.errors import LabellingError
from tasks.ingest import Listing, read_listing
from tasks.labelling.connection import connected
from tasks.labelling.label_studio import TOKEN_VARIABLE, LabelStudio
from tasks.labelling.project import ProjectDocument, ProjectState, check_classes
from tasks.labelling.settings import LabellingSettings
from tasks.record import Record


class Labelling(Record):
    """How a data set is labelled, with its classes."""

    settings: LabellingSettings = Field(description="The settings; `classes` is filled.")
    restart: bool = Field(description="Whether the labelling page is put back where it was changed by hand.")


@stage("begin-labelling", version=1, reusable=False)
def begin_labelling(
    run: Run, source: ImagesSource, listing: Listing, settings: LabellingSettings, restart: bool
) -> Labelling:
    """Fix the classes: those named, else those known and those of the labels that came with the images.

    Raises: LabellingError when there are fewer than two, or the labelling is finished and this is no restart.
    """
    document = document_of(run)
    given = {str(label) for label in read_listing(run, listing)[GIVEN].dropna()}

    def begun(state: ProjectState | None) -> ProjectState:
        if state is not None and state.finished and not restart:
            raise LabellingError(
                f"the labelling of {run.name} is finished", cure="`lightbox label start` takes it up again"
            )
        known = state.settings.classes if state is not None else ()
        classes = settings.classes or (*known, *sorted(given - set(known)))
        check_classes(classes)
        filled = settings.model_copy(update={"classes": classes})
        images = source.model_dump(mode="json")
        if state is None:
            return ProjectState(settings=filled, images=images)
        return state.model_copy(update={"settings": filled, "images": images, "finished": False})

    return Labelling(settings=document.update(begun).settings, restart=restart)


def document_of(run: Run) -> ProjectDocument:
    """The state of the run's labelling."""
    return ProjectDocument(run.open_workspace(), run.name)


def studio_of(settings: LabellingSettings) -> LabelStudio:
    """Label Studio, with the token of the block that is named, or of the environment.

    Raises: LabelStudioUnavailable without a token; ConfigError without the block.
    """
    if settings.token_block is None:
        return connected(settings, os.environ.get(TOKEN_VARIABLE, "").strip())
    from tasks.server.blocks import LabelStudioToken

    return connected(settings, LabelStudioToken.token_of(settings.token_block))
