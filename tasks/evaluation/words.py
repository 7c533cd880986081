"""An estimate in words: the one place where figures and their intervals become text."""

from tasks.evaluation.intervals import Estimate

NONE = "–"
"""What stands for a figure or an interval that is undefined."""

_PER_CENT = "\u00a0%"


def number(value: float | None) -> str:
    """A figure with three decimals, such as `0.948`; a dash when undefined."""
    return NONE if value is None else f"{value:.3f}"


def share(value: float | None) -> str:
    """A share 0 to 1 as per cent with one decimal, such as `94.8 %`; a dash when undefined."""
    if value is None:
        return NONE
    # A rounded figure must not claim certainty.
    if 0 < value < 0.0005 or 0.9995 <= value < 1:
        return f"under 0.1{_PER_CENT}" if value < 0.5 else f"over 99.9{_PER_CENT}"
    return f"{100 * value:.1f}{_PER_CENT}"


def signed(value: float | None, digits: int = 3) -> str:
    """A difference with its sign, such as `−0.012`; a dash when undefined."""
    return NONE if value is None else f"{value:+.{digits}f}".replace("-", "−")


def interval(figure: Estimate) -> str:
    """Its interval, such as `0.901 to 0.973`; a dash when there is none."""
    return _ends(figure) or NONE


def interval_or_reason(figure: Estimate) -> str:
    """Its interval, such as `0.901 to 0.973`, or why there is none."""
    return _ends(figure) or figure.reason or NONE


def interval_of_share(figure: Estimate) -> str:
    """Its interval in per cent, such as `90.1 to 97.3 %`, or why there is none."""
    if figure.lower is None or figure.upper is None:
        return figure.reason or NONE
    return f"{100 * figure.lower:.1f} to {100 * figure.upper:.1f}{_PER_CENT}"


def interval_of_difference(figure: Estimate) -> str:
    """Its interval, ends signed, such as `−0.031 to +0.007`, or why there is none."""
    if figure.lower is None or figure.upper is None:
        return figure.reason or NONE
    return f"{signed(figure.lower)} to {signed(figure.upper)}"


def with_interval(figure: Estimate) -> str:
    """For a table's cell: `0.948 (0.901 to 0.973)`, as far as it is defined."""
    ends = _ends(figure)
    return f"{number(figure.value)} ({ends})" if ends else number(figure.value)


def in_full(figure: Estimate) -> str:
    """For a message: `0.948 (95 % interval 0.901 to 0.973)`."""
    if figure.value is None:
        return "cannot be judged"
    ends = _ends(figure)
    return f"{number(figure.value)} ({f'95 % interval {ends}' if ends else 'no interval'})"


def as_reason(what: str, figure: Estimate, *, of_difference: bool = False) -> str:
    """For a reason of a decision, of a figure that is defined: `recall of yes 0.948 (95 % interval 0.90–0.97, n=155)`.

    A difference has signs, and three decimals in its interval.
    """
    value = signed(figure.value) if of_difference else number(figure.value)
    if figure.lower is None or figure.upper is None:
        return f"{what} {value} (no interval: {figure.reason}; n={figure.n})"
    ends = interval_of_difference(figure) if of_difference else f"{figure.lower:.2f}–{figure.upper:.2f}"
    return f"{what} {value} (95 % interval {ends}, n={figure.n})"


def _ends(figure: Estimate) -> str | None:
    if figure.lower is None or figure.upper is None:
        return None
    return f"{number(figure.lower)} to {number(figure.upper)}"


def against(value: float, bar: float, *, of_difference: bool = False) -> str:
    """A value with as many digits as it takes to see on which side of the bar it lies; a difference has a sign."""
    sign = "+" if of_difference else ""
    for digits in range(3 if of_difference else 2, 7):
        text = f"{value:{sign}.{digits}f}"
        if (float(text) > bar) == (value > bar) and (float(text) < bar) == (value < bar):
            break
    return text.replace("-", "−")
