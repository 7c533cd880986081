"""Which version of a model counts, and how that came to be."""

from typing import Literal, Self

from pydantic import AwareDatetime, ConfigDict, Field

from tasks.models.manifest import timestamp
from tasks.record import Frozen

Alias = Literal["champion", "challenger"]
Action = Literal["promote", "rollback"]


class _Document(Frozen):
    model_config = ConfigDict(populate_by_name=True)


class AliasChange(_Document):
    """One line of the history."""

    time: AwareDatetime
    alias: Alias
    action: Action
    before: str | None = Field(alias="from", description="Version that it named before.")
    after: str | None = Field(alias="to", description="Version that it names since.")
    reasons: tuple[str, ...] = Field(description="Why, in words.")
    by: str | None = Field(default=None, description="Who did it; None of the gate, and of version 0.1.0.")


class Aliases(_Document):
    """The aliases of one model with their history."""

    schema_version: Literal[1] = 1
    champion: str | None = Field(default=None, description="The version that is served.")
    challenger: str | None = Field(default=None, description="The version that was last judged against it.")
    history: tuple[AliasChange, ...] = Field(default=(), description="Every change, oldest first.")

    def previous_champion(self) -> str | None:
        """The champion that a rollback returns to: each rollback undoes one promotion."""
        past = self.former_champions()
        return past[-1] if past else None

    def former_champions(self) -> tuple[str | None, ...]:
        """What rollbacks return to, one after the other from the last; None where there was no champion."""
        past: list[str | None] = []
        for change in self.history:
            if change.alias == "champion":
                if change.action == "promote":
                    past.append(change.before)
                elif past:
                    past.pop()
        return tuple(past)

    def last_opponent(self) -> str | None:
        """What the champion of today replaced, by promotion or rollback: what it is compared with."""
        return next(
            (
                change.before
                for change in reversed(self.history)
                if change.alias == "champion" and change.after == self.champion
            ),
            None,
        )

    def named(self, alias: str) -> str | None:
        """The version that `champion` or `challenger` names."""
        return self.champion if alias == "champion" else self.challenger

    def changed(
        self, alias: Alias, action: Action, after: str, reasons: tuple[str, ...], by: str | None = None
    ) -> Self:
        """With the alias on another version and that told in the history."""
        change = AliasChange(
            time=timestamp(),
            alias=alias,
            action=action,
            before=self.named(alias),
            after=after,
            reasons=reasons,
            by=by,
        )
        return self.model_copy(update={alias: after, "history": (*self.history, change)})

    def last_change(self, alias: Alias) -> AliasChange:
        """The newest line of an alias that has been set."""
        return next(change for change in reversed(self.history) if change.alias == alias)
