"""Azure Blob Storage through adlfs, with blob names taken as they are, quick failures and a lean listing.

adlfs reads names as URLs (a `#` or `?` in a name is lost or moved), lets the Azure SDK wait about a minute
before it says that nothing listens, and lets environment variables override the options it was given. This
subclass mends these three; everything else is adlfs.
"""

import io
from typing import Any

from adlfs import AzureBlobFileSystem
from azure.core.credentials import AzureSasCredential
from azure.core.pipeline.transport import AioHttpTransport
from azure.storage.blob.aio import BlobServiceClient
from fsspec.asyn import sync

CONNECT_SECONDS = 4
READ_SECONDS = 60
# Up to here one put, whole or not at all; above, blocks, which two writers of one name could mix.
SINGLE_PUT_BYTES = 256 << 20
STREAM_ABOVE_BYTES = 1 << 20
_FOLDER_MARKS = ("hdi_isfolder", "Hdi_isfolder", "is_directory")
_ACCOUNT_OPTIONS = {"account_name", "account_key", "sas_token", "credential", "client_id", "anon"}


class _StreamingTransport(AioHttpTransport):  # type: ignore[misc]  # azure gives it no type
    """Sends large bodies piece by piece: aiohttp would hold up every other request while it sends one whole."""

    async def send(self, request: Any, **config: Any) -> Any:
        if isinstance(request.data, bytes) and len(request.data) > STREAM_ABOVE_BYTES:
            request.data = io.BytesIO(request.data)
        return await super().send(request, **config)


class BlobFileSystem(AzureBlobFileSystem):  # type: ignore[misc]  # adlfs has no types
    """`az://container/prefix` for every blob name that Azure allows."""

    protocol = ("abfs", "az", "abfss")
    service_client: Any
    credential: Any
    connection_string: str | None
    account_name: str | None
    account_key: str | None
    sas_token: str | None

    def __init__(self, **options: Any) -> None:
        self._given = dict(options)
        options.setdefault("max_concurrency", 8)
        super().__init__(**options)

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        if isinstance(path, list):
            return [cls._strip_protocol(one) for one in path]
        if path.startswith(tuple(f"{protocol}://" for protocol in cls.protocol)):
            return super()._strip_protocol(path)
        return path.lstrip("/")

    def split_path(self, path: str, delimiter: str = "/", **_: Any) -> tuple[str, str, None]:
        """Container, blob and no version, of a path as it stands."""
        container, _, name = self._strip_protocol(path).partition(delimiter)
        return container, name, None

    def do_connect(self) -> None:
        """Connect, with few and quick attempts."""
        settings: dict[str, Any] = {
            "user_agent": "lightbox",
            "retry_total": 0,  # retries are ours: bounded, and known to the caller
            "max_single_put_size": SINGLE_PUT_BYTES,
            "transport": _StreamingTransport(connection_timeout=CONNECT_SECONDS, read_timeout=READ_SECONDS),
        }
        self._forget_environment()
        if self.connection_string is not None:
            self.service_client = BlobServiceClient.from_connection_string(self.connection_string, **settings)
            return
        if self.account_name is None:
            raise ValueError("no storage account is named")
        host = getattr(self, "account_host", None) or f"{self.account_name}.blob.core.windows.net"
        self.account_url = f"https://{host}"
        self.service_client = BlobServiceClient(self.account_url, credential=self._resolved(), **settings)

    def _forget_environment(self) -> None:
        """Options that were given win over AZURE_STORAGE_* variables that adlfs has already mixed in."""
        if "connection_string" in self._given or not self._given.keys() & _ACCOUNT_OPTIONS:
            return
        self.connection_string = None
        if self._given.keys() & {"account_key", "sas_token", "credential", "client_id", "anon"}:
            self.account_key = self._given.get("account_key")
            self.sas_token = self._given.get("sas_token")

    def _resolved(self) -> Any:
        if self.account_key is not None:
            return self.account_key
        if self.sas_token is not None:
            return AzureSasCredential(self.sas_token.lstrip("?"))
        if self.credential is None and not self.anon:
            self.credential, self.sync_credential = self._get_default_azure_credential()
        return self.credential

    def blob_records(self, path: str) -> list[tuple[str, int, str, float]]:
        """Name, bytes, ETag and seconds since 1970 of the last writing of every blob below; no folder marks."""
        container, prefix, _ = self.split_path(path)
        return list(sync(self.loop, self._blob_records, container, prefix))

    async def _blob_records(self, container: str, prefix: str) -> list[tuple[str, int, str, float]]:
        records = []
        async with self.service_client.get_container_client(container) as client:
            async for blob in client.list_blobs(name_starts_with=prefix or None, include=["metadata"]):
                marks = blob.metadata or {}
                if not any(marks.get(mark) == "true" for mark in _FOLDER_MARKS):
                    seconds = blob.last_modified.timestamp()
                    records.append((blob.name, blob.size, blob.etag.strip('"'), seconds))
        return records
