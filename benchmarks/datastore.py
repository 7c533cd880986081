"""How fast many small blobs come from a blob store: Lightbox's fetch against adlfs's own recursive get.

A real Azurite on this machine holds the blobs. Both fetch all of them twice; the second time nothing has changed, and
adlfs, which keeps no account of versions, transfers everything again.

    python benchmarks/datastore.py               # 10,000 blobs of 4 KB
"""

import argparse
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import adlfs
import numpy as np

from tasks.stores.datastore import Datastore
from tasks.stores.fetch import ContentCache

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from support.services.azurite import Azurite, running_azurite


def upload(azurite: Azurite, n: int, size_bytes: int) -> str:
    """Fill a container with blobs of random bytes; its name."""
    container = azurite.new_container()
    rng = np.random.default_rng(0)
    blobs = [(f"class {i % 10}/{i:06d}.bin", rng.bytes(size_bytes)) for i in range(n)]
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda blob: container.upload_blob(*blob), blobs))
    return str(container.container_name)


def transfers(azurite: Azurite, container: str) -> int:
    """GET requests of single blobs so far."""
    return sum(
        verb == "GET" and path.split("?")[0].count("/") > 2 for verb, path in azurite.requests(container)
    )


def main() -> None:
    """Fill a container, sync it twice, and compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--blobs", type=int, default=10_000)
    parser.add_argument("--bytes", type=int, default=4_096)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lightbox-blobs-") as temporary:
        folder = Path(temporary)
        with running_azurite(_made(folder / "azurite")) as azurite:
            container = upload(azurite, options.blobs, options.bytes)
            store = Datastore(f"az://{container}", {"connection_string": azurite.connection_string})

            def ours() -> None:
                ContentCache(folder / "cache", store).fetch(store.blobs())

            def theirs() -> None:
                files = adlfs.AzureBlobFileSystem(
                    connection_string=azurite.connection_string, skip_instance_cache=True
                )
                files.get(container, str(folder / "adlfs"), recursive=True)

            print(f"{options.blobs} blobs of {options.bytes} bytes")
            seconds: dict[tuple[str, str], float] = {}
            for name, fetch in (("adlfs get", theirs), ("lightbox", ours)):
                for time_of in ("first", "second"):
                    before, started = transfers(azurite, container), time.perf_counter()
                    fetch()
                    seconds[name, time_of] = time.perf_counter() - started
                    moved = transfers(azurite, container) - before
                    print(
                        f"{name:<10} {time_of:<7} {seconds[name, time_of]:7.1f} s, {moved} blobs transferred"
                    )
            for time_of in ("first", "second"):
                ratio = seconds["adlfs get", time_of] / seconds["lightbox", time_of]
                print(f"{time_of} sync: lightbox is {ratio:.1f} times as fast")


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


if __name__ == "__main__":
    main()
