"""A given split that leaks, as one published for the first data set does."""

from tasks.data.given_split import Leak

LEAK = Leak(
    test_files=54,
    images_on_both_sides=11,
    test_files_on_both_sides=11,
    test_files_with_copies=20,
    training_files=199,
    training_files_left_out=30,
)
