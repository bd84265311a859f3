"""One image against the raw image's objects: the step that codecs and replicates share."""

from dataclasses import astuple, dataclass, fields
from typing import Any

import numpy as np

from compdistort.backend.base import Float64
from compdistort.codecs import Codec
from compdistort.match import MatchCounts, align, count_matches, match_objects
from compdistort.pipeline.chain import Chain
from compdistort.pipeline.further import find_further
from compdistort.pipeline.objects import Objects

COUNTS = tuple(field.name for field in fields(MatchCounts))
"""Columns of `Comparison.summary` behind the totals."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """The raw image's objects, to which everything else is aligned.

    Attributes
    ----------
    objects : Objects
        Its objects.
    radius : float
        Largest distance of two centres that are called the same object, in the unit of the centres.
    one_to_one : bool
        Whether an object may be the partner of one raw object only.
    codecs : dict of str to Codec
        Codecs by name, their knobs fixed on the raw image.
    """

    objects: Objects
    radius: float
    one_to_one: bool
    codecs: dict[str, Codec]

    @property
    def values(self) -> Float64:
        """Table of the objects, float64 of shape (n_objects, n_columns)."""
        return self.objects.values

    @property
    def replicated(self) -> dict[str, Codec]:
        """The codecs that replicates go through: all that do not exist for the raw image alone."""
        return {name: codec for name, codec in self.codecs.items() if not codec.raw_alone}


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What an image became, beside the reference.

    Attributes
    ----------
    objects : Objects
        Its objects.
    totals : ndarray of shape (n_totals,), float64
        What is predicted of the image.
    aligned : ndarray of shape (n_objects, n_parameters), float64
        Parameters in the order of the reference's objects; NaN where unmatched.
    counts : MatchCounts
        Matched, lost, new, split, merged.
    """

    objects: Objects
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
    image : object
        Image on the raw scale, DN, as `Chain.find` takes it.

    Returns
    -------
    Comparison
    """
    found = chain.find(image)
    pairs = match_objects(reference.values, found.values, reference.radius, reference.one_to_one, chain.measurands)
    overlaps = reference.objects.overlaps(found)
    return Comparison(
        objects=found,
        totals=chain.measurands.totals_of(found.values, find_further(chain, image, found.values)),
        aligned=align(reference.values, found.values, pairs, chain.measurands),
        counts=count_matches(len(reference.values), len(found.values), overlaps, pairs),
    )
