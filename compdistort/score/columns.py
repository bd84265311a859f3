"""One quantity at a time, made comparable: deviations of the replicates, differences of a codec, and s.

Three kinds of quantity differ only here: ordinary numbers are subtracted, axial angles wrap, ends of the Feret
diameter are paired first. Everything after this module sees plain columns.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.base import Float64
from compdistort.score.axial import ROUND_BELOW, axial_spread, wrap_axial
from compdistort.score.feret import Ends, ends_of, follow, jump_rates
from compdistort.score.results import CodecSamples, RawSamples
from compdistort.score.spread import Spread, linear_spread

OBJECT_MEAN = "object mean"
TOTAL = "total"
_END_AXIS = {"FeretX": "x", "FeretY": "y"}
_STORED = 2.0**-21  # replicates are stored as float32: differences up to four of its units are rounding
_HALF_TURN = np.array(180.0)


@dataclass(frozen=True, slots=True, eq=False)
class CodecColumn:
    """What one codec does to one quantity.

    Attributes
    ----------
    delta : ndarray of shape (n_objects,), float64
        chi(y) - chi(C(y)) on the raw image y; NaN = not matched.
    paired : ndarray of shape (n_replicates, n_objects), float64
        chi(x_r) - chi(C(x_r)); NaN = not matched in one of the two.
    """

    delta: Float64
    paired: Float64


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class RawColumn:
    """One quantity of the raw image and its replicates (one object for a total).

    Attributes
    ----------
    name, kind : str
        As in `QuantityScore`.
    step : float
        Smallest difference of two values.
    raw : ndarray of shape (n_objects,), float64
        The raw image's values.
    deviation : ndarray of shape (n_replicates, n_objects), float64
        chi(x_r) - chi(y); NaN = not matched.
    spread : Spread
        s of every object.
    directed : ndarray of shape (n_objects,), bool
        False where an angle means nothing because the object is round; True otherwise.
    remarks : tuple of str
        Flags that hold whatever the codec.
    may_decide : bool
        False for a total that follows from others.
    compare : callable
        From `CodecSamples` to `CodecColumn`.
    """

    name: str
    kind: str
    step: float
    raw: Float64
    deviation: Float64
    spread: Spread
    directed: NDArray[np.bool_]
    remarks: tuple[str, ...]
    compare: Callable[[CodecSamples], CodecColumn]
    may_decide: bool = True


def total_column(raw: RawSamples, name: str, level: float) -> RawColumn:
    """Return the column of an image total."""
    k, step = raw.measurands.total_names.index(name), raw.measurands.total(name).step
    deviation = raw.replicate_totals[:, k : k + 1] - raw.totals[k]
    spread = linear_spread(deviation, step, level)

    def compare(codec: CodecSamples) -> CodecColumn:
        paired = raw.replicate_totals[:, k : k + 1] - codec.paired_totals[:, k : k + 1]
        return CodecColumn(raw.totals[k : k + 1] - codec.totals[k : k + 1], paired)

    return RawColumn(
        name=name,
        kind=TOTAL,
        step=step,
        raw=raw.totals[k : k + 1],
        deviation=deviation,
        spread=spread,
        directed=np.ones(1, np.bool_),
        remarks=(),
        compare=compare,
        may_decide=raw.measurands.total(name).decides,
    )


def object_column(raw: RawSamples, name: str, level: float) -> RawColumn:
    """Return the column of an object parameter."""
    if name in _END_AXIS:
        return _end_column(raw, name, level)
    if raw.measurands.parameter(name).kind == "angle-axial":
        return _axial_column(raw, name, level)
    return _linear_column(raw, name, level)


def _replicates(raw: RawSamples, k: int) -> tuple[Float64, Float64]:
    """Return replicates of one parameter as float64, and the raw values as rounded as they are (to float32)."""
    rounded = raw.values[:, k].astype(raw.replicate_values.dtype).astype(np.float64)
    return raw.replicate_values[:, :, k].astype(np.float64), rounded


def _without_rounding(difference: Float64, scale: Float64) -> Float64:
    """Return differences with those that storage alone may have made set to 0.

    The same shape elsewhere in the image has parameters that differ in their last digits; an s of such a difference
    would be next to nothing, and a score next to infinite.
    """
    return np.where(np.abs(difference) <= _STORED * np.abs(scale), 0.0, difference)


def _linear_column(raw: RawSamples, name: str, level: float) -> RawColumn:
    k, step = raw.measurands.index(name), raw.measurands.parameter(name).step
    replicates, rounded = _replicates(raw, k)
    deviation = _without_rounding(replicates - rounded, rounded)

    def compare(codec: CodecSamples) -> CodecColumn:
        delta = _without_rounding(raw.values[:, k] - codec.values[:, k], rounded)
        return CodecColumn(delta, _without_rounding(replicates - codec.paired_values[:, :, k], rounded))

    return RawColumn(
        name=name,
        kind=OBJECT_MEAN,
        step=step,
        raw=raw.values[:, k],
        deviation=deviation,
        spread=linear_spread(deviation, step, level),
        directed=np.ones(len(raw.values), np.bool_),
        remarks=(),
        compare=compare,
    )


def _axial_column(raw: RawSamples, name: str, level: float) -> RawColumn:
    k = raw.measurands.index(name)
    replicates, rounded = _replicates(raw, k)
    deviation = _without_rounding(wrap_axial(replicates - rounded), _HALF_TURN)
    spread, directed = axial_spread(deviation, level)
    n_round = int(np.count_nonzero(~directed))
    left_out = (f"{n_round} round objects left out (R < {ROUND_BELOW:g})",) if n_round else ()

    def compare(codec: CodecSamples) -> CodecColumn:
        delta = wrap_axial(raw.values[:, k] - codec.values[:, k])
        paired = wrap_axial(replicates - codec.paired_values[:, :, k])
        return CodecColumn(_without_rounding(delta, _HALF_TURN), _without_rounding(paired, _HALF_TURN))

    return RawColumn(
        name=name,
        kind=OBJECT_MEAN,
        step=raw.measurands.parameter(name).step,
        raw=raw.values[:, k],
        deviation=deviation,
        spread=spread,
        directed=directed,
        remarks=("axial", *left_out),
        compare=compare,
    )


def _end_column(raw: RawSamples, name: str, level: float) -> RawColumn:
    axis, step = _END_AXIS[name], raw.measurands.parameter(name).step
    reference = ends_of(raw.values)
    replicates = follow(reference, ends_of(raw.replicate_values))
    deviation = _along(replicates, axis) - _along(reference, axis)

    def compare(codec: CodecSamples) -> CodecColumn:
        image = follow(reference, ends_of(codec.values))
        paired = follow(replicates, ends_of(codec.paired_values))
        return CodecColumn(
            _along(reference, axis) - _along(image, axis), _along(replicates, axis) - _along(paired, axis)
        )

    return RawColumn(
        name=name,
        kind=OBJECT_MEAN,
        step=step,
        raw=_along(reference, axis),
        deviation=deviation,
        spread=linear_spread(deviation, step, level),
        directed=np.ones(len(raw.values), np.bool_),
        remarks=_jump_remark(feret_jumps(raw)),
        compare=compare,
    )


def _along(ends: Ends, axis: str) -> Float64:
    return ends.x if axis == "x" else ends.y


def feret_jumps(raw: RawSamples) -> dict[str, float]:
    """Return how often the end of the Feret diameter jumps between raw image and replicate, see `jump_rates`.

    Empty where that end is not measured.
    """
    if not set(_END_AXIS) <= set(raw.measurands.names):
        return {}
    return jump_rates(ends_of(raw.values), ends_of(raw.replicate_values))


def _jump_remark(rates: dict[str, float]) -> tuple[str, ...]:
    if not rates["recorded"] > 0:
        return ()
    return (f"end jumps in {rates['recorded']:.1%} of the replicates, {rates['paired']:.1%} after pairing",)


def column_makers(raw: RawSamples, level: float) -> Sequence[Callable[[], RawColumn]]:
    """Return one maker a quantity, totals first, then parameters: a column is large, so one exists at a time."""
    totals = [lambda name=name: total_column(raw, name, level) for name in raw.measurands.total_names]
    return [*totals, *(lambda name=name: object_column(raw, name, level) for name in raw.measurands.names)]
