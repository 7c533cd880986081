"""Makes the blob container of the workspace, where it is not there yet; run once by compose.yaml."""

import os
import sys

from azure.core.exceptions import ResourceExistsError
from azure.storage.blob import BlobServiceClient


def main(name: str) -> None:
    """Make it with the account of AZURE_STORAGE_CONNECTION_STRING."""
    service = BlobServiceClient.from_connection_string(os.environ["AZURE_STORAGE_CONNECTION_STRING"])
    try:
        service.create_container(name)
    except ResourceExistsError:
        return


if __name__ == "__main__":
    main(sys.argv[1])
