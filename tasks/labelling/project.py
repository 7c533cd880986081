"""A labelling project: its settings, what is remembered of it, and the page that people label on."""

from collections.abc import Callable, Sequence
from typing import Any, Final
from xml.sax.saxutils import quoteattr

from pydantic import Field, ValidationError

from tasks.errors import LabellingError
from tasks.labelling.settings import LabellingSettings
from tasks.record import Frozen
from tasks.stores.layout import LABELLING
from tasks.stores.workspace import VersionedDocument, Workspace

REJECTED: Final = "__rejected__"
"""What Label Studio keeps as the answer that an image is not usable."""

HOT_KEYS: Final = 9


class ProjectState(Frozen):
    """What is remembered between two syncs; never a secret."""

    settings: LabellingSettings = Field(description="How it is labelled.")
    images: dict[str, Any] = Field(description="Where the images are, and how their labels are read.")
    project: int | None = Field(default=None, description="Label Studio's number of the project.")
    review_project: int | None = Field(default=None, description="And of the one where disputes are settled.")
    finished: bool = Field(default=False, description="Whether it was ended.")
    told_labels: int = Field(
        default=0, ge=0, description="Settled labels when a retraining was last called for."
    )


class ProjectDocument:
    """The project's state in the workspace, changed by compare and swap."""

    def __init__(self, workspace: Workspace, name: str) -> None:
        self._document = VersionedDocument(workspace, LABELLING.folder(name=name))
        self._name = name

    def exists(self) -> bool:
        """Whether a labelling was ever started."""
        return bool(self._document.versions())

    def read(self) -> ProjectState:
        """The state.

        Raises:
            LabellingError: no labelling was started, or the state is of another version.
        """
        content = self._document.read()[1]
        if content is None:
            raise LabellingError(
                f"no labelling of {self._name} was started in this workspace",
                cure="run `lightbox label start` first",
            )
        return self._parsed(content)

    def update(self, change: Callable[[ProjectState | None], ProjectState]) -> ProjectState:
        """Replace the state by `change` of it; called again where another writer came first."""
        made: list[ProjectState] = []

        def changed(content: bytes | None) -> bytes:
            made.append(change(None if content is None else self._parsed(content)))
            return made[-1].model_dump_json(indent=2).encode()

        self._document.update(changed)
        return made[-1]

    def set(self, **fields: object) -> ProjectState:
        """Replace some fields.

        Raises:
            LabellingError: no labelling was started.
        """
        self.read()
        return self.update(lambda state: _started(state, self._name).model_copy(update=fields))

    def _parsed(self, content: bytes) -> ProjectState:
        try:
            return ProjectState.model_validate_json(content)
        except ValidationError as error:
            raise LabellingError(
                f"the state of the labelling of {self._name} cannot be read ({error.error_count()} fields are wrong)",
                cure="run `lightbox label start` of the version that wrote it, or remove labels/<name>/project",
            ) from error


def _started(state: ProjectState | None, name: str) -> ProjectState:
    if state is None:
        raise LabellingError(
            f"the labelling of {name} is gone from the workspace", cure="run `lightbox label start`"
        )
    return state


def label_config(classes: Sequence[str]) -> str:
    """The labelling page in Label Studio's own language (https://labelstud.io/tags/choices): one image, one answer.

    The buttons stand above the image, in sight however tall it is. The first nine classes have the keys 1 to 9,
    rejection has 0. Zooming and contrast are the image tag's own.
    """
    buttons = [
        f"    <Choice value={quoteattr(name)}{_hot_key(place)}/>"
        for place, name in enumerate(classes, start=1)
    ]
    return "\n".join(
        [
            "<View>",
            '  <Header value="$heading" size="5"/>',
            '  <Choices name="label" toName="image" choice="single" required="true" showInline="true">',
            *buttons,
            f'    <Choice value="not usable" alias="{REJECTED}" hotkey="0"/>',
            "  </Choices>",
            '  <Image name="image" value="$image" zoom="true" zoomControl="true" brightnessControl="true" '
            'contrastControl="true" defaultZoom="fit"/>',
            "</View>",
        ]
    )


def _hot_key(place: int) -> str:
    return f' hotkey="{place}"' if place <= HOT_KEYS else ""


def check_classes(classes: Sequence[str]) -> None:
    """Refuse class names that the labelling page could not tell apart.

    Raises: LabellingError.
    """
    names = [name.strip() for name in classes]
    wrong = [name for name in classes if name != name.strip() or not name or name in (REJECTED, "not usable")]
    if wrong or len(set(names)) < len(names) or len(names) < 2:
        raise LabellingError(
            f"the classes {', '.join(map(repr, classes)) or '(none)'} cannot be asked for",
            cure="name two classes or more with --classes, each once, without blanks at their ends and none of them "
            "'not usable'",
        )
