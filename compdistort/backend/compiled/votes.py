"""Votes that lie in bit planes: which pixels have enough of them, and how many each has.

Plane k holds bit k of the votes of 64 pixels a word, pixel 64 w + i in bit i of word w.
"""

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.base import UInt64
from compdistort.backend.compiled.kept import kept_loop


def at_least(planes: UInt64, needed: int, out: UInt64) -> None:
    """Mark the pixels that have enough votes.

    Parameters
    ----------
    planes : ndarray of shape (n_planes, n_words), uint64
        The votes, lowest bit first.
    needed : int
        Any whole number: all pixels have none or more, none has 2^n_planes.
    out : ndarray of shape (n_words,), uint64
        Takes the bits.
    """
    if needed <= 0 or needed >> len(planes):
        out[:] = 0 if needed > 0 else ~np.uint64(0)
    else:
        _at_least(planes, needed, out)


def add_votes(planes: UInt64, votes: NDArray[np.int64]) -> None:
    """Add the votes of each pixel as a number.

    Parameters
    ----------
    planes : ndarray of shape (n_planes, n_words), uint64
        The votes, lowest bit first.
    votes : ndarray of shape (64 n_words,), int64
        Takes them.
    """
    _add_votes(planes, votes)


@kept_loop
def _at_least(planes, needed, out):
    for w in range(out.size):
        more, same = np.uint64(0), ~np.uint64(0)
        for k in range(planes.shape[0] - 1, -1, -1):
            if (needed >> k) & 1:
                same &= planes[k, w]
            else:
                more |= same & planes[k, w]
                same &= ~planes[k, w]
        out[w] = more | same


@kept_loop
def _add_votes(planes, votes):
    for w in range(planes.shape[1]):
        for k in range(planes.shape[0]):
            word = planes[k, w]
            for i in range(64):
                votes[64 * w + i] += np.int64((word >> np.uint64(i)) & np.uint64(1)) << k
