"""Prefect blocks, which hold what must not stand on a form: secrets of datastores, mail servers and Label Studio.

The entry point `prefect.collections` makes them known to a Prefect server that Lightbox is installed beside.
"""

import smtplib
import ssl
from email.message import EmailMessage
from typing import Any, ClassVar, Literal, TypeVar, cast

import anyio.to_thread
from prefect.blocks.abstract import NotificationBlock
from prefect.blocks.core import Block
from prefect.types import SecretDict
from pydantic import Field, SecretStr, model_validator

B = TypeVar("B", bound=Block)


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
        block = _loaded(cls, name)
        return dict(block.options.get_secret_value()) if block.options else {}


class Email(NotificationBlock):
    """Sends messages by e-mail, through an SMTP server."""

    _block_type_name: ClassVar[str] = "Lightbox E-mail"
    _block_type_slug: ClassVar[str] = "lightbox-email"

    host: str = Field(description="SMTP server, for example smtp.example.org.")
    port: int = Field(default=587, ge=1, le=65_535, description="587 for STARTTLS, 465 for TLS.")
    security: Literal["starttls", "tls", "none"] = Field(
        default="starttls", description="How the connection is protected; none only inside one's own network."
    )
    user: str | None = Field(default=None, description="User name, where the server asks for one.")
    password: SecretStr | None = Field(default=None, description="Its password.")
    sender: str = Field(description="Address that messages come from.")
    recipients: list[str] = Field(min_length=1, description="Addresses that messages go to.")
    timeout_seconds: float = Field(
        default=20, gt=0, le=300, description="For the whole of a connection's steps."
    )

    @model_validator(mode="after")
    def _no_password_in_the_clear(self) -> "Email":
        if self.password is not None and self.security == "none":
            raise ValueError("a password is never sent without starttls or tls")
        return self

    async def notify(self, body: str, subject: str | None = None) -> None:
        """Send a plain-text message to all recipients."""
        message = EmailMessage()
        message["From"], message["To"] = self.sender, ", ".join(self.recipients)
        message["Subject"] = " ".join((subject or "Lightbox").split())
        message.set_content(body)
        await anyio.to_thread.run_sync(self._send, message)

    def _send(self, message: EmailMessage) -> None:
        context = ssl.create_default_context()
        if self.security == "tls":
            connection: smtplib.SMTP = smtplib.SMTP_SSL(
                self.host, self.port, timeout=self.timeout_seconds, context=context
            )
        else:
            connection = smtplib.SMTP(self.host, self.port, timeout=self.timeout_seconds)
        with connection:
            if self.security == "starttls":
                connection.starttls(context=context)
            if self.user is not None and self.password is not None:
                connection.login(self.user, self.password.get_secret_value())
            connection.send_message(message)


class LabelStudioToken(Block):
    """The access token of an account in Label Studio."""

    _block_type_name: ClassVar[str] = "Lightbox Label Studio"
    _block_type_slug: ClassVar[str] = "lightbox-label-studio"

    token: SecretStr = Field(description="Account & Settings, Access Token (legacy).")

    @classmethod
    def token_of(cls, name: str) -> str:
        """The token kept under a block's name."""
        return str(_loaded(cls, name).token.get_secret_value())


def _loaded(kind: type[B], name: str) -> B:
    """The block of a kind that is kept under a name.

    Raises: ConfigError when there is none.
    """
    from tasks.errors import ConfigError

    try:
        return cast("B", kind.load(name))
    except ValueError as error:
        raise ConfigError(
            f"There is no {kind._block_type_name} block named '{name}' on this Prefect server.",
            cure="Create it in the Prefect UI under Blocks, or leave the block name out to use the environment.",
        ) from error
