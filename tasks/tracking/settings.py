"""Whether MLflow is told of a run, and where."""

import os
from pathlib import Path
from typing import Final

from pydantic import Field, field_validator

from tasks.record import Frozen
from tasks.stores.urls import holds_secret

URI_VARIABLE: Final = "MLFLOW_TRACKING_URI"


class TrackingSettings(Frozen, title="MLflow"):
    """Whether a run is shown in MLflow, and where."""

    enabled: bool = Field(default=False, description="Log the run, its figures and its bundle to MLflow.")
    uri: str | None = Field(
        default=None,
        description="Tracking URI: http(s)://, azureml://, sqlite:///file. Left out, MLFLOW_TRACKING_URI of the "
        "environment, else a database file of this user. Credentials come from the environment alone.",
    )
    experiment: str | None = Field(
        default=None, min_length=1, max_length=250, description="Left out, the data set's name."
    )

    @field_validator("uri")
    @classmethod
    def _no_credentials(cls, uri: str | None) -> str | None:
        if uri is not None and holds_secret(uri):
            raise ValueError(
                "a tracking URI holds no credentials: set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, "
                "or MLFLOW_TRACKING_TOKEN, in the environment"
            )
        return uri

    @property
    def where(self) -> str:
        """The URI that is used."""
        return self.uri or os.environ.get(URI_VARIABLE) or f"sqlite:///{_data_home() / 'mlflow.db'}"


def _data_home() -> Path:
    """Specification of the XDG base directories: user data outlive a cache."""
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "lightbox"
