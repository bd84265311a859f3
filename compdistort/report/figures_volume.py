"""The pictures of volumes and of what was recorded of them: maximum projections, and frames under every codec."""

import numpy as np
from markupsafe import Markup

from compdistort.backend.base import Int32, UInt8
from compdistort.report import pictures
from compdistort.report.figures_image import MAP_PIXELS, Panel, img
from compdistort.report.formatting import plural
from compdistort.report.inputs import ReportInput, VolumeView
from compdistort.report.style import png_uri


def projections(report: ReportInput) -> tuple[Panel, ...]:
    """Return the maximum of a volume over its planes, alone and with the outlines of all objects; none of a plane."""
    volume = report.volume
    if volume is None:
        return ()
    image, factor = _projected(volume, pictures.VOLUME_PIXELS)
    objects = plural(len(report.raw_values), "object")
    words = f"Maximum of the raw volume over its {volume.shape[0]} planes"
    outlined = _outlined(image, (volume.labels,), factor)
    return (
        _panel("Maximum projection", f"{volume.shape[0]} planes", image, words),
        _panel("with outlines", objects, outlined, f"{words}, with {objects} outlined"),
    )


def codec_projections(report: ReportInput) -> tuple[Panel, ...]:
    """Return for every codec the raw volume's maximum with both outlines: of the raw objects, the codec's own on top.

    Parameters
    ----------
    report : ReportInput
        The study; of a plane, or without projected labels, there is no panel.
    """
    volume = report.volume
    if volume is None:
        return ()
    image, factor = _projected(volume, MAP_PIXELS)
    return tuple(
        _panel(
            codec.codec,
            plural(scores.counts.n_other, "object"),
            _outlined(image, (volume.labels, codec.projected_labels), factor),
            f"Maximum of the raw volume with the outlines of the raw image and of {codec.codec}",
        )
        for codec, scores in zip(report.codecs, report.scores.codecs, strict=True)
        if codec.projected_labels is not None
    )


def _projected(volume: VolumeView, longest: int) -> tuple[UInt8, int]:
    """Return the projection as grey levels, and the factor by which it was reduced."""
    factor = pictures.reduction(volume.projection.shape, longest)
    reduced = pictures.reduce_mean(volume.projection, factor)
    return pictures.grey(reduced, pictures.contrast(volume.projection)), factor


def _outlined(image: UInt8, labels: tuple[Int32, ...], factor: int) -> UInt8:
    """Return a picture under outlines, in the palette's colours, later ones on top."""
    width, out = pictures.reduction(image.shape, 480), image
    for one, colour in zip(labels, (pictures.OUTLINE, pictures.WINDOW), strict=False):
        reduced = one[::factor, ::factor][: image.shape[0], : image.shape[1]]
        out = np.where(pictures.thicken(pictures.boundary(reduced), width), np.uint8(colour), out)
    return out


def recorded_frames(report: ReportInput) -> tuple[Panel, ...]:
    """Return one frame of what was recorded, raw and under every codec, all with the same grey levels.

    Parameters
    ----------
    report : ReportInput
        The study; without steps there is no panel.
    """
    recorded = report.recorded
    if recorded is None:
        return ()
    limits = pictures.contrast(recorded.raw)
    factor = pictures.reduction(recorded.raw.shape, MAP_PIXELS)
    where = "" if recorded.frame is None else f"frame {recorded.frame} of 0 to {recorded.shape[0] - 1}"
    named = [("Recorded", where, recorded.raw, "What was recorded")]
    named += [(codec.codec, "", codec.frame, f"The same after {codec.codec}") for codec in report.codecs]
    return tuple(
        _panel(label, detail, pictures.grey(pictures.reduce_mean(pixels, factor), limits), words)
        for label, detail, pixels, words in named
    )


def _panel(label: str, detail: str, image: UInt8, alt: str) -> Panel:
    picture: Markup = img(png_uri(image, pictures.grey_palette()), alt, image.shape)
    return Panel(label=label, detail=detail, picture=picture)
