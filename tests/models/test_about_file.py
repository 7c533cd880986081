"""What a data set is about, in a file: read, or refused with what may stand there."""

from pathlib import Path

import pytest

from tasks.errors import ConfigError
from tasks.models.about import AboutDataSet
from tasks.models.about_file import read_about


def test_a_file_says_what_the_data_set_is_about(tmp_path: Path) -> None:
    file = tmp_path / "about.yaml"
    file.write_text("sites: two hospitals\nreaders: |\n  two, who\n  knew nothing\n", encoding="utf-8")
    assert read_about(file) == AboutDataSet(sites="two hospitals", readers="two, who\nknew nothing\n")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("- a\n", "says nothing"),
        ("scanner: x\n", "scanner"),
        ("dates: [", "cannot be read"),
        ("dates: 2020\n", "dates"),
    ],
)
def test_what_is_not_asked_for_is_refused_with_what_is(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "about.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=words) as refusal:
        read_about(file)
    assert "intended_use" in refusal.value.cure or "readable" in refusal.value.cure
    with pytest.raises(ConfigError, match="cannot be read"):
        read_about(tmp_path / "none.yaml")
