"""Objects to table: ours (compiled and plain) beside scikit-image's `regionprops_table` on the same 5,000 objects.

Run with ``pytest bench/bench_measure.py --benchmark-enable``; all rows of one run share labels and machine.
"""

import numpy as np
import pytest
from scipy import ndimage
from skimage.measure import regionprops_table

from compdistort.backend.compiled import measure as compiled
from compdistort.backend.plain import measure as plain
from compdistort.match import match_objects, overlap_counts

SIDE = 2048
PROPERTIES = (
    "area", "centroid", "perimeter", "axis_major_length", "axis_minor_length", "orientation", "feret_diameter_max",
    "solidity", "extent", "bbox",
)  # fmt: skip
"""What scikit-image has of the 19 parameters (no smallest Feret diameter, no Feret end points)."""


@pytest.fixture(scope="module")
def labels():
    """About 5,000 blobs on 2048 x 2048, a quarter of the pixels."""
    field = ndimage.gaussian_filter(np.random.default_rng(1).normal(size=(SIDE, SIDE)), 3.8)
    found, n = ndimage.label(field > np.quantile(field, 0.75), np.ones((3, 3)), output=np.int32)
    assert 4500 < n < 5500
    return found


@pytest.mark.benchmark(group="measure 5,000 objects")
def test_compiled(benchmark, labels):
    values = benchmark(compiled.measure_objects, labels)
    assert len(values) == labels.max()


@pytest.mark.benchmark(group="measure 5,000 objects")
def test_plain(benchmark, labels):
    values = benchmark.pedantic(plain.measure_objects, (labels,), rounds=1)
    assert len(values) == labels.max()


@pytest.mark.benchmark(group="measure 5,000 objects")
def test_scikit_image(benchmark, labels):
    table = benchmark.pedantic(regionprops_table, (labels,), {"properties": PROPERTIES}, rounds=1)
    assert len(table["area"]) == labels.max()


@pytest.mark.benchmark(group="match 5,000 objects")
def test_match_and_overlaps(benchmark, labels):
    moved = np.roll(labels, 1, axis=1)
    moved[:, 0] = 0
    moved = ndimage.label(moved > 0, np.ones((3, 3)), output=np.int32)[0]
    raw, other = compiled.measure_objects(labels), compiled.measure_objects(moved)
    counts = benchmark(lambda: overlap_counts(labels, moved, match_objects(raw, other)))
    assert counts.matched > 0.95 * counts.n_raw
