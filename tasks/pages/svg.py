"""Matplotlib figures as inline SVG: small, the same every time, fit to stand with others on one page.

Text stays text (it takes the page's font and can be searched). Ink follows the page's text colour, so that
one figure serves light, dark and print. Ids carry the figure's name, so that figures do not collide.
"""

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Okabe and Ito 2008, "Color Universal Design": told apart under every common colour blindness. These five are
# also mid-tones, readable on white and on a dark page.
BLUE, VERMILION, GREEN, ORANGE, PURPLE = "#0072b2", "#d55e00", "#009e73", "#e69f00", "#cc79a7"
COLOURS = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, "#56b4e9")
DASHES = ("-", "--", "-.", ":")

# Stands for the page's text colour until the figure is written: no data is drawn in it.
INK = "#010203"

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "lightbox",
    "text.parse_math": False,
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.unicode_minus": True,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "grid.color": INK,
    "grid.alpha": 0.12,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.8,
    "path.simplify": True,
}


@contextmanager
def drawing(width_inches: float = 4.6, height_inches: float = 3.7) -> Iterator[Figure]:
    """A figure in the page's style; draw and write it inside the block.

    Letters that matplotlib's own font lacks are measured as boxes: the page that shows the text has a font for them.
    """
    with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message=r"(?s)Glyph .* missing from font|Matplotlib currently does not support"
        )
        yield Figure(figsize=(width_inches, height_inches), layout="constrained")


def axes_of(figure: Figure, x_label: str, y_label: str) -> Axes:
    """One pair of axes with a light grid."""
    axes = figure.add_subplot()
    axes.set(xlabel=x_label, ylabel=y_label)
    axes.grid(True)
    axes.set_axisbelow(True)
    return axes


def to_svg(figure: Figure, name: str, title: str, description: str) -> str:
    """Write a figure as an `<svg>` element, under 60 kB for the figures of a report.

    `name` makes the ids unique on a page (lower case, digits, hyphens); `title` and `description` are what a
    screen reader says.

    Raises: ValueError for a name that cannot stand in an id.
    """
    if not re.fullmatch(r"[a-z][a-z0-9-]*", name):
        raise ValueError(f"a figure's name is lower case, digits and hyphens, not {name!r}")
    written = io.StringIO()
    figure.savefig(
        written, format="svg", dpi=figure.dpi, transparent=True, metadata={"Date": None, "Creator": None}
    )
    svg = written.getvalue()
    svg = svg[svg.index("<svg") :].rstrip()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    # Matplotlib's style sheet would apply to the whole page.
    svg = re.sub(r"<defs>\s*<style[^>]*>.*?</style>\s*</defs>", "", svg, flags=re.DOTALL)
    used = set(re.findall(r'<[^>]*href="#([^"]+)"', svg)) | set(re.findall(r"<[^>]*url\(#([^)]+)\)", svg))
    svg = re.sub(r"<[^>]+>", lambda tag: _tidy(tag[0], name, used), svg)
    view_box = re.search(r'viewBox="([^"]+)"', svg)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="{view_box.group(1) if view_box else ""}" role="img" '
        f'aria-labelledby="{name}-title {name}-desc" stroke-linejoin="round" '
        f'font-family="sans-serif" class="plot">'
        f'<title id="{name}-title">{escape(title)}</title><desc id="{name}-desc">{escape(description)}</desc>'
    )
    body = re.sub(r"^<svg[^>]*>", "", svg)
    return head + re.sub(r"\s*\n\s*", " ", body)


def _tidy(tag: str, name: str, used: set[str]) -> str:
    """Shorten one tag: ids prefixed or, when nothing refers to them, dropped; ink; two decimals; no fonts.

    Text between tags is left alone: it may come from the data.
    """
    tag = re.sub(r' id="([^"]+)"', lambda m: f' id="{name}-{m[1]}"' if m[1] in used else "", tag)
    tag = re.sub(r'href="#([^"]+)"', rf'href="#{name}-\1"', tag)
    tag = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", tag)
    tag = re.sub(r" font-family: [^;]*;", "", tag).replace(INK, "currentColor")
    return re.sub(r"(\d+\.\d{2})\d+", r"\1", tag)
