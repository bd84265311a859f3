"""From tables and summaries to the samples that scoring takes: of a study's store, or of memory."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.base import Float64
from compdistort.match import MatchCounts
from compdistort.measurands import Measurands
from compdistort.score.results import CodecSamples, RawSamples


def match_counts(values: Sequence[float]) -> MatchCounts:
    """Return the counts that stand in the last columns of a summary.

    Parameters
    ----------
    values : sequence of float
        Those columns, behind the totals.

    Returns
    -------
    MatchCounts
    """
    n_raw, n_other, matched, lost, new, split, merged = map(int, values)
    return MatchCounts(n_raw=n_raw, n_other=n_other, matched=matched, lost=lost, new=new, split=split, merged=merged)


def make_raw_samples(
    measurands: Measurands,
    table: Float64,
    values: NDArray[np.float32],
    summaries: Float64,
    totals: Float64 | None = None,
) -> RawSamples:
    """Return the raw image and its replicates as scoring takes them.

    Parameters
    ----------
    measurands : Measurands
        What is predicted.
    table : ndarray of shape (n_objects, n_columns), float64
        Object table of the raw image.
    values : ndarray of shape (n_replicates, n_objects, n_parameters), float32
        Rows of the replicates.
    summaries : ndarray of shape (n_replicates, n_totals + len(COUNTS)), float64
        Their summaries.
    totals : ndarray of shape (n_totals,), float64, optional
        Totals of the raw image; only where all of them follow from its table may they be left out.

    Returns
    -------
    RawSamples
    """
    n_totals = len(measurands.totals)
    return RawSamples(
        values=np.ascontiguousarray(measurands.parameters_of(table)),
        totals=measurands.totals_of(table) if totals is None else totals,
        replicate_values=values,
        replicate_totals=summaries[:, :n_totals],
        replicate_counts=tuple(match_counts(row) for row in summaries[:, n_totals:].tolist()),
        measurands=measurands,
    )


def make_codec_samples(
    name: str,
    totals: Float64,
    aligned: Float64,
    counts: MatchCounts,
    values: NDArray[np.float32],
    summaries: Float64,
) -> CodecSamples:
    """Return one codec as scoring takes it.

    Parameters
    ----------
    name : str
        Of the codec.
    totals : ndarray of shape (n_totals,), float64
        Totals of the compressed raw image.
    aligned : ndarray of shape (n_objects, n_parameters), float64
        Its objects in the order of the raw image's.
    counts : MatchCounts
        How they match.
    values : ndarray of shape (n_replicates, n_objects, n_parameters), float32
        Rows of the compressed replicates.
    summaries : ndarray of shape (n_replicates, n_totals + len(COUNTS)), float64
        Their summaries.

    Returns
    -------
    CodecSamples
    """
    return CodecSamples(
        codec=name,
        values=aligned,
        totals=totals,
        counts=counts,
        paired_values=values,
        paired_totals=summaries[:, : totals.size],
    )


def make_raw_alone_samples(
    name: str, totals: Float64, aligned: Float64, counts: MatchCounts, n_replicates: int
) -> CodecSamples:
    """Return a codec that exists for the raw image alone as scoring takes it.

    Parameters
    ----------
    name, totals, aligned, counts
        As in `make_codec_samples`.
    n_replicates : int
        Replicates of the study, none of which went through the codec.

    Returns
    -------
    CodecSamples
        Its paired values are NaN, and take no memory.
    """
    return CodecSamples(
        codec=name,
        values=aligned,
        totals=totals,
        counts=counts,
        paired_values=np.broadcast_to(np.float32(np.nan), (n_replicates, *aligned.shape)),
        paired_totals=np.broadcast_to(np.nan, (n_replicates, totals.size)),
        raw_alone=True,
    )
