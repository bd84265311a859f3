"""Totals that do not follow from an image's objects alone: at further thresholds, and in proportion to an organ.

The objects of a further threshold are found and measured like the study's own, with that level of the probability
instead. The organ is every pixel whose probability of not being organ does not reach `ORGAN_LEVEL`; the load is the
size of all objects together over its size, as the plaque load of Pomarico et al. (2022), Fig. 4.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

from compdistort.backend.base import Float64
from compdistort.measurands.base import LOAD, ORGAN, Further, Measurands, Total, at_threshold, total_meaning

ORGAN_LEVEL = 0.5


def with_further(measurands: Measurands, further: Further) -> Measurands:
    """Return measurands that hold further totals.

    Parameters
    ----------
    measurands : Measurands
        Those of the objects.
    further : Further
        What else is predicted.

    Returns
    -------
    Measurands
        Its `further_totals`: for every threshold the totals of objects, named e.g. ``N@0.7``; then, with an organ,
        ``organ``, ``load`` and e.g. ``load@0.7``.

    Examples
    --------
    >>> from compdistort.measurands import PLANAR
    >>> with_further(PLANAR, Further(thresholds=(0.7,), organ_excludes=1)).total_names
    ('N', 'A', 'mean_area', 'N@0.7', 'A@0.7', 'mean_area@0.7', 'organ', 'load', 'load@0.7')
    """
    totals = [_at(total, level) for level in further.thresholds for total in measurands.table_totals]
    if further.organ_excludes is not None:
        size, load = measurands.parameter(measurands.size), Total(LOAD, str(total_meaning(LOAD)), "ratio")
        organ = Total(ORGAN, str(total_meaning(ORGAN)), size.kind, size.step, decides=False, length=size.length)
        totals += [organ, load, *(_at(load, level) for level in further.thresholds)]
    return replace(measurands, further=further, further_totals=tuple(totals))


def _at(total: Total, level: float) -> Total:
    name = at_threshold(total.name, level)
    return replace(total, name=name, meaning=str(total_meaning(name)))


def further_values(
    measurands: Measurands, values: Float64, tables: Sequence[Float64], outside: Float64 | None, n_pixels: int
) -> tuple[float, ...]:
    """Return the further totals of an image.

    Parameters
    ----------
    measurands : Measurands
        From `with_further`.
    values : ndarray of shape (n_objects, n_columns), float64
        Objects of the image.
    tables : sequence of ndarray of shape (n_objects, n_columns), float64
        Those of each further threshold.
    outside : ndarray of shape (n_objects, n_columns), float64, or None
        What is not organ, as objects; None where no organ is measured.
    n_pixels : int
        Pixels or voxels of the image.

    Returns
    -------
    tuple of float
        One of `Measurands.further_totals` each. The load is 0 without objects, and NaN without an organ. It may exceed
        1: objects of a low threshold may lie outside the organ.
    """
    totals = [measurands.of_image(measurands.parameters_of(table)) for table in tables]
    found = [one for totals_at in totals for one in totals_at]
    if outside is None:
        return tuple(found)
    step = measurands.parameter(measurands.size).step
    organ = (n_pixels - round(_size(measurands, outside) / step)) * step
    sizes = (_size(measurands, values), *(totals_at[1] for totals_at in totals))
    return (*found, organ, *(size / organ if organ else math.nan for size in sizes))


def _size(measurands: Measurands, table: Float64) -> float:
    """Return the size of all objects together."""
    return measurands.of_image(measurands.parameters_of(table))[1]
