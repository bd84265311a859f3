"""Votes that lie in bit planes: which pixels have enough of them, how many each has, and who is still open.

Plane k holds bit k of the votes of 64 pixels a word, pixel 64 w + i in bit i of word w.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from compdistort.backend.base import UInt64
from compdistort.backend.compiled.bits import ctz64
from compdistort.backend.compiled.kept import kept_loop

Int64 = NDArray[np.int64]


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
    _at_least(planes, min(max(needed, 0), 1 << len(planes)), out)


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


def mark(planes: UInt64, sure: int, possible: int, bits: UInt64) -> tuple[Int64, Int64]:
    """Mark the pixels that have enough votes; return those that are still open, with their votes.

    Parameters
    ----------
    planes : ndarray of shape (n_planes, n_words), uint64
        The votes, lowest bit first.
    sure, possible : int
        Votes from which a pixel is marked, and from which one that is not is open; any whole numbers.
    bits : ndarray of shape (n_words,), uint64
        Takes the marks.

    Returns
    -------
    pixels, votes : ndarray of shape (n,), int64
        The open pixels, rising.
    """
    top = 1 << len(planes)
    pixels, votes = np.empty(64 * bits.size, np.int64), np.empty(64 * bits.size, np.int64)
    n = _mark(planes, min(max(sure, 0), top), min(max(possible, 0), top), bits, pixels, votes)
    return pixels[:n], votes[:n]


def settle(planes: UInt64, pixels: Int64, votes: Int64, sure: int, possible: int, bits: UInt64) -> tuple[Int64, Int64]:
    """Add the votes of a phase, mark the pixels that have enough, and return those that are still open.

    Parameters
    ----------
    planes : ndarray of shape (n_planes, n_words), uint64
        Votes of the phase, entry i of `pixels` at place i.
    pixels, votes : ndarray of shape (n,), int64
        The open pixels and their votes before.
    sure, possible : int
        Votes from which a pixel is marked, and from which one that is not stays open.
    bits : ndarray of shape (n_words,), uint64
        Takes the marks.

    Returns
    -------
    pixels, votes : ndarray of shape (n_left,), int64
        The open pixels and their votes.
    """
    left, total = np.empty_like(pixels), np.empty_like(votes)
    n = _settle(planes, pixels, votes, sure, possible, bits, left, total)
    return left[:n], total[:n]


def take_codes(codes: NDArray[Any], pixels: Int64, unit: int) -> NDArray[Any]:
    """Return the codes of some pixels side by side.

    Parameters
    ----------
    codes : ndarray of shape (n_features, n_pixels), uint8 or uint16
        Codes of all pixels.
    pixels : ndarray of shape (n,), int64
        Which.
    unit : int
        The result has a multiple of so many pixels; those that nobody asked for have code 0.

    Returns
    -------
    ndarray of shape (n_features, n or more), of the type of `codes`
    """
    out = np.empty((len(codes), -(-pixels.size // unit) * unit), codes.dtype)
    (_take_bytes if codes.itemsize == 1 else _take_words)(codes, pixels, out)
    return out


@kept_loop
def _mark(planes, sure, possible, bits, pixels, votes):
    n = 0
    for w in range(bits.size):
        bits[w] = _reached(planes, w, sure)
        word = _reached(planes, w, possible) & ~bits[w]
        while word:
            i = ctz64(word)
            word &= word - np.uint64(1)
            pixels[n], votes[n] = 64 * w + i, _votes_at(planes, w, i)
            n += 1
    return n


@kept_loop
def _settle(planes, pixels, votes, sure, possible, bits, left, total):
    n = 0
    for j in range(pixels.size):
        found, at = votes[j] + _votes_at(planes, j >> 6, j & 63), pixels[j]
        left[n], total[n] = at, found
        n += (found < sure) & (found >= possible)  # no branch: nobody foresees it
        bits[at >> 6] |= np.uint64(found >= sure) << np.uint64(at & 63)
    return n


@njit(error_model="numpy", inline="always")
def _votes_at(planes, word, bit):
    found, shift = np.uint64(0), np.uint64(bit)
    for k in range(planes.shape[0]):
        found |= ((planes[k, np.uint64(word)] >> shift) & np.uint64(1)) << np.uint64(k)
    return np.int64(found)


@njit(error_model="numpy")
def _take(codes, pixels, out):
    for f in range(codes.shape[0]):
        for j in range(pixels.size):
            out[f, j] = codes[f, np.uint64(pixels[j])]  # not signed: no look at its sign
        out[f, pixels.size :] = 0


@kept_loop
def _take_bytes(codes, pixels, out):
    _take(codes, pixels, out)


@kept_loop
def _take_words(codes, pixels, out):
    _take(codes, pixels, out)


@kept_loop
def _at_least(planes, needed, out):
    for w in range(out.size):
        out[w] = _reached(planes, w, needed)


@njit(error_model="numpy", inline="always")
def _reached(planes, w, needed):
    """Return the pixels of a word that have so many votes, 0 to 2^n_planes."""
    if needed >> planes.shape[0]:
        return np.uint64(0)
    more, same = np.uint64(0), ~np.uint64(0)
    for k in range(planes.shape[0] - 1, -1, -1):
        plane = planes[k, w]
        if (needed >> k) & 1:
            same &= plane
        else:
            more |= same & plane
            same &= ~plane
    return more | same


@kept_loop
def _add_votes(planes, votes):
    for w in range(planes.shape[1]):
        for k in range(planes.shape[0]):
            word = planes[k, w]
            for i in range(64):
                votes[64 * w + i] += np.int64((word >> np.uint64(i)) & np.uint64(1)) << k
