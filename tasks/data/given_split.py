"""What a given split keeps apart, and what it does not: the copies that stand on both sides."""

from collections.abc import Collection

import pandas as pd
from pydantic import Field

from tasks.record import Frozen


class Leak(Frozen):
    """How far the given training images give the test images away. Files that are not test files are training."""

    test_files: int = Field(ge=0, description="Usable test files.")
    images_on_both_sides: int = Field(
        ge=0, description="Distinct contents that were given to training and to test."
    )
    test_files_on_both_sides: int = Field(ge=0, description="Test files that hold one of these contents.")
    test_files_with_copies: int = Field(
        ge=0, description="Test files with an exact or near copy among the given training files."
    )
    training_files: int = Field(ge=0, description="Usable training files.")
    training_files_left_out: int = Field(
        ge=0, description="Training files that no member learns from, as they are copies of test files."
    )


def leak_of(frame: pd.DataFrame, in_both: Collection[str]) -> tuple[Leak, "pd.Series[bool]"]:
    """Count the leak, and say which rows are test files with a copy in training.

    `frame` has CATALOGUE_COLUMNS; `in_both` are paths of files whose content was given to both sides.
    """
    rows = frame[~frame["conflict"]]
    test = rows["split"] == "test"
    trained = ~test | rows["path"].isin(set(in_both))
    on_both = test & rows["sha256"].isin(rows.loc[trained, "sha256"])
    with_copies = test & rows["group"].isin(rows.loc[trained, "group"])
    beside_test = rows["group"].isin(rows.loc[test, "group"])
    leak = Leak(
        test_files=int(test.sum()),
        images_on_both_sides=int(rows.loc[on_both, "sha256"].nunique()),
        test_files_on_both_sides=int(on_both.sum()),
        test_files_with_copies=int(with_copies.sum()),
        training_files=int((~test).sum()),
        training_files_left_out=int((~test & beside_test).sum()),
    )
    return leak, with_copies.reindex(frame.index, fill_value=False)
