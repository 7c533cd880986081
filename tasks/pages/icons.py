"""A hundred dots: how many of 100 images would go wrong, and how sure that is, for readers who think in patients.

Icon arrays are understood better than percentages (Galesic, Garcia-Retamero and Gigerenzer 2009, Using icon arrays to
communicate medical risks, Health Psychology 28-2).
"""

from tasks.evaluation.intervals import Estimate

_COLUMNS, _ROWS = 25, 4
_PITCH, _RADIUS = 10, 3.7


def hundred_dots(rate: Estimate, title: str) -> str | None:
    """An SVG of 100 dots for the errors of a rate of successes, or None where the rate has no interval.

    As many are full as would go wrong, then as many ringed as might in addition at the upper end of the interval.
    """
    if rate.value is None or rate.lower is None:
        return None
    expected, most = round(100 * (1 - rate.value)), round(100 * (1 - rate.lower))
    dots = "".join(
        f'<circle cx="{_PITCH * (place % _COLUMNS) + _PITCH / 2:g}" cy="{_PITCH * (place // _COLUMNS) + _PITCH / 2:g}" '
        f'r="{_RADIUS}" class="{_kind(place, expected, most)}"/>'
        for place in range(_COLUMNS * _ROWS)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="dots" role="img" aria-label="{title}" '
        f'viewBox="0 0 {_PITCH * _COLUMNS} {_PITCH * _ROWS}">{dots}</svg>'
    )


def _kind(place: int, expected: int, most: int) -> str:
    if place < expected:
        return "wrong"
    return "unsure" if place < most else "right"
