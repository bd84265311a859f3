"""One image against the raw image's objects: the step that codecs and replicates share."""

from dataclasses import astuple, dataclass
from typing import Any

import numpy as np

from compdistort.backend.base import Float64, Int32
from compdistort.codecs import Codec
from compdistort.match import MatchCounts, align, match_objects, overlap_counts
from compdistort.measure import image_totals
from compdistort.pipeline.inputs import Chain
from compdistort.score.results import TOTALS

SUMMARY = (*TOTALS, "n_raw", "n_other", "matched", "lost", "new", "split", "merged")
"""Columns of `Comparison.summary`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """The raw image's objects, to which everything else is aligned.

    Attributes
    ----------
    values : ndarray of shape (n_objects, len(MEASURE_COLUMNS)), float64
        Its object table.
    labels : ndarray of shape (rows, columns), int32
        Its label image.
    radius_px : float
        Largest distance of two centres that are called the same object.
    one_to_one : bool
        Whether an object may be the partner of one raw object only.
    codecs : dict of str to Codec
        Codecs by name, their knobs fixed on the raw image.
    """

    values: Float64
    labels: Int32
    radius_px: float
    one_to_one: bool
    codecs: dict[str, Codec]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What an image became, beside the reference.

    Attributes
    ----------
    values : ndarray of shape (n_found, len(MEASURE_COLUMNS)), float64
        Its object table.
    labels : ndarray of shape (rows, columns), int32
        Its label image.
    aligned : ndarray of shape (n_objects, 19), float64
        Parameters in the order of the reference's objects; NaN where unmatched.
    counts : MatchCounts
        Matched, lost, new, split, merged.
    """

    values: Float64
    labels: Int32
    aligned: Float64
    counts: MatchCounts

    @property
    def summary(self) -> Float64:
        """Totals and counts in the order of `SUMMARY`."""
        return np.array([*image_totals(self.values), *astuple(self.counts)], np.float64)


def compare(chain: Chain, reference: Reference, image: Any) -> Comparison:
    """Run one image through the chain and pair its objects with the reference's.

    Parameters
    ----------
    chain : Chain
        The chain.
    reference : Reference
        The raw image's objects.
    image : array of shape (rows, columns), uint16 or float32
        Image on the raw scale, DN, in the library of the chain's engine.

    Returns
    -------
    Comparison
    """
    found = chain.backend.image_objects(image, chain.bank, chain.classifier.forest, chain.rule)
    pairs = match_objects(reference.values, found.values, reference.radius_px, reference.one_to_one)
    return Comparison(
        values=found.values,
        labels=found.labels,
        aligned=align(reference.values, found.values, pairs),
        counts=overlap_counts(reference.labels, found.labels, pairs),
    )
