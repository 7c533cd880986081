"""Where this checkout stands, for tests that read its files or start its programs."""

from pathlib import Path
from typing import Final

TESTS: Final = Path(__file__).parent.parent
REPOSITORY: Final = TESTS.parent
