"""Features are the same bit by bit on any number of processors: copies found on one machine are found on all."""

from pathlib import Path

import numpy as np
import torch
from support.samples.disc_pictures import Pictures, picture, sha256_of

from tasks.images.decode import prepare
from tasks.stores.workspace import Workspace
from tasks.training.embeddings import embed, embedding_preprocessing


def test_features_do_not_depend_on_the_number_of_threads(tmp_path: Path) -> None:
    preprocessing = embedding_preprocessing()
    images = Pictures({sha256_of(i): prepare(picture(i, i % 2 == 1), preprocessing) for i in range(10)})
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            found.append(embed(Workspace(str(tmp_path / str(threads))), list(images.pixels), images).values)
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    np.testing.assert_array_equal(found[0], found[1])
