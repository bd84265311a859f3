"""Masks as packed bits: bit i of word w of a row is pixel 64 w + i; bits beyond the columns are 0 or ignored."""

from collections.abc import Sequence
from math import prod

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from compdistort.backend.base import UInt64
from compdistort.backend.compiled.kept import kept_loop

WORD = 64
"""Pixels a word."""

ALL = np.uint64(2**64 - 1)
"""A word with every bit set."""


@intrinsic
def ctz64(typingctx, value):
    """Return the number of trailing zero bits of a uint64; 64 for zero.

    Parameters
    ----------
    value : uint64
        Word to look at.

    Returns
    -------
    int64
    """

    def codegen(context, builder, signature, args):
        word, flag = ir.IntType(64), ir.IntType(1)
        function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(word, [word, flag]), "llvm.cttz.i64")
        return builder.call(function, [args[0], ir.Constant(flag, 0)])

    return types.int64(types.uint64), codegen


@intrinsic
def popcount64(typingctx, value):
    """Return the number of bits that are set in a uint64.

    Parameters
    ----------
    value : uint64
        Word to look at.

    Returns
    -------
    int64
    """

    def codegen(context, builder, signature, args):
        word = ir.IntType(64)
        function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(word, [word]), "llvm.ctpop.i64")
        return builder.call(function, [args[0]])

    return types.int64(types.uint64), codegen


def words_of(columns: int) -> int:
    """Return how many words a row of pixels takes.

    Examples
    --------
    >>> words_of(64), words_of(65)
    (1, 2)
    """
    return -(-columns // WORD)


def mask_bytes(shape: Sequence[int]) -> int:
    """Return the memory of the packed bits of a mask of that shape.

    Examples
    --------
    >>> mask_bytes((3, 65))
    48
    """
    return 8 * prod(shape[:-1]) * words_of(shape[-1])


def pack_mask(mask: NDArray[np.bool_]) -> UInt64:
    """Return a mask as packed bits.

    Parameters
    ----------
    mask : ndarray of shape ([planes,] rows, columns), bool
        Pixels.

    Returns
    -------
    ndarray of shape (planes * rows, words), uint64

    Examples
    --------
    >>> pack_mask(np.array([[True, False, True], [False, True, False]])).tolist()
    [[5], [2]]
    """
    columns = mask.shape[-1]
    lines = mask.reshape(prod(mask.shape[:-1]), columns)
    packed = np.packbits(lines, axis=1, bitorder="little")
    room = np.zeros((lines.shape[0], words_of(columns) * 8), np.uint8)
    room[:, : packed.shape[1]] = packed
    words: UInt64 = room.view("<u8").astype(np.uint64, copy=False)
    return words


@njit(nogil=True, error_model="numpy")
def set_bits(words, first, end):
    """Set the bits first..end - 1 of one row of words."""
    w, w_end = first >> 6, (end - 1) >> 6
    low = ALL << np.uint64(first & 63)
    high = ALL >> np.uint64(63 - ((end - 1) & 63))
    if w == w_end:
        words[w] |= low & high
        return
    words[w] |= low
    for k in range(w + 1, w_end):
        words[k] = ALL
    words[w_end] |= high


@kept_loop
def put_rows(bits, width, rows, columns, out, first, start):
    """Write rows of packed bits to rows from `first` and words from `start` on; bits beyond the columns become 0.

    `bits`: bit ``r width + c`` is pixel c of row r, with one word more at the end.
    """
    for r in range(rows):
        for w in range((columns + WORD - 1) // WORD):
            at = r * width + WORD * w
            word, shift = bits[at >> 6] >> np.uint64(at & 63), np.uint64(at & 63)
            if shift:
                word |= bits[(at >> 6) + 1] << (np.uint64(64) - shift)
            left = columns - WORD * w
            out[first + r, start + w] = word & (ALL >> np.uint64(64 - left)) if left < WORD else word
