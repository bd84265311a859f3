"""From packed bits straight to objects: runs, components, measurement, and a label image only where one is wanted."""

from compdistort.backend.base import Float64, Int32, SegmentRule, UInt64
from compdistort.backend.compiled.components import find_components, paint
from compdistort.backend.compiled.measure import measure_runs


def objects_from_bits(
    bits: UInt64, shape: tuple[int, ...], rule: SegmentRule, want_labels: bool
) -> tuple[Int32 | None, Float64]:
    """Find and measure the objects of a mask of packed bits.

    Parameters
    ----------
    bits : ndarray of shape (planes * rows, words), uint64
        Bit i of word w of a row is pixel 64 w + i; bits beyond the columns are ignored.
    shape : tuple of int
        ([planes,] rows, columns).
    rule : SegmentRule
        As `compdistort.backend.plain.label.label_mask` uses it.
    want_labels : bool
        Whether the label image is wanted too.

    Returns
    -------
    labels : ndarray of shape `shape`, int32, or None
        As `label_mask` gives it.
    table : ndarray of shape (n_objects, n_columns), float64
        As the verb `measure` gives it for these labels.

    Raises
    ------
    ConfigError
        If the connectivity does not belong to the number of axes.
    TypeError, ValueError
        If the words are not uint64, their shape does not belong to `shape`, or a 2D image is larger than 65536 pixels
        a side.
    ResourceError
        If there are more runs or columns than can be counted.
    """
    runs = find_components(bits, shape, rule)
    return paint(runs) if want_labels else None, measure_runs(runs)
