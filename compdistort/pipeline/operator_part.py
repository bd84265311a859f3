"""A part of one plane of an image, and how features are computed for it alone.

Only the part and what its filters see around it is computed, with the same values as in the whole image, to the bit.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.base import Backend, FilterBank, Float32
from compdistort.features import FeatureSpec, build_bank
from compdistort.features.bank import shortest_axis
from compdistort.features.reach import Span, spans_around
from compdistort.features.spec import EIGENVALUES
from compdistort.pipeline.views import View

Image = NDArray[Any]
Spans = tuple[Span, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Features that are computed together, and what of the image they need.

    Attributes
    ----------
    features : tuple of int
        Where they stand among all features.
    bank : FilterBank
        Their filters.
    spans : tuple of (int, int)
        What they see of the image, on every axis.
    """

    features: tuple[int, ...]
    bank: FilterBank
    spans: Spans


class Part:
    """A part of one plane of an image.

    Parameters
    ----------
    spec : FeatureSpec
        The features.
    shape : sequence of int
        Shape of the whole image, 2 or 3 axes.
    spans : tuple of (int, int)
        The part: first and one past the last index on every axis.
    """

    def __init__(self, spec: FeatureSpec, shape: tuple[int, ...], spans: Spans) -> None:
        self.spans = spans
        self.names = build_bank(spec, len(shape), shape).names
        self._scales = tuple(_scales(spec, shape, spans))
        every = [scale.spans for scale in self._scales]
        self.around: Spans = tuple(
            (min(first for first, _ in axis), max(stop for _, stop in axis)) for axis in zip(*every, strict=True)
        )

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        (top, bottom), (left, right) = self.spans[-2:]
        return bottom - top, right - left

    def features(self, cut: Image, backend: Backend[Any]) -> Float32:
        """Return the features of the part from the pixels `around` it, shape (n_features, rows, columns), float32."""
        origin = tuple(first for first, _ in self.around)
        out = np.empty((len(self.names), *self.shape), np.float32)
        for scale in self._scales:
            seen = cut_spans(cut, scale.spans, origin)
            planes = backend.to_host(backend.feature_stack(backend.to_device(seen), scale.bank))
            inner = cut_spans(planes, self.spans, tuple(first for first, _ in scale.spans))
            out[list(scale.features)] = inner.reshape(len(scale.features), *self.shape)
        return out


def cut_spans(image: Image, spans: Spans, origin: tuple[int, ...]) -> Image:
    """Return the spans of an image whose first pixel lies at `origin`; axes in front of these are kept whole."""
    inside = (slice(first - at, stop - at) for (first, stop), at in zip(spans, origin, strict=True))
    index: tuple[Any, ...] = (..., *inside)
    return np.ascontiguousarray(image[index])


def _scales(spec: FeatureSpec, shape: tuple[int, ...], spans: Spans) -> Iterator[Scale]:
    """Give the features in groups: of a volume one a sigma, since a coarse one sees far and fine ones need not."""
    columns = spec.columns
    if len(shape) == 2:
        bank = build_bank(spec, 2, shape)
        yield Scale(features=tuple(range(len(bank.names))), bank=bank, spans=spans_around(spans, shape, bank))
        return
    for sigma in spec.sigmas:
        at = tuple(index for index, column in enumerate(columns) if column[1] == sigma)
        planar = (sigma,) if sigma in spec.planar else ()
        own = FeatureSpec(set=spec.set, pairs=tuple(columns[index] for index in at), planar=planar)
        bank = build_bank(own, 3, shape)
        yield Scale(features=at, bank=bank, spans=spans_around(spans, shape, bank))


def part_of(labels: Image, view: View, side: int) -> Spans:
    """Return the part that is scored: the middle of what the report magnifies, in the plane that is shown.

    Parameters
    ----------
    labels : ndarray of shape (rows, columns), int32
        Objects of the raw image in the plane that is shown.
    view : View
        Which plane that is.
    side : int
        Largest side of the part, pixels.

    Returns
    -------
    tuple of (int, int)
        First and one past the last index on every axis of the image.
    """
    # Imported here: the pictures load matplotlib, which only a study with this section needs now.
    from compdistort.report.pictures import choose_window  # noqa: PLC0415

    window = choose_window(labels)
    spans = []
    sides = (window.row, window.rows), (window.column, window.columns)
    for (start, length), n in zip(sides, labels.shape, strict=True):
        first = min(max(0, start + length // 2 - side // 2), max(0, n - side))
        spans.append((first, min(n, first + side)))
    return tuple(spans) if view.plane is None else ((view.plane, view.plane + 1), *spans)


def middle_of(shape: tuple[int, ...], side: int) -> Spans:
    """Return the middle of a plane, at most `side` pixels long.

    Examples
    --------
    >>> middle_of((100, 30), 40)
    ((30, 70), (0, 30))
    """
    firsts = [max(0, n - side) // 2 for n in shape]
    return tuple((first, min(n, first + side)) for first, n in zip(firsts, shape, strict=True))


def frame_spec(spec: FeatureSpec, shape: tuple[int, int]) -> FeatureSpec | None:
    """Return the same operators and sigmas for one frame of what was recorded.

    Parameters
    ----------
    spec : FeatureSpec
        Features of what the classifier sees: a plane or a volume.
    shape : tuple of int
        Rows and columns of a frame.

    Returns
    -------
    FeatureSpec or None
        Without the third eigenvalues, which a plane does not have, and without the sigmas that the frame is too small
        for; None where none is left.

    Examples
    --------
    >>> frame_spec(FeatureSpec(set="ilastik", pairs=(("HE3", 1.0), ("GS", 1.0), ("GS", 10.0))), (30, 40)).pairs
    (('GS', 1.0),)
    """
    if spec.set == "weka":
        return spec
    pairs = tuple(
        (operator, sigma)
        for operator, sigma in spec.columns
        if not (operator in EIGENVALUES and operator.endswith("3")) and shortest_axis(spec, sigma) <= min(shape)
    )
    return FeatureSpec(set=spec.set, pairs=pairs) if pairs else None
