"""A function of forms as a command: what is refused, what a file says, and what stands where nothing is said."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from cyclopts import App, Parameter
from pydantic import Field, model_validator

from tasks.errors import ConfigError
from tasks.options.command import Command
from tasks.options.marks import As, Fallback, Options
from tasks.record import Frozen


class Span(Frozen):
    """Two numbers that go together."""

    low: int = Field(ge=0, description="Least.")
    high: int = Field(ge=0, description="Greatest.")

    @model_validator(mode="after")
    def _ordered(self) -> "Span":
        if self.low > self.high:
            raise ValueError(f"low {self.low} is above high {self.high}")
        return self


class Lamp(Frozen):
    """A member of a union."""

    kind: Literal["lamp"] = Field(default="lamp", description="It shines.")
    watts: int = Field(description="How much it takes.")


class Bell(Frozen):
    """Another one, with a field of the same name."""

    kind: Literal["bell"] = Field(default="bell", description="It rings.")
    watts: int = Field(default=3, description="How much it takes.")


class Loud(Frozen):
    """A section that may be missing."""

    decibels: int = Field(default=30, le=90, description="How loud.")


class Settings(Frozen):
    """Something of everything."""

    name: str = Field(description="Its name.")
    address: str = Field(default="http://a", pattern=r"^http://[^@]+$", description="Where it is.")
    span: Span = Field(default=Span(low=1, high=2), description="From where to where.")
    thing: Lamp | Bell = Field(default=Bell(), discriminator="kind", description="What it is.")
    loud: Loud | None = Field(default=None, description="Whether it makes a noise.")
    mode: Literal["when_dark", "always", "never"] = Field(default="when_dark", description="When.")


class Place(Frozen):
    """A form that may be left out."""

    url: str = Field(description="Where.")
    key: str | None = Field(default=None, description="Its key.")


def _span(file: Path) -> Span:
    low, high = file.read_text().split()
    return Span(low=int(low), high=int(high))


MARKS = Options(
    "Settings",
    {
        "name": As(
            fallback=Fallback("that of the place", lambda forms: getattr(forms["place"], "url", "none"))
        ),
        "address": As("at"),
        "span": As("span", file=_span),
        "mode": As("shine", flag=("always", "never")),
    },
)


class Kept:
    """A command that keeps what it is given."""

    def __init__(self) -> None:
        self.said: dict[str, Any] = {}
        app = App(help_format="plaintext")

        @app.default
        @Command
        def keep(
            file: Path = Path("none"),
            /,
            *,
            place: Annotated[Place | None, Options("Place")] = None,
            settings: Annotated[Settings, MARKS],
            demo: Annotated[Loud, Options("Demo")] = Loud(decibels=40),  # noqa: B008 - frozen
            fast: Annotated[bool, Parameter(negative=())] = False,
        ) -> None:
            """Keep it."""
            self.said = {"file": file, "place": place, "settings": settings, "demo": demo, "fast": fast}

        self.app = app

    def __call__(self, *typed: str) -> dict[str, Any]:
        """What the function was given for what was typed."""
        self.app(list(typed), exit_on_error=False, print_error=False, result_action="return_value")
        return self.said


@pytest.fixture
def kept() -> Kept:
    """A fresh one."""
    return Kept()


def test_where_nothing_is_said_the_forms_say_it(kept: Kept) -> None:
    said = kept()
    assert said["settings"] == Settings(name="none")
    assert said["place"] is None
    assert said["demo"] == Loud(decibels=40)
    assert said["file"] == Path("none") and said["fast"] is False


def test_a_form_is_built_once_one_of_its_options_is_given(kept: Kept) -> None:
    assert kept("--url", "u")["place"] == Place(url="u")
    assert kept("--url", "u")["settings"].name == "u"
    assert kept("--url", "u", "--name", "n")["settings"].name == "n"
    with pytest.raises(ConfigError, match="--url is needed"):
        kept("--key", "k")


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (("--span-low", "7"), "--span-low: low 7 is above high 2"),
        (("--span-low", "7", "--span-high", "5"), "--span-low, --span-high: low 7 is above high 5"),
        (("--span-low", "-1"), r"--span-low: Input should be greater than or equal to 0 \(got -1\)"),
        (("--lamp-watts", "1"), "--lamp-watts has no meaning without --thing lamp"),
        (("--thing", "lamp"), "--lamp-watts is needed"),
        (("--loud-decibels", "1"), "--loud-decibels has no meaning without --loud"),
        (("--loud", "--loud-decibels", "91"), r"--loud-decibels: .* \(got 91\)"),
    ],
)
def test_what_a_form_refuses_is_named_by_its_option(kept: Kept, typed: Sequence[str], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as refusal:
        kept(*typed)
    assert refusal.value.cure


def test_a_refused_address_is_not_repeated_since_it_may_hold_a_password(kept: Kept) -> None:
    with pytest.raises(ConfigError, match="--at: String should match pattern") as refusal:
        kept("--at", "http://me:secret@host")
    assert "secret" not in str(refusal.value)


def test_sections_unions_and_flags(kept: Kept) -> None:
    assert kept("--span-high", "9")["settings"].span == Span(low=1, high=9)
    assert kept("--thing", "lamp", "--lamp-watts", "4")["settings"].thing == Lamp(watts=4)
    assert kept("--bell-watts", "5")["settings"].thing == Bell(watts=5)
    assert kept("--loud")["settings"].loud == Loud()
    assert kept("--loud", "--loud-decibels", "5")["settings"].loud == Loud(decibels=5)
    assert kept("--no-loud")["settings"].loud is None
    assert [kept(*given)["settings"].mode for given in ((), ("--shine",), ("--no-shine",))] == [
        "when_dark",
        "always",
        "never",
    ]


def test_options_stand_above_a_file_and_a_file_above_defaults(kept: Kept, tmp_path: Path) -> None:
    file = tmp_path / "span"
    file.write_text("10 20")
    assert kept("--span", str(file))["settings"].span == Span(low=10, high=20)
    assert kept("--span", str(file), "--span-high", "30")["settings"].span == Span(low=10, high=30)
    assert kept("--span-high", "30", "--span", str(file))["settings"].span == Span(low=10, high=30)


def test_the_help_shows_the_forms_words_bounds_and_defaults(
    kept: Kept, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "140")
    kept("--help")
    shown = capsys.readouterr().out
    assert "--loud-decibels INT  How loud. (at most 90) [default: 30]" in shown
    assert "--decibels INT  How loud. (at most 90) [default: 40]" in shown
    assert "lamp: It shines.; bell: It rings. [choices: lamp, bell] [default: bell]" in shown
    assert "--shine --no-shine" in shown and "When. [default: when_dark]" in shown
    assert "[default: that of the place]" in shown
    assert shown.index("Settings") < shown.index("Demo") < shown.index("General") < shown.index("--debug")
