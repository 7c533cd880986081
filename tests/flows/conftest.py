"""The grown workspace, for the tests that need it."""

from growing_data import grown, grown_copy

__all__ = ["grown", "grown_copy"]
