"""When two images count as copies of one another."""

from pydantic import Field

from tasks.record import Frozen


class NearCopyRule(Frozen):
    """When two images count as copies of one another."""

    search: bool = Field(
        default=True,
        description="Whether near copies are looked for. Off, only equal files, equal pixels and given groups count: "
        "for pictures that look alike without being copies, such as handwritten digits.",
    )
    max_hash_distance: int = Field(
        default=20,
        ge=0,
        le=64,
        description="Bits of 256 by which the difference hashes of copies may differ where pictures cannot be laid "
        "over one another; up to half as many more make candidates.",
    )
    min_feature_cosine: float = Field(
        default=0.45,
        ge=0.0,
        le=1.0,
        description="Cosine of standardised deep features from which images are candidates.",
    )
    min_alignment: float = Field(
        default=0.78,
        ge=0.0,
        le=1.0,
        description="How well candidates must fit, laid over one another as well as can be, to be copies: "
        "normalised cross-correlation of their fine structure.",
    )
