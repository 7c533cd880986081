"""Which member of a bundle learnt from which image: what lets a later run judge each member only on news to it."""

from collections.abc import Collection, Iterable, Mapping
from functools import cached_property
from typing import Literal, Self

from pydantic import Field, ValidationError

from tasks.errors import BundleError
from tasks.record import Frozen


class TrainingImage(Frozen):
    """One image content that at least one member learnt from.

    An image that only stopped a training early or chose among its epochs counts as learnt from.
    """

    sha256: str = Field(description="SHA-256 of the image's bytes.")
    group: str = Field(description="Its group (copies, patient) when it was trained on.")
    fold: int = Field(ge=0, description="Its fold in the ledger.")
    members: tuple[int, ...] = Field(description="Members that had it in their training view, ascending.")


class TrainingImages(Frozen):
    """The record of a bundle, `training_images.json`."""

    schema_version: Literal[1] = 1
    images: tuple[TrainingImage, ...]

    @classmethod
    def collect(
        cls,
        seen: Mapping[int, Iterable[str]],
        groups: Mapping[str, str],
        folds: Mapping[str, int],
    ) -> Self:
        """From each member's training digests, and the group and fold of each digest."""
        members: dict[str, set[int]] = {}
        for member, digests in seen.items():
            for digest in digests:
                members.setdefault(digest, set()).add(member)
        return cls(
            images=tuple(
                TrainingImage(
                    sha256=digest,
                    group=groups[digest],
                    fold=folds[digest],
                    members=tuple(sorted(members[digest])),
                )
                for digest in sorted(members)
            )
        )

    @classmethod
    def parse(cls, data: bytes, where: str) -> Self:
        """Read the record; `where` names the bundle in errors.

        Raises:
            BundleError: it does not fit the schema.
        """
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            raise BundleError(
                f"{where}: the record of training images cannot be read: {error.errors()[0]['msg']}",
                cure="export or publish the bundle again",
            ) from error

    def to_bytes(self) -> bytes:
        """The record as JSON."""
        return self.model_dump_json().encode()

    def seen_by(self, sha256: str, group: str, copies: Collection[str] = ()) -> frozenset[int]:
        """Members that learnt from an image, from one of its group, or from one of the given copies.

        `copies` are digests of the other images of its group as the group is now: groups can grow together
        after the training, and the record knows them by their older names.
        """
        groups = {group, *(self._groups.get(digest, group) for digest in (sha256, *copies))}
        return frozenset().union(*(self._members_by_group.get(name, frozenset()) for name in groups))

    @cached_property
    def _groups(self) -> dict[str, str]:
        return {image.sha256: image.group for image in self.images}

    @cached_property
    def _members_by_group(self) -> dict[str, frozenset[int]]:
        members: dict[str, set[int]] = {}
        for image in self.images:
            members.setdefault(image.group, set()).update(image.members)
        return {group: frozenset(seen) for group, seen in members.items()}
