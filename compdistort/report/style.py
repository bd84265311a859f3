"""The look that all pages share: colours, style sheet, page templates, and figures as inline SVG or PNG.

A page is one file that needs no network: plots are inline SVG, pictures are PNG data URIs. Equal input gives equal
bytes: no dates, no random ids, and the user's own matplotlib settings are left out.
"""

import base64
import io
import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from compdistort.backend.base import UInt8

BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, VERMILLION, PURPLE = "#F0E442", "#0072B2", "#D55E00", "#CC79A7"
INK, MUTED, LINE = "#1b1f24", "#57606a", "#d5dae0"
SERIES = (BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY, BLACK)
"""Okabe and Ito's colour-blind safe colours in the order in which series take them."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
"""Each series also has a marker, so that a black-and-white print can be read."""
VERDICT_COLOURS = {"tolerable": GREEN, "intolerable": VERMILLION, "undecided": MUTED}

_NOT_SHOWN = re.compile(r"<!--.*?-->|<metadata>.*?</metadata>|<style.*?</style>", re.DOTALL)
_HERE = Path(__file__).parent
_RC: dict[Any, Any] = {
    "font.family": "DejaVu Sans", "font.size": 9, "axes.titlesize": 9.5, "axes.titleweight": "bold",
    "axes.titlelocation": "left", "axes.labelsize": 9, "xtick.labelsize": 8.5, "ytick.labelsize": 8.5,
    "legend.fontsize": 8.5, "legend.frameon": False, "axes.spines.top": False, "axes.spines.right": False,
    "axes.edgecolor": MUTED, "axes.labelcolor": INK, "text.color": INK, "xtick.color": MUTED, "ytick.color": MUTED,
    "xtick.labelcolor": INK, "ytick.labelcolor": INK, "axes.axisbelow": True, "axes.linewidth": 0.8,
    "lines.linewidth": 1.5, "figure.facecolor": "none", "axes.facecolor": "none", "savefig.facecolor": "none",
    "svg.fonttype": "none", "text.parse_math": False, "figure.dpi": 72, "savefig.dpi": 200,
    "axes.formatter.use_mathtext": False, "axes.unicode_minus": True,
}  # fmt: skip


def css() -> str:
    """Return the style sheet of all pages."""
    return (_HERE / "style.css").read_text(encoding="utf-8")


def page_templates() -> Environment:
    """Return the templates of this package: everything is escaped, and an unknown name is an error."""
    return Environment(
        loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )


@contextmanager
def figure_style(name: str) -> Iterator[None]:
    """Draw in the style of the pages, whatever matplotlib settings the user has.

    Parameters
    ----------
    name : str
        Name of the figure; the ids inside its SVG come from it.
    """
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update({**_RC, "svg.hashsalt": name})
        yield


def new_figure(
    width: float, height: float, rows: int = 1, columns: int = 1, **kwargs: Any
) -> tuple[Figure, list[Axes]]:
    """Return a figure and its axes, row by row.

    Parameters
    ----------
    width, height : float
        Size in inches; 10 inches fill the page's column.
    rows, columns : int
        Number of axes.
    **kwargs
        Passed to ``Figure.subplots``.
    """
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, **kwargs)
    return figure, list(axes.flat)


def svg_markup(figure: Figure, name: str, alt: str) -> Markup:
    """Return a figure as inline SVG with its alternative text.

    Parameters
    ----------
    figure : Figure
        Drawn inside `figure_style`.
    name : str
        Prefix of all ids, so that several figures can share a page.
    alt : str
        What the figure shows, in words.
    """
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = buffer.getvalue()
    text = _NOT_SHOWN.sub("", text[text.index("<svg") :])
    text = re.sub(r"<[^>]*>", lambda tag: _prefix_ids(tag.group(), name), text)
    opening = text[: text.index(">")]
    opening = re.sub(r' (xmlns(:xlink)?|version)="[^"]*"', "", opening)
    label = f' role="img" aria-label="{escape(alt)}"'
    return Markup(opening + label + text[text.index(">") :].replace("\n", ""))  # noqa: S704 (matplotlib escapes texts)


def _prefix_ids(tag: str, name: str) -> str:
    tag = re.sub(r'\bid="', f'id="{name}-', tag)
    return re.sub(r'(url\(|href=")#', rf"\1#{name}-", tag)


def plot(figure: Figure, name: str, alt: str) -> Markup:
    """Return `svg_markup` of a figure and free its memory."""
    try:
        return svg_markup(figure, name, alt)
    finally:
        figure.clear()


def png_uri(indices: UInt8, palette: UInt8 | None = None) -> str:
    """Return a picture as a PNG data URI.

    Parameters
    ----------
    indices : ndarray of shape (rows, columns), uint8
        Grey levels, or rows of the palette.
    palette : ndarray of shape (n, 3), uint8, optional
        Red, green, blue.

    Examples
    --------
    >>> png_uri(np.zeros((1, 1), np.uint8))[:30]
    'data:image/png;base64,iVBORw0K'
    """
    rows, columns = indices.shape
    lines = np.concatenate([np.zeros((rows, 1), np.uint8), indices], axis=1)  # filter 0 in front of every line
    header = struct.pack(">IIBBBBB", columns, rows, 8, 0 if palette is None else 3, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(lines.tobytes(), 9)), (b"IEND", b"")]
    if palette is not None:
        parts.insert(1, (b"PLTE", palette.tobytes()))
    data = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in parts
    )
    return "data:image/png;base64," + base64.b64encode(data).decode("ascii")


def rgb(colour: str) -> tuple[int, int, int]:
    """Return red, green, blue (0..255) of ``#rrggbb``.

    Examples
    --------
    >>> rgb("#E69F00")
    (230, 159, 0)
    """
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
