"""The runs of a label image as their definition says: a run begins and ends wherever a row's labels change."""

from math import prod

import numpy as np

from compdistort.backend.base import Int32, Runs


def runs_of_labels(labels: Int32) -> Runs:
    """Return the runs of all objects of a label image.

    Parameters
    ----------
    labels : ndarray of shape ([planes,] rows, columns), int32
        Ids 1..n in raster order; 0 = background.

    Returns
    -------
    Runs

    Examples
    --------
    >>> found = runs_of_labels(np.array([[0, 1, 1], [2, 0, 1]], np.int32))
    >>> found.row_start.tolist(), found.start.tolist(), found.end.tolist(), found.owner.tolist()
    ([0, 1, 3], [1, 0, 2], [3, 1, 3], [1, 2, 1])
    """
    lines = labels.reshape(prod(labels.shape[:-1]), labels.shape[-1])
    change = np.diff(lines, axis=1, prepend=0, append=0) != 0
    begins, ends = change[:, :-1] & (lines > 0), change[:, 1:] & (lines > 0)
    row_start = np.concatenate([[0], np.cumsum(np.count_nonzero(begins, axis=1))])
    return Runs(
        shape=labels.shape,
        row_start=row_start.astype(np.int64),
        start=np.nonzero(begins)[1].astype(np.int32),
        end=(np.nonzero(ends)[1] + 1).astype(np.int32),
        owner=lines[begins],
        n_objects=int(labels.max(initial=0)),
    )
