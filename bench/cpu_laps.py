"""The pieces of a call, each with a time of its own, so that bursts of a neighbour can be told from the work.

Who shares a physical core with us slows vector code by up to a half and more, in bursts of milliseconds, and hardly one
long call escapes all of them. Every piece of it does, sooner or later: the sum of the fastest times of the pieces is
what a call takes undisturbed. Pieces are one filter along one axis of SciPy, one tree of scikit-learn, one block of
ours and what a block's pixels and votes take: between one and some tens of milliseconds.
"""

import time
from contextlib import contextmanager
from functools import wraps

import numpy as np
from cpu_turns import Pieces
from scipy.ndimage import _filters as scipy_filters
from sklearn.tree import DecisionTreeClassifier

from compdistort.backend.compiled.blocks import FeatureBlocks
from compdistort.backend.compiled.half_blocks import HalfGrid
from compdistort.backend.compiled.source import Drawn

CALLS = (
    (scipy_filters, "correlate1d"),
    (DecisionTreeClassifier, "predict_proba"),
    (Drawn, "read"),
    (Drawn, "whole"),
    (HalfGrid, "_filter"),
)
"""Each of these calls ends a piece."""


def in_pieces(call):
    """Return a call that answers with its `Pieces`.

    Parameters
    ----------
    call : callable
        Takes the number of the call and works on one thread, always in the same steps.
    """

    def timed(number):
        with _watched() as ends:
            began = time.perf_counter()
            call(number)
            ends.append(time.perf_counter())
        return Pieces(np.diff([began, *ends]))

    return timed


@contextmanager
def _watched():
    """Give the list that takes the time whenever a piece ends; everything is as before afterwards."""
    ends = []
    before = [(owner, name, getattr(owner, name)) for owner, name in (*CALLS, (FeatureBlocks, "run"))]
    try:
        for owner, name, function in before:
            setattr(owner, name, (_ending_blocks if owner is FeatureBlocks else _ending)(function, ends))
        yield ends
    finally:
        for owner, name, function in before:
            setattr(owner, name, function)


def _ending(function, ends):
    @wraps(function)
    def run(*arguments, **settings):
        result = function(*arguments, **settings)
        ends.append(time.perf_counter())
        return result

    return run


def _ending_blocks(function, ends):
    @wraps(function)
    def run(*arguments, **settings):
        for block in function(*arguments, **settings):
            ends.append(time.perf_counter())
            yield block
            ends.append(time.perf_counter())

    return run
