"""Loops that read runs from packed bits and join them by union-find; see `compdistort.backend.compiled.components`."""

import numpy as np
from numba import njit

from compdistort.backend.compiled.bits import ctz64, popcount64
from compdistort.backend.compiled.kept import kept_loop


@kept_loop
def count_runs(bits, flip, last):
    """Return how many runs there are in bits xor `flip`, the last word of every row masked by `last`."""
    lines, words = bits.shape
    n = 0
    for line in range(lines):
        before = np.uint64(0)
        for w in range(words):
            v = bits[line, w] ^ flip
            if w == words - 1:
                v &= last
            n += popcount64(v & ~((v << np.uint64(1)) | before))
            before = v >> np.uint64(63)
    return n


@njit(nogil=True, error_model="numpy")
def _read_row(row, flip, last, n, start, end):
    """Write the runs of one row from place n on; return the place after them.

    A word with a carry in front of it has a bit wherever the pixels change: every such bit begins or ends a run.
    """
    inside = False
    before = np.uint64(0)
    for w in range(row.size):
        v = row[w] ^ flip
        if w == row.size - 1:
            v &= last
        change = v ^ ((v << np.uint64(1)) | before)
        before = v >> np.uint64(63)
        while change != np.uint64(0):
            x = np.int32(64 * w + ctz64(change))
            change &= change - np.uint64(1)
            if inside:
                end[n] = x
                n += 1
            else:
                start[n] = x
            inside = not inside
    if inside:
        end[n] = np.int32(64 * row.size)  # a row of whole words has no bit behind its last pixel
        n += 1
    return n


@njit(nogil=True, error_model="numpy", inline="always")
def _root(parent, i):
    while parent[np.uintp(i)] != i:
        parent[np.uintp(i)] = parent[np.uintp(parent[np.uintp(i)])]
        i = parent[np.uintp(i)]
    return i


@njit(nogil=True, error_model="numpy")
def _join(start, end, parent, reach, i, i_end, j, j_end):
    """Join runs i..i_end of one row with those of j..j_end, an earlier one, that they touch.

    Whichever run ends first is done with: the other row's next run begins at least one pixel behind its own end.
    """
    i, i_end, j, j_end = np.uintp(i), np.uintp(i_end), np.uintp(j), np.uintp(j_end)
    while i < i_end and j < j_end:
        touch = (end[j] + reach > start[i]) & (end[i] + reach > start[j])
        if touch and parent[i] != parent[j]:
            p, q = _root(parent, parent[i]), _root(parent, parent[j])
            low = min(p, q)
            parent[np.uintp(p)] = low
            parent[np.uintp(q)] = low
        ahead = np.uintp(end[j] < end[i])
        j += ahead
        i += np.uintp(1) - ahead


@kept_loop
def connect(bits, flip, last, rows, above, behind, beside, row_start, start, end, parent):
    """Read all runs and join them; afterwards the parent of every run is its root, the first run of its object."""
    n = 0
    for line in range(bits.shape[0]):
        first = n
        row_start[line] = first
        n = _read_row(bits[line], flip, last, n, start, end)
        row_start[line + 1] = n
        if n == first:
            continue
        for i in range(first, n):
            parent[i] = np.int32(i)
        y = line % rows
        if y > 0:
            _join(start, end, parent, above, first, n, row_start[line - 1], first)
        other = line - rows
        if other < 0:
            continue
        if behind >= 0:
            _join(start, end, parent, behind, first, n, row_start[other], row_start[other + 1])
        if beside >= 0 and y > 0:
            _join(start, end, parent, beside, first, n, row_start[other - 1], row_start[other])
        if beside >= 0 and y < rows - 1:
            _join(start, end, parent, beside, first, n, row_start[other + 1], row_start[other + 2])
    for i in range(n):
        parent[i] = parent[parent[i]]


@kept_loop
def number(root):
    """Put 1..n, in the order of the roots, in the place of every root; return n.

    In place: a root is smaller than its runs, so it is numbered before they ask for its number.
    """
    n = np.int32(0)
    for i in range(root.size):
        if root[i] == i:
            n += np.int32(1)
            root[i] = n
        else:
            root[i] = root[root[i]]
    return n
