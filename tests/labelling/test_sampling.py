"""A random share is asked about in an order that nothing but the contents has a say in."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.labelling.sampling import mixed, random_order


@given(st.integers(0, 60), st.floats(0, 1))
def test_each_place_comes_once_and_the_share_is_kept_all_along(n: int, share: float) -> None:
    places = np.arange(n)
    drawn = random_order([str(place) for place in places])
    order, at_random = mixed(places[::-1].copy(), drawn, share)
    assert sorted(order) == places.tolist()
    so_far = np.cumsum(at_random)
    assert (abs(so_far - share * np.arange(1, n + 1)) < 1 + 1e-6).all()
    assert order[at_random].tolist() == [place for place in drawn if place in set(order[at_random])]


def test_the_order_stays_as_images_come_and_go() -> None:
    names = [f"{number:064x}" for number in range(50)]
    order = [names[place] for place in random_order(names)]
    fewer = names[::3]
    assert [fewer[place] for place in random_order(fewer)] == [name for name in order if name in fewer]
    assert order != names


def test_the_random_part_is_as_hard_as_the_whole_where_the_chosen_part_is_harder() -> None:
    rng = np.random.default_rng(0)
    hardness = rng.random(2000)
    hardest = np.argsort(-hardness)
    order, at_random = mixed(hardest, random_order([str(number) for number in range(2000)]), 0.2)
    asked, drawn = order[:500], order[:500][at_random[:500]]
    assert hardness[asked].mean() > 0.75
    assert hardness[drawn].mean() == pytest.approx(hardness.mean(), abs=3 * hardness.std() / 10)
