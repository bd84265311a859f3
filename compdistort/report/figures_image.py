"""The figures that show pixels: raw image and mask, the magnified part under every codec, the residual maps."""

from dataclasses import dataclass

import numpy as np
from markupsafe import Markup, escape

from compdistort.backend.base import Int32, UInt8
from compdistort.report import pictures
from compdistort.report.formatting import fixed, percent, plural, short
from compdistort.report.inputs import CodecImage, ReportInput
from compdistort.report.pictures import Residual, Window
from compdistort.report.style import BLUE, MUTED, SKY, YELLOW, figure_style, new_figure, plot, png_uri

MAP_PIXELS = 480
"""Longest side of a residual map."""
_EDGE = 6.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One picture with its heading.

    Attributes
    ----------
    label, detail : str
        Heading, and what follows it in grey.
    picture : Markup
        An ``img`` or ``svg`` element.
    """

    label: str
    detail: str
    picture: Markup


@dataclass(frozen=True, slots=True, kw_only=True)
class ResidualRow:
    """The residual map of one codec: whole image, magnified part, histogram, and the words under them."""

    codec: str
    panels: tuple[Panel, ...]
    note: str


def img(uri: str, alt: str, shape: tuple[int, ...], css_class: str = "") -> Markup:
    """Return an ``img`` element with its alternative text."""
    return Markup('<img src="{}" alt="{}" width="{}" height="{}" class="{}">').format(
        uri, alt, shape[1], shape[0], css_class
    )


def seen_words(report: ReportInput) -> str:
    """Return what the raw image is called: what steps make of it is no longer what was recorded."""
    return "Raw image" if report.recorded is None else "Raw image after the steps"


def overview(report: ReportInput, window: Window) -> tuple[Panel, ...]:
    """Return the whole raw image with outlines, and its mask.

    Parameters
    ----------
    report : ReportInput
        The study.
    window : Window
        Part that a frame marks.
    """
    factor = pictures.reduction(report.raw.shape, _longest(report))
    image = pictures.grey(pictures.reduce_mean(report.raw, factor), pictures.contrast(report.raw))
    labels = report.labels[::factor, ::factor][: image.shape[0], : image.shape[1]]
    width = pictures.reduction(image.shape, 480)
    mark = pictures.frame(image.shape, window, factor, width)
    outlined = _with_outlines(image, labels, width)
    mask = np.where(labels > 0, np.uint8(pictures.GREYS - 1), np.uint8(0))
    size = f"{report.raw.shape[0]} × {report.raw.shape[1]} px" + (f", shown 1:{factor}" if factor > 1 else "")
    if report.volume is not None:
        size = f"plane {report.volume.plane} of 0 to {report.volume.shape[0] - 1}, {size}"
    objects = plural(int(np.unique(report.labels[report.labels > 0]).size), "object")
    palette = pictures.grey_palette()
    name = seen_words(report)
    pair = (
        (name, f"{size}, outlines of the objects", outlined, f"{name}, {size}, with {objects} outlined"),
        ("Mask", objects, mask, f"Mask of the raw image with {objects} in white"),
    )
    return tuple(
        Panel(
            label=label,
            detail=detail,
            picture=img(png_uri(np.where(mark, np.uint8(pictures.WINDOW), array), palette), alt, array.shape),
        )
        for label, detail, array, alt in pair
    )


def _longest(report: ReportInput) -> int:
    return pictures.MAX_PIXELS if report.volume is None else pictures.VOLUME_PIXELS


def _with_outlines(image: UInt8, labels: Int32, width: int) -> UInt8:
    return np.where(pictures.thicken(pictures.boundary(labels), width), np.uint8(pictures.OUTLINE), image)


def magnified(report: ReportInput, window: Window) -> tuple[Panel, ...]:
    """Return the magnified part of the raw image and of every decoded image, with outlines along the pixel edges."""
    where = window.slices
    limits = pictures.contrast(report.raw[where])
    raw_labels = report.labels[where]
    first = Panel(
        label=seen_words(report),
        detail="",
        picture=_outlined(
            pictures.grey(report.raw[where], limits), (raw_labels,), "Magnified part of the raw image with outlines"
        ),
    )
    others = (
        Panel(
            label=codec.codec,
            detail="",
            picture=_outlined(
                pictures.grey(codec.image[where], limits),
                (raw_labels, codec.labels[where]),
                f"The same part after {codec.codec}, with the outlines of the raw image and its own",
            ),
        )
        for codec in report.codecs
    )
    return (first, *others)


def _outlined(image: UInt8, labels: tuple[Int32, ...], alt: str) -> Markup:
    """Return a picture under outlines: the raw image's in yellow, the codec's own in blue on top."""
    rows, columns = image.shape
    looks = ((YELLOW, "1.8"), (SKY, "1.8"))
    paths = Markup("").join(
        Markup(
            '<path d="{}" fill="none" stroke="{}" stroke-width="{}" vector-effect="non-scaling-stroke" '
            'stroke-linecap="square"/>'
        ).format(pictures.edge_path(one), *look)
        for one, look in zip(labels, looks, strict=False)
    )
    return Markup(
        '<svg viewBox="0 0 {w} {h}" width="{w}" height="{h}" role="img" aria-label="{alt}">'
        '<image href="{uri}" width="{w}" height="{h}" class="pixels"/>{paths}</svg>'
    ).format(w=columns, h=rows, alt=alt, uri=png_uri(image, pictures.grey_palette()), paths=paths)


def probability(report: ReportInput) -> Markup | None:
    """Return the foreground probability of the raw image, black 0 to white 1; None where it was not kept."""
    if report.probability is None:
        return None
    factor = pictures.reduction(report.probability.shape, MAP_PIXELS)
    image = pictures.grey(pictures.reduce_mean(report.probability, factor), (0.0, 1.0))
    alt = "Foreground probability of the raw image, from black, zero, to white, one"
    return img(png_uri(image, pictures.grey_palette()), alt, image.shape)


def residual_rows(report: ReportInput, residuals: dict[str, Residual], window: Window) -> tuple[ResidualRow, ...]:
    """Return the residual map of every codec.

    Parameters
    ----------
    report : ReportInput
        The study.
    residuals : dict of str to Residual
        By codec.
    window : Window
        The magnified part.
    """
    limit = _common_limit(residuals)
    shown = "frame" if report.recorded is not None else "image" if report.volume is None else "plane"
    return tuple(
        _residual_row(codec, residuals[codec.codec], window, limit, i, shown) for i, codec in enumerate(report.codecs)
    )


def _common_limit(residuals: dict[str, Residual]) -> float:
    """Return one axis limit for all histograms, so that their widths compare."""
    tops = [np.nanquantile(np.abs(r.scores), 0.998) for r in residuals.values() if np.isfinite(r.scores).any()]
    return float(np.clip(np.ceil(2 * max(tops, default=1.0)) / 2, 1.0, _EDGE))


def _residual_row(
    codec: CodecImage, one: Residual, window: Window, limit: float, index: int, shown: str
) -> ResidualRow:
    of_plane = "" if shown == "image" else f" of this {shown}"
    if not one.scores.any():
        return ResidualRow(codec=codec.codec, panels=(), note=f"No pixel{of_plane} changes.")
    factor = pictures.reduction(one.scores.shape, MAP_PIXELS)
    whole = pictures.diverging(one.scores[::factor, ::factor])
    part = pictures.diverging(one.scores[window.slices])
    palette = pictures.diverging_palette()
    name = codec.codec
    panels = (
        Panel(
            label=f"Whole {shown}",
            detail="" if factor == 1 else f"one row and column in {factor}",
            picture=img(
                png_uri(whole, palette), f"Map of the residual over noise for {name}, whole {shown}", whole.shape
            ),
        ),
        Panel(
            label="Magnified part",
            detail="",
            picture=img(
                png_uri(part, palette), f"Map of the residual over noise for {name}, magnified", part.shape, "pixels"
            ),
        ),
        Panel(label="Distribution", detail="", picture=_histogram(one, name, limit, f"residual-{index}")),
    )
    note = (
        f"Mean {fixed(one.mean)}, standard deviation {fixed(one.spread)}, root mean square {fixed(one.rms)}; "
        f"{percent(one.beyond_1)} of the pixels{of_plane} move by more than one standard deviation, "
        f"{percent(one.beyond_3)} by more than three"
    )
    if one.unscored:
        note += f"; {plural(one.unscored, 'pixel')} without noise left out (grey)"
    return ResidualRow(codec=name, panels=panels, note=note + ".")


def _histogram(one: Residual, codec: str, limit: float, name: str) -> Markup:
    edges = np.linspace(-limit, limit, 82)
    known = one.scores[np.isfinite(one.scores)]
    counts, _ = np.histogram(known, edges)
    density = counts / max(1, known.size) / (edges[1] - edges[0])
    with figure_style(name):
        figure, (axes,) = new_figure(3.7, 2.75)
        axes.stairs(density, edges, fill=True, color=BLUE, alpha=0.75, linewidth=0)
        for position in (-1, 1):
            axes.axvline(position, color=MUTED, linestyle=(0, (4, 3)), linewidth=1)
        axes.set(xlim=(-limit, limit), xlabel="(raw − decoded) / σ of the pixel", ylabel="density")
        axes.set_ylim(0, max(1e-9, float(density.max(initial=0))) * 1.08)
        return plot(
            figure,
            name,
            f"Histogram of the residual over noise for {short(codec, 60)}: mean {fixed(one.mean)}, "
            f"standard deviation {fixed(one.spread)}; dashed lines at minus one and plus one",
        )


def colour_bar() -> Markup:
    """Return the key of the residual maps."""
    limit = pictures.MAP_LIMIT
    ramp = pictures.diverging(np.linspace(-limit, limit, 122)[None, :])
    uri = png_uri(ramp, pictures.diverging_palette())
    ticks = Markup("").join(
        Markup('<text x="{}" y="24" font-size="11" text-anchor="middle">{}</text>').format(
            20 + 40 * (value + limit), text
        )
        for value, text in ((-3, "≤ −3"), (-2, "−2"), (-1, "−1"), (0, "0"), (1, "1"), (2, "2"), (3, "≥ 3"))
    )
    return Markup(
        '<svg viewBox="0 0 520 28" width="520" height="28" role="img" aria-label="{}">'
        '<image href="{}" x="20" y="0" width="240" height="11" preserveAspectRatio="none"/>{}'
        '<text x="290" y="10" font-size="11">(raw − decoded) / σ of the pixel</text></svg>'
    ).format(escape("Colour key from minus three (blue) over zero (white) to plus three (vermillion)"), uri, ticks)
