"""One machine: its data folder, its parts, and the environment that they run in."""

import hashlib
import json
import os
import shlex
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from deployments.machine.secret_file import (
    ACCOUNT,
    BLOB_KEY,
    DATABASE,
    ENVIRONMENT_FILE,
    LABEL_STUDIO,
    PREFECT_LOGIN,
    SECRETS_FILE,
    as_exports,
    read_secrets,
    write_private,
)
from deployments.machine.settings import HOME, MachineSettings, data_folder, read_settings
from tasks.models.version_report import ENDPOINT_URL, ENDPOINT_WORKSPACE

REPOSITORY: Final = Path(__file__).resolve().parents[2]
MARK: Final = "LIGHTBOX_MACHINE"
"""Variable that every process of a machine inherits; its value tells machines apart."""

POOLS: Final = ("default", "gpu")
WORKSPACE: Final = "az://lightbox"
"""Of the demo, and of what the endpoint serves; infra/local/start names it too."""


@dataclass(frozen=True)
class Part:
    """A program of the supervisor, and how one asks it whether it is well."""

    name: str
    title: str
    port: int | None = None
    url: str | None = None
    health: str | None = None
    pool: str | None = None


@dataclass(frozen=True)
class Machine:
    """A data folder with its settings and secrets."""

    folder: Path
    settings: MachineSettings

    @classmethod
    def here(cls) -> "Machine":
        """The machine of this user; its folder is made where there is none.

        Raises: ConfigError when a file in it is wrong.
        """
        folder = data_folder()
        for name in ("", "logs", "prefect", "blobs", "data_sets"):
            (folder / name).mkdir(mode=0o700, parents=True, exist_ok=True)
        return cls(folder, read_settings(folder))

    @property
    def mark(self) -> str:
        """What tells its processes from those of another data folder."""
        return hashlib.sha256(str(self.folder).encode()).hexdigest()[:16]

    @property
    def socket(self) -> Path:
        """The supervisor's."""
        return self.folder / "supervisor.sock"

    @property
    def logs(self) -> Path:
        """The folder of all logs."""
        return self.folder / "logs"

    @property
    def api(self) -> str:
        """Prefect's API."""
        return f"http://127.0.0.1:{self.settings.ports.prefect}/api"

    @property
    def parts(self) -> tuple[Part, ...]:
        """What runs, in the order in which it is started."""
        ports = self.settings.ports
        ui, blobs = f"http://127.0.0.1:{ports.prefect}", f"http://127.0.0.1:{ports.azurite}"
        endpoint, labels = f"http://127.0.0.1:{ports.endpoint}", f"http://127.0.0.1:{ports.label_studio}"
        label_studio = Part("label-studio", "Label Studio", ports.label_studio, labels, f"{labels}/health")
        return (
            Part("prefect", "Prefect server", ports.prefect, ui, f"{self.api}/health"),
            Part("azurite", "blob store", ports.azurite, f"{blobs}/{ACCOUNT}", f"{blobs}/"),
            Part("endpoint", "endpoint", ports.endpoint, endpoint, f"{endpoint}/health/live"),
            *((label_studio,) if self.settings.label_studio else ()),
            *(Part(f"worker-{pool}", f"worker of the pool {pool}", pool=pool) for pool in POOLS),
            Part("watch", "watch over the parts"),
        )

    @cached_property
    def secrets(self) -> dict[str, str]:
        """Its secrets, by the name of their variable.

        Raises: ConfigError when others may read their file.
        """
        return read_secrets(self.folder)

    @property
    def client_environment(self) -> dict[str, str]:
        """What a `lightbox` command needs to work with this machine."""
        ports = self.settings.ports
        key = self.secrets[BLOB_KEY]
        variables = {
            "PREFECT_API_URL": self.api,
            PREFECT_LOGIN: self.secrets[PREFECT_LOGIN],
            ENDPOINT_URL: f"http://127.0.0.1:{ports.endpoint}",
            ENDPOINT_WORKSPACE: WORKSPACE,
            "AZURE_STORAGE_CONNECTION_STRING": f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};"
            f"AccountKey={key};BlobEndpoint=http://127.0.0.1:{ports.azurite}/{ACCOUNT};",
        }
        if self.settings.label_studio:
            variables["LIGHTBOX_LABEL_STUDIO_URL"] = f"http://127.0.0.1:{ports.label_studio}"
            variables["LIGHTBOX_LABEL_STUDIO_TOKEN"] = self.secrets["LABEL_STUDIO_USER_TOKEN"]
        return variables

    @property
    def environment(self) -> dict[str, str]:
        """What the supervisor and all that it starts are given, beside the user's own environment."""
        ports = self.settings.ports
        secrets = self.secrets
        database = {DATABASE: secrets[DATABASE]} if secrets.get(DATABASE) else {}
        return {
            HOME: str(self.folder),
            MARK: self.mark,
            "LIGHTBOX_CACHE": str(self.folder / "cache"),
            "LIGHTBOX_PYTHON": sys.executable,
            "LIGHTBOX_MODEL": self.settings.model,
            "LIGHTBOX_PREFECT_PORT": str(ports.prefect),
            "LIGHTBOX_AZURITE_PORT": str(ports.azurite),
            "LIGHTBOX_ENDPOINT_PORT": str(ports.endpoint),
            "LIGHTBOX_LABEL_STUDIO_PORT": str(ports.label_studio),
            "PREFECT_HOME": str(self.folder / "prefect"),
            "PREFECT_UI_URL": f"http://127.0.0.1:{ports.prefect}",
            "PREFECT_SERVER_UI_API_URL": self.api,  # else the pages ask on Prefect's default port
            "PREFECT_SERVER_API_AUTH_STRING": secrets[PREFECT_LOGIN],
            # Pages of its own only: Prefect's default lets the script of any page read what it answers.
            "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": f"http://127.0.0.1:{ports.prefect},"
            f"http://localhost:{ports.prefect}",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            # The first edition of Prefect's pages: the second has no editor for what is a mapping or nothing, and a
            # block saved in it lacks that field without a word.
            "PREFECT_SERVER_UI_V2_ENABLED": "false",
            "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
            "PREFECT_WORKER_QUERY_SECONDS": "3",
            "PREFECT_WORKER_HEARTBEAT_SECONDS": "10",
            "AZURITE_ACCOUNTS": f"{ACCOUNT}:{secrets[BLOB_KEY]}",
            **{name: secrets[name] for name in LABEL_STUDIO},
            **database,
            **self.client_environment,
        }

    @property
    def whole_environment(self) -> dict[str, str]:
        """The user's own environment under this machine's; a Prefect of the user's own is left out."""
        own = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
        return own | self.environment

    @property
    def identifier(self) -> str:
        """Changes with every setting, so that a running supervisor shows whether it was started with these."""
        facts = json.dumps(self.environment, sort_keys=True)
        return f"lightbox-{hashlib.sha256(facts.encode()).hexdigest()[:16]}"

    @property
    def secrets_file(self) -> Path:
        """Where the keys of the endpoint stand."""
        return self.folder / SECRETS_FILE

    def write_environment(self) -> Path:
        """Write the file that a shell reads to use `lightbox` with this machine, and to find the command at all."""
        file = self.folder / ENVIRONMENT_FILE
        programs = shlex.quote(str(Path(sys.executable).parent))
        write_private(file, f'{as_exports(self.client_environment)}export PATH={programs}:"$PATH"\n')
        return file
