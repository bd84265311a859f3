"""One replicate through everything: its own row, and its row through every codec."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from compdistort.backend.base import Float32, Float64
from compdistort.pipeline.chain import Chain
from compdistort.pipeline.comparison import Comparison, Reference, compare
from compdistort.pipeline.stopping import StopFlag

RAW = ""
"""Name of the row of a replicate that went through no codec."""


@dataclass(frozen=True, slots=True)
class Row:
    """One image against the reference.

    Attributes
    ----------
    values : ndarray of shape (n_objects, n_parameters), float32
        Parameters by raw object; NaN where unmatched.
    summary : ndarray of shape (n_totals + len(COUNTS),), float64
        Totals of the image, then `compdistort.pipeline.comparison.COUNTS`.
    """

    values: Float32
    summary: Float64

    @classmethod
    def of(cls, comparison: Comparison) -> Self:
        """Return the row of an image that was compared with the reference."""
        return cls(comparison.aligned.astype(np.float32), comparison.summary)


def replicate_rows(chain: Chain, reference: Reference, index: int, stop: StopFlag) -> dict[str, Row]:
    """Draw replicate `index` and return its row, and its row through every codec.

    The replicate is drawn where the engine works and comes to the host once, for the codecs.

    Parameters
    ----------
    chain : Chain
        What every image goes through; its raw image of shape (rows, columns), uint16, DN, is drawn anew.
    reference : Reference
        The raw image's objects, and the codecs.
    index : int
        Number of the replicate, on which alone (with the chain's key) its noise depends.
    stop : StopFlag
        Asked before the replicate and before every codec.

    Returns
    -------
    dict of str to Row
        By name of the codec, of those that replicates go through; the replicate itself is `RAW`.

    Raises
    ------
    InterruptedStudyError
        If a stop was asked for.
    """
    stop.check()
    drawn = chain.replicate(index)
    rows = {RAW: Row.of(compare(chain, reference, chain.see(drawn)))}
    image = chain.for_codecs(drawn)
    for name, codec in reference.replicated.items():
        stop.check()
        decoded = chain.decode(codec, image)
        rows[name] = rows[RAW] if decoded is None else Row.of(compare(chain, reference, decoded))
    return rows
