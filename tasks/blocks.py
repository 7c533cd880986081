"""The Prefect block that holds what must not stand on a form: the secrets of a datastore."""

from typing import Any, ClassVar

from prefect.blocks.core import Block
from prefect.types import SecretDict
from pydantic import Field


class Datastore(Block):
    """Where images or a workspace are, with the secret options to reach them.

    Runs name the block; the options are loaded inside the stage that needs them and never become parameters.
    """

    _block_type_name: ClassVar[str] = "Lightbox Datastore"
    _block_type_slug: ClassVar[str] = "lightbox-datastore"

    url: str = Field(description="fsspec URL, for example az://scans/brain_mri.")
    options: SecretDict | None = Field(
        default=None,
        description="fsspec options: account_name and account_key, sas_token or connection_string; key and "
        "secret for S3. Left out, the environment decides.",
    )

    @classmethod
    def options_of(cls, name: str) -> dict[str, Any]:
        """The secret options kept under a block's name."""
        from tasks.errors import ConfigError

        try:
            block = cls.load(name)
        except ValueError as error:
            raise ConfigError(
                f"There is no Lightbox Datastore block named '{name}' on this Prefect server.",
                cure="Create it in the Prefect UI under Blocks, or leave the block name out to use the environment.",
            ) from error
        return dict(block.options.get_secret_value()) if block.options else {}  # type: ignore[union-attr]
