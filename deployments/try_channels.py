"""Try channels: send a message to people before anything has happened, so that it is seen to arrive."""

import inspect
from collections.abc import Sequence
from typing import Final

from prefect.blocks.abstract import NotificationBlock
from prefect.blocks.core import Block
from prefect.utilities.asyncutils import run_coro_as_sync

from deployments.registered import Channel
from tasks.errors import ConfigError
from tasks.server.blocks import Email

BLOCK_TYPES: Final = {
    "slack": "slack-webhook",
    "teams": "ms-teams-webhook",
    "email": Email.get_block_type_slug(),
    "webhook": "custom-webhook",
}
SUBJECT: Final = "Lightbox: a test message"
TEXT: Final = (
    "Whoever reads this is told when a model is promoted, refused or below its bar, and when a run fails or is late. "
    "Nothing has happened now: somebody asked for this message."
)


def send_test_messages(channels: Sequence[Channel]) -> None:
    """Send one on each channel.

    Raises: ConfigError where there is no channel, or naming one that takes no message, with what it said.
    """
    if not channels:
        raise ConfigError(
            "No data-set file names anybody in notify: there is nobody to send a message to.",
            cure="add a channel to a file (docs/deployments.md, Notification)",
        )
    for channel in channels:
        block = Block.load(f"{BLOCK_TYPES[channel.kind]}/{channel.block}")
        if not isinstance(block, NotificationBlock):
            raise ConfigError(
                f"The block '{channel.block}' sends no messages.", cure="name a notification block"
            )
        try:
            with block.raise_on_failure():
                sent = block.notify(body=TEXT, subject=SUBJECT)
                if inspect.isawaitable(sent):
                    run_coro_as_sync(sent)
        except Exception as error:
            raise ConfigError(
                f"The block '{channel.block}' of {channel.name} took no message: {type(error).__name__}: {error}",
                cure="correct its address and secrets in the Prefect UI under Blocks",
            ) from error
