"""Which two models are compared, and what they are called."""

from pathlib import Path

import pytest

from tasks.compare import NamedModel, find_model, named_apart
from tasks.engine.run import Run
from tasks.errors import ConfigError


def test_names(tmp_path: Path) -> None:
    run = Run(id="x", name="brain", workspace=str(tmp_path))
    assert find_model(run, "/bundles/b1/") == NamedModel(name="b1", uri="/bundles/b1/")
    assert find_model(run, "az://box/models/v3").uri == "az://box/models/v3", "a URL, not a version"
    one, other = NamedModel(name="b", uri="/x/b"), NamedModel(name="b", uri="/y/b")
    assert [model.name for model in named_apart(one, other)] == ["b [1]", "b [2]"]
    with pytest.raises(ConfigError, match="both models are"):
        named_apart(one, NamedModel(name="other", uri="/x/b/"))
