"""Objects of a volume: surface, table and overlap from runs, beside scikit-image, SciPy and connected-components-3d.

The scene is one jittered ellipsoid of radii 2.5 to 5.5 in every cube of 14 voxels: 2048 x 2048 x 128 with 191,844
objects where times are taken, a corner of it where the functions only run once. No label image is made for ours; the
peers read one, of a corner, and `extra_info` says of how many voxels and objects, so that their time can be scaled.
"""

import numpy as np
import pytest
from scipy import ndimage
from skimage.measure import marching_cubes, mesh_surface_area

from compdistort.backend.base import VOLUME_COLUMNS, SegmentRule
from compdistort.backend.compiled.bits import words_of
from compdistort.backend.compiled.components import Runs, find_components, paint
from compdistort.backend.compiled.measure import count_volumes, measure_runs
from compdistort.backend.compiled.overlap import overlap_pairs
from compdistort.backend.compiled.surface import count_cells
from compdistort.backend.surface import SURFACE_COLUMNS, surface_area

PITCH = 14
FULL = (128, 2048, 2048)
CORNER = (42, 280, 280)
RULE = SegmentRule(foreground=0, connectivity=26)


def nuclei(shape, seed):
    """Return the packed bits of a volume of ellipsoids."""
    planes, rows, columns = shape
    rng = np.random.default_rng(seed)
    layers, down, across = (side // PITCH for side in shape)
    bits = np.zeros((planes, rows, words_of(columns) * 8), np.uint8)
    for layer in range(layers):
        centre = rng.uniform(5.5, 7.5, (3, 1, down, across)).astype(np.float32)
        radius = rng.uniform(2.5, 5.5, (3, 1, down, across)).astype(np.float32)
        near = ((np.arange(PITCH, dtype=np.float32)[:, None, None] - centre) / radius) ** 2
        z, y, x = near  # each (PITCH, down, across): the square of the place along one axis in radii
        square = (y.transpose(1, 0, 2)[..., None] + x.transpose(1, 2, 0)[:, None]).reshape(down * PITCH, -1)
        for k in range(PITCH):
            behind = z[k].repeat(PITCH, axis=0).repeat(PITCH, axis=1)
            packed = np.packbits(square + behind <= 1, axis=1, bitorder="little")
            bits[layer * PITCH + k, : packed.shape[0], : packed.shape[1]] = packed
    return bits.reshape(planes * rows, -1).view(np.uint64)


@pytest.fixture(scope="module")
def scene(request):
    """The runs that are timed: the whole scene, or a corner where no times are taken."""
    shape = FULL if request.config.getoption("benchmark_enable") else CORNER
    return find_components(nuclei(shape, 0), shape, RULE)


@pytest.fixture(scope="module")
def corner():
    """The label image that peers read."""
    return paint(find_components(nuclei(CORNER, 0), CORNER, RULE))


def _note(benchmark, shape, n_objects):
    benchmark.extra_info.update(voxels=int(np.prod(shape)), objects=int(n_objects))


def test_components(benchmark, scene):
    bits = nuclei(scene.shape, 0)
    _note(benchmark, scene.shape, scene.n_objects)
    assert benchmark(find_components, bits, scene.shape, RULE).n_objects == scene.n_objects


def test_surface(benchmark, scene):
    _note(benchmark, scene.shape, scene.n_objects)
    assert benchmark(count_cells, scene, 0, scene.shape[0] + 1).shape == (scene.n_objects, len(SURFACE_COLUMNS))


def test_all_counts(benchmark, scene):
    _note(benchmark, scene.shape, scene.n_objects)
    assert benchmark(count_volumes, scene).shape == (scene.n_objects, len(VOLUME_COLUMNS))


def test_overlap(benchmark, scene):
    """With the same objects one column to the right."""
    _note(benchmark, scene.shape, scene.n_objects)
    moved = Runs(scene.shape, scene.row_start, scene.start + 1, scene.end + 1, scene.owner, scene.n_objects)
    assert benchmark(overlap_pairs, scene, moved)[0].size == scene.n_objects


def test_surface_of_scikit_image(benchmark, corner):
    """One mesh an object, of its box; the areas are ours."""
    boxes = ndimage.find_objects(corner)[:200]
    _note(benchmark, corner.shape, len(boxes))

    def mesh_areas():
        areas = []
        for i, box in enumerate(boxes):
            mask = np.pad(corner[box] == i + 1, 1).astype(np.float32)
            vertices, faces, _, _ = marching_cubes(mask, 0.5)
            areas.append(mesh_surface_area(vertices, faces))
        return areas

    areas = benchmark(mesh_areas)
    counts = count_cells(find_components(nuclei(CORNER, 0), CORNER, RULE), 0, CORNER[0] + 1)
    np.testing.assert_allclose(surface_area(counts[: len(boxes)]), areas, rtol=1e-5)


def test_statistics_of_cc3d(benchmark, corner):
    """Volumes, boxes and centres; no surface."""
    cc3d = pytest.importorskip("cc3d")
    _note(benchmark, corner.shape, corner.max())
    found = benchmark(cc3d.statistics, corner.astype(np.uint32))
    table = measure_runs(find_components(nuclei(CORNER, 0), CORNER, RULE))
    np.testing.assert_array_equal(found["voxel_counts"][1:], table[:, VOLUME_COLUMNS.index("Volume")])


def test_centres_of_scipy(benchmark, corner):
    """Centres alone."""
    _note(benchmark, corner.shape, corner.max())
    ids = np.arange(1, corner.max() + 1)
    assert len(benchmark(ndimage.center_of_mass, corner > 0, corner, ids)) == ids.size
