"""One image against the raw image's objects: the step that codecs and replicates share."""

from dataclasses import astuple, dataclass, fields
from typing import Any

import numpy as np

from compdistort.backend.base import Float64, Int32
from compdistort.codecs import Codec
from compdistort.match import MatchCounts, align, match_objects, overlap_counts
from compdistort.pipeline.inputs import Chain

COUNTS = tuple(field.name for field in fields(MatchCounts))
"""Columns of `Comparison.summary` behind the totals."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """The raw image's objects, to which everything else is aligned.

    Attributes
    ----------
    values : ndarray of shape (n_objects, n_columns), float64
        Its object table.
    labels : ndarray of shape ([planes,] rows, columns), int32
        Its label image.
    radius : float
        Largest distance of two centres that are called the same object, in the unit of the centres.
    one_to_one : bool
        Whether an object may be the partner of one raw object only.
    codecs : dict of str to Codec
        Codecs by name, their knobs fixed on the raw image.
    """

    values: Float64
    labels: Int32
    radius: float
    one_to_one: bool
    codecs: dict[str, Codec]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What an image became, beside the reference.

    Attributes
    ----------
    values : ndarray of shape (n_found, n_columns), float64
        Its object table.
    labels : ndarray of shape ([planes,] rows, columns), int32
        Its label image.
    totals : ndarray of shape (n_totals,), float64
        What is predicted of the image.
    aligned : ndarray of shape (n_objects, n_parameters), float64
        Parameters in the order of the reference's objects; NaN where unmatched.
    counts : MatchCounts
        Matched, lost, new, split, merged.
    """

    values: Float64
    labels: Int32
    totals: Float64
    aligned: Float64
    counts: MatchCounts

    @property
    def summary(self) -> Float64:
        """Totals, then `COUNTS`."""
        return np.array([*self.totals, *astuple(self.counts)], np.float64)


def compare(chain: Chain, reference: Reference, image: Any) -> Comparison:
    """Run one image through the chain and pair its objects with the reference's.

    Parameters
    ----------
    chain : Chain
        The chain.
    reference : Reference
        The raw image's objects.
    image : array of shape ([planes,] rows, columns), uint16 or float32
        Image on the raw scale, DN, in the library of the chain's engine.

    Returns
    -------
    Comparison
    """
    found = chain.backend.image_objects(image, chain.bank, chain.classifier.forest, chain.rule)
    pairs = match_objects(reference.values, found.values, reference.radius, reference.one_to_one, chain.measurands)
    return Comparison(
        values=found.values,
        labels=found.labels,
        totals=chain.measurands.totals_of(found.values),
        aligned=align(reference.values, found.values, pairs, chain.measurands),
        counts=overlap_counts(reference.labels, found.labels, pairs),
    )
