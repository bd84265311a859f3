"""Bodies of 3D measurement: counts of objects in volumes, to the bit those of the plain twins."""

import numpy as np
import pytest
from cudahost.bodies import same_bits
from cudahost.sparse_array import launch_last, sparse
from cudahost.standin_cupy import ndarray
from scipy import ndimage

from compdistort.backend.device import measure as device_measure
from compdistort.backend.plain import measure as plain_measure
from compdistort.backend.shape import VOLUME_COUNTS
from compdistort.backend.surface import CONFIGURATION_TRIANGLES


def _same_counts(engine, labels, what):
    wanted = plain_measure.count_volumes(labels)
    with engine.cuda.here():
        got = device_measure.count_solids(engine.cuda, engine.to_device(labels))
    assert got.shape == wanted.shape, f"{what}: {got.shape}, not {wanted.shape}"
    for column, name in enumerate(VOLUME_COUNTS):
        same_bits(got[:, column], wanted[:, column], f"{what}, {name}")


def in_raster_order(ids):
    """Return ids renumbered in the order of their first voxels."""
    found, first = np.unique(ids, return_index=True)
    new = np.zeros(int(found.max(initial=0)) + 1, np.int32)
    objects = found[found > 0][np.argsort(first[found > 0])]
    new[objects] = np.arange(1, objects.size + 1)
    return new[ids]


def check_configurations(engine):
    """Every one of the 256 cells, as an object of its own apart from others."""
    cells = np.zeros((2, 4 * 8, 4 * 32), np.int32)
    for configuration in range(1, 256):
        bits = np.array([configuration >> b & 1 for b in range(8)]).reshape(2, 2, 2)
        y, x = 4 * (configuration % 8), 4 * (configuration // 8)
        cells[:, y : y + 2, x : x + 2] = configuration * bits
    _same_counts(engine, in_raster_order(cells), "configurations")


def check_noise(engine):
    """Volumes around the width of a warp and of a block, thin ones among them, with up to eight objects in a cell."""
    rng = np.random.default_rng(1)
    shapes = ((1, 1, 1), (1, 4, 40), (6, 1, 33), (5, 4, 1), (4, 5, 64), (3, 4, 257))
    for k, shape in enumerate(shapes):
        mask = rng.random(shape) < (0.3, 0.6, 0.95)[k % 3]
        connected = ndimage.label(mask, ndimage.generate_binary_structure(3, 1 + k % 3), np.int32)[0]
        _same_counts(engine, connected, f"components of {shape}")
        for most in (3, 300):
            ids = np.where(mask, rng.integers(0, most, shape), 0)
            _same_counts(engine, in_raster_order(ids), f"up to {most} ids in {shape}")


def check_later_planes(engine):
    """Objects that reach rows and columns before their first voxel's only in later planes, and far behind it."""
    labels = np.zeros((6, 9, 70), np.int32)
    labels[0, 5, 40:42] = labels[3, 1, 3] = labels[5, 8, 69] = 1
    labels[1, 7, 66] = labels[2, 0, 0] = labels[2, 8, 64] = 2
    labels[4, 4, 10:69] = 3
    _same_counts(engine, labels, "later planes")


def check_filled(engine):
    """One object that is all of the volume: nothing but the outside around it."""
    for shape in ((1, 1, 70), (4, 3, 2), (3, 5, 33)):
        _same_counts(engine, np.ones(shape, np.int32), f"all of {shape}")


def check_tables(engine):
    """The table of 3D objects, to the bit; none without objects or without voxels."""
    labels = ndimage.label(ndimage.gaussian_filter(np.random.default_rng(2).normal(size=(9, 20, 70)), 1.5) > 0.1)[0]
    empty = [np.zeros(shape, np.int32) for shape in ((2, 3, 40), (0, 3, 4), (2, 0, 4), (2, 3, 0))]
    for volume in (labels.astype(np.int32), *empty):
        with engine.cuda.here():
            table = device_measure.measure_objects(engine.cuda, engine.to_device(volume))
        same_bits(table, plain_measure.measure_objects(volume), str(volume.shape))


def check_wrong_ids(engine):
    """Gaps, exchanged, negative and impossible ids are refused as by the plain twin, in later planes too."""
    for ids in ([2, 0, 1], [1, 0, 3], [2, 0, 0], [0, -1, 1], [0, 2**31 - 1, 0]):
        for axis in range(3):
            labels = np.expand_dims(np.array(ids, np.int32), [other for other in range(3) if other != axis])
            with pytest.raises(ValueError, match="raster order"), engine.cuda.here():
                device_measure.measure_objects(engine.cuda, engine.to_device(labels))


def check_rows_beyond_the_grid(engine):
    """More rows of all planes than a grid has blocks along y; both ends hold an object."""
    labels = np.zeros((2, 40_000, 3), np.int32)
    labels[0, 3:6, 1:], labels[1, -3:, :2] = 1, 2
    _same_counts(engine, labels, "many rows")


def check_far_voxels(engine):
    """An object in the last voxels of a volume of more than 2^32. For kernels that g++ built."""
    planes, rows, columns = shape = (3, 40_000, 40_000)
    volume = sparse(shape, np.int32)
    near = (np.random.default_rng(4).random((2, 3, 20)) < 0.6).astype(np.int32)
    near[0, 0, 0] = near[1, -1, -1] = 1
    volume[-2:, -3:, -20:] = near
    labels = ndarray(volume)
    start = ((planes - 2) * rows + rows - 3) * columns + columns - 20
    first = engine.to_device(np.array([start], np.uint64))
    triangles = engine.to_device(CONFIGURATION_TRIANGLES)
    counts = engine.to_device(np.zeros((len(VOLUME_COUNTS), 1), np.uint64))
    engine.cuda.launch("volumes.begin_volumes", (1,), (256,), first, 1, rows, columns, counts)
    # Each row of blocks takes the same row of every plane: the last ones suffice.
    grid = (-(-columns // 256), rows)
    launch_last(engine, "volumes.add_volume_runs", grid, (256,), labels, *shape, 1, counts, count=3 * grid[0])
    grid = (-(-(columns + 1) // 256), rows + 1)
    place = (labels, *shape, 1, triangles, counts)
    launch_last(engine, "volumes.add_cells", grid, (256,), *place, count=4 * grid[0])
    got = engine.to_host(counts)[:, 0].astype(np.int64)
    wanted = plain_measure.count_volumes(near)[0]
    shift = {"x": columns - 20, "y": rows - 3, "z": planes - 2}
    size = int(near.sum())
    for i, name in enumerate(VOLUME_COUNTS):
        moved = shift[name[0]] if name.endswith(("_start", "_min", "_max")) else 0
        moved += size * shift[name[1]] if name in ("sx", "sy", "sz") else 0
        assert got[i] == wanted[i] + moved, name
