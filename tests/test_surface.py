"""Surface triangles: scikit-image decides, engines agree to the bit, cuts of a volume add up."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import surface_triangles
from scipy import ndimage
from skimage.measure import marching_cubes, mesh_surface_area

from compdistort.backend.base import VOLUME_COLUMNS
from compdistort.backend.compiled.components import Runs
from compdistort.backend.compiled.measure import count_volumes, measure_runs, read_labels
from compdistort.backend.compiled.surface import CELLS, FIELD, FIELDS, count_cells
from compdistort.backend.plain.surface import configurations, count_triangles
from compdistort.backend.shape import SURFACE, VOLUME_COUNTS
from compdistort.backend.surface import CONFIGURATION_TRIANGLES, SURFACE_COLUMNS, TRIANGLE_KINDS, surface_area

SPACINGS = ((1.0, 1.0, 1.0), (2.5, 0.7, 1.3), (0.2, 5.0, 3.0))
COLUMNS = slice(VOLUME_COLUMNS.index(SURFACE_COLUMNS[0]), len(VOLUME_COLUMNS))


def _in_raster_order(ids):
    """Return ids renumbered in the order of their first voxels; touching objects stay apart."""
    found, first = np.unique(ids, return_index=True)
    new = np.zeros(int(found.max()) + 1, np.int32)
    objects = found[found > 0][np.argsort(first[found > 0])]
    new[objects] = np.arange(1, objects.size + 1)
    return new[ids]


@st.composite
def label_volumes(draw):
    """Objects of any density, in pieces and side by side, of widths about the length of a window."""
    shape = (
        draw(st.integers(1, 6)),
        draw(st.integers(1, 5)),
        draw(st.sampled_from((1, 2, 7, 62, 63, 64, 65, 127, 190))),
    )
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    mask = rng.random(shape) < draw(st.sampled_from((0.0, 0.1, 0.5, 0.9, 1.0)))
    if draw(st.booleans()):
        return ndimage.label(mask, ndimage.generate_binary_structure(3, draw(st.integers(1, 3))), np.int32)[0]
    return _in_raster_order(np.where(mask, rng.integers(0, draw(st.sampled_from((2, 5, 300))), shape), 0))


def _blobs(shape=(30, 40, 70), seed=2, share=0.2):
    field = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 2)
    return ndimage.label(field > np.quantile(field, 1 - share), output=np.int32)[0]


def _mesh_area(mask, spacing):
    vertices, faces, _, _ = marching_cubes(np.pad(mask, 1).astype(np.float32), 0.5, spacing=spacing)
    return mesh_surface_area(vertices.astype(np.float64), faces)


def test_the_table_is_what_scikit_image_draws_in_one_cell():
    np.testing.assert_array_equal(surface_triangles.derive(), CONFIGURATION_TRIANGLES)
    assert not CONFIGURATION_TRIANGLES[[0, 255]].any()
    assert CONFIGURATION_TRIANGLES.shape == (256, len(SURFACE_COLUMNS))
    assert VOLUME_COUNTS[SURFACE] == VOLUME_COLUMNS[COLUMNS] == SURFACE_COLUMNS


def test_a_mesh_that_is_no_sum_of_the_kinds_is_refused():
    """Negative control of the derivation: at another level the triangles are others."""
    vertices, faces, _, _ = marching_cubes(surface_triangles.cell(1), 0.4)
    a, b, c = (vertices[faces[:, k]].astype(np.float64) for k in range(3))
    with pytest.raises(ValueError, match="no whole number"):
        surface_triangles.counts(np.abs(np.cross(b - a, c - a)) / 2)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_cells_of_noise_are_drawn_as_single_cells(share):
    """Ambiguous cells do not depend on their neighbours: the mesh of a whole volume has the same triangles, counted."""
    mask = np.random.default_rng(int(10 * share)).random((17, 18, 19)) < share
    padded = np.pad(mask, 1).astype(np.float32)
    assert len(np.unique(configurations(mask))) > (250 if share == 0.5 else 90)
    whole = surface_triangles.counts(surface_triangles.area_vectors(padded))
    np.testing.assert_array_equal(count_triangles(mask.astype(np.int32), 1)[0], whole)


@pytest.mark.parametrize("spacing", SPACINGS)
def test_areas_are_those_of_the_meshes(spacing):
    """Every object by itself, touching ones among them; 1e-6 is what float32 vertices allow."""
    labels = _blobs()
    labels[labels == 3] = 2
    labels[10:20] += (labels[10:20] > 0).astype(np.int32) * (1 + labels.max())
    labels = _in_raster_order(labels)
    table = measure_runs(read_labels(labels))
    areas = surface_area(table[:, COLUMNS], spacing)
    theirs = [_mesh_area(labels == i + 1, spacing) for i in range(len(table))]
    assert len(table) > 30
    np.testing.assert_allclose(areas, theirs, rtol=1e-6)
    if spacing != SPACINGS[0]:
        # Negative control: the axes are not exchangeable.
        assert not np.allclose(surface_area(table[:, COLUMNS], spacing[::-1]), theirs, rtol=1e-3)


def test_voxels_and_boxes():
    """An octahedron; two voxels through an edge; a box loses its edges and corners; twice the spacing, four times."""
    one = count_triangles(np.ones((1, 1, 1), np.int32), 1)
    np.testing.assert_allclose(surface_area(one), np.sqrt(3), rtol=1e-15)
    box = count_triangles(np.ones((5, 6, 7), np.int32), 1)
    faces = 2 * (4 * 5 + 4 * 6 + 5 * 6)
    edges = 4 * (4 + 5 + 6) * np.sqrt(0.5)
    np.testing.assert_allclose(surface_area(box), faces + edges + np.sqrt(3), rtol=1e-15)
    np.testing.assert_array_equal(surface_area(box, (2.0, 2.0, 2.0)), 4 * surface_area(box))
    assert surface_area(np.zeros((0, len(SURFACE_COLUMNS)))).shape == (0,)


@pytest.mark.parametrize("voxel", [(0.0, 1.0, 1.0), (1.0, -1.0, 1.0), (1.0, 1.0, np.nan), (np.inf, 1.0, 1.0)])
def test_impossible_spacings_are_refused(voxel):
    with pytest.raises(ValueError, match="every spacing must be above 0"):
        surface_area(np.zeros((1, len(SURFACE_COLUMNS))), voxel)


def test_other_columns_are_refused():
    with pytest.raises(ValueError, match="10 columns are needed"):
        surface_area(np.zeros((1, 9)))


@settings(deadline=None)
@given(label_volumes())
def test_twins_agree_to_the_bit(labels):
    n = int(labels.max())
    found = count_cells(read_labels(labels), 0, labels.shape[0] + 1)
    np.testing.assert_array_equal(found, count_triangles(labels, n))
    np.testing.assert_array_equal(count_volumes(read_labels(labels))[:, SURFACE], found)


@settings(deadline=None, max_examples=50)
@given(label_volumes(), st.lists(st.integers(0, 7), max_size=4))
def test_layers_and_slabs_add_up(labels, cuts):
    """Layers of cells of the volume, and of slabs that share a plane with the next, whose ids are the volume's."""
    planes, n = labels.shape[0], int(labels.max())
    runs = read_labels(labels)
    whole = count_cells(runs, 0, planes + 1)
    bounds = [0, *sorted(min(cut, planes + 1) for cut in cuts), planes + 1]
    parts = [count_cells(runs, z0, z1) for z0, z1 in itertools.pairwise(bounds)]
    np.testing.assert_array_equal(sum(parts), whole)
    total = np.zeros_like(whole)
    for z0, z1 in itertools.pairwise(bounds):
        first, last = max(z0 - 1, 0), min(z1, planes)
        slab = read_labels(labels[first:last])
        slab = Runs(slab.shape, slab.row_start, slab.start, slab.end, slab.owner, n)
        total += count_cells(slab, z0 - first, z1 - first)
    np.testing.assert_array_equal(total, whole)


def test_slabs_without_a_shared_plane_do_not_add_up():
    """Negative control: what is cut through gets two more faces."""
    runs = [read_labels(np.ones((planes, 4, 5), np.int32)) for planes in (6, 3)]
    whole, half = (count_cells(each, 0, each.shape[0] + 1) for each in runs)
    assert surface_area(2 * half)[0] > surface_area(whole)[0] + 20


def test_dropped_runs_are_background():
    labels = _blobs()
    runs = read_labels(labels)
    keep = np.arange(runs.n_objects + 1) % 2 == 1
    new = np.where(keep, np.cumsum(keep), 0).astype(np.int32)
    dropped = Runs(runs.shape, runs.row_start, runs.start, runs.end, new[runs.owner], int(keep.sum()))
    found = count_cells(dropped, 0, labels.shape[0] + 1)
    np.testing.assert_array_equal(found, count_cells(runs, 0, labels.shape[0] + 1)[keep[1:]])
    np.testing.assert_array_equal(found, count_triangles(new[labels], int(keep.sum())))


def test_layers_outside_are_refused():
    runs = read_labels(np.ones((3, 4, 5), np.int32))
    for z0, z1 in ((-1, 2), (2, 1), (0, 5)):
        with pytest.raises(ValueError, match=r"do not lie within 0\.\.4"):
            count_cells(runs, z0, z1)
    with pytest.raises(ValueError, match="have no planes"):
        count_cells(read_labels(np.ones((3, 4), np.int32)), 0, 1)


def test_a_window_cannot_overflow():
    assert CELLS * int(CONFIGURATION_TRIANGLES.max()) < 2**FIELD
    assert FIELD * FIELDS <= 64
    assert len(SURFACE_COLUMNS) == 2 * FIELDS


def _sparse(shape, lines, start, end, owner):
    """Return runs in a few lines of a volume that nobody could hold."""
    row_start = np.searchsorted(lines, np.arange(shape[0] * shape[1] + 1)).astype(np.int64)
    return Runs(shape, row_start, *(np.array(each, np.int32) for each in (start, end, owner)), int(max(owner)))


def test_the_far_corner_of_a_giant():
    """A small object in the last voxels of a volume of 2^51, against the same near the origin."""
    shape = (512, 2048, 2**31 - 1)
    near = np.zeros((3, 3, 90), np.int32)
    near[1:, 1:, 1:] = np.random.default_rng(3).random((2, 2, 89)) < 0.7
    small = read_labels(near)
    at = np.repeat(np.arange(9), np.diff(small.row_start))
    lines = (at // 3 + shape[0] - 3) * shape[1] + at % 3 + shape[1] - 3
    # The near one has background behind it, the far one ends with the volume: beyond it all is background too.
    right = shape[2] - 90
    far = _sparse(shape, lines, small.start.astype(np.int64) + right, small.end.astype(np.int64) + right, small.owner)
    found, wanted = count_volumes(far)[0], count_volumes(small)[0]
    shift = dict(zip("xyz", (right, shape[1] - 3, shape[0] - 3), strict=True))
    volume = wanted[VOLUME_COUNTS.index("volume")]
    for i, name in enumerate(VOLUME_COUNTS):
        if name.endswith(("_start", "_min", "_max")):
            assert found[i] == wanted[i] + shift[name[0]], name
        elif name in ("sx", "sy", "sz"):
            assert found[i] == wanted[i] + volume * shift[name[1]], name
        else:
            assert found[i] == wanted[i], name


def test_an_object_of_more_voxels_than_int32():
    """All of 550 x 2048 x 2048: one run a row, sums in closed form."""
    planes, rows, columns = shape = (550, 2048, 2048)
    n = planes * rows
    ends = np.full(n, columns, np.int32)
    full = Runs(shape, np.arange(n + 1), np.zeros(n, np.int32), ends, np.ones(n, np.int32), 1)
    table = measure_runs(full)[0]
    named = dict(zip(VOLUME_COLUMNS, table.tolist(), strict=True))
    assert named["Volume"] == n * columns > 2**31
    assert (named["XM"], named["YM"], named["ZM"]) == (1024, 1024, 275)
    faces = 2 * ((planes - 1) * (rows - 1) + (planes - 1) * (columns - 1) + (rows - 1) * (columns - 1))
    edges = 4 * (planes - 1 + rows - 1 + columns - 1) * np.sqrt(0.5)
    np.testing.assert_allclose(surface_area(table[None, COLUMNS]), faces + edges + np.sqrt(3), rtol=1e-14)


def test_kinds_are_named_by_their_direction():
    for name, kind in zip(SURFACE_COLUMNS, TRIANGLE_KINDS, strict=True):
        digits = np.array([int(digit) for digit in name[1:]])
        np.testing.assert_array_equal(kind * 8, digits * (1 if "1" in name[1:] and 0 not in digits else 2))
