"""When two images count as copies of one another."""

from pydantic import Field

from tasks.record import Frozen


class NearCopyRule(Frozen, title="Near copies"):
    """When two images count as copies of one another."""

    search: bool = Field(
        default=True,
        description="Whether near copies are looked for. Off, only equal files, equal pixels and given groups count.",
    )
    max_hash_distance: int = Field(
        default=20,
        ge=0,
        le=64,
        description="Bits of 256 by which the difference hashes of copies may differ where a picture is gone and "
        "cannot be compared; up to half as many more make candidates.",
    )
    min_feature_cosine: float = Field(
        default=0.45,
        ge=0.0,
        le=1.0,
        description="Cosine of standardised deep features from which images are candidates.",
    )
    min_agreement: float = Field(
        default=0.65,
        ge=0.0,
        le=1.0,
        description="Share of the picture, block by block, that must at least agree for two images to be copies: its "
        "lower 99 % bound. A set whose unrelated images agree nearly as well asks for more by itself.",
    )
