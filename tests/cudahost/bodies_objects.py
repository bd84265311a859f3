"""Bodies of the objects: decision, label image and measurement, to the bit those of the plain twins."""

import itertools
from math import prod

import numpy as np
import pytest
from cudahost.bodies import same_bits
from cudahost.sparse_array import launch_last, sparse
from cudahost.standin_cupy import ndarray
from scipy import ndimage

from compdistort.backend.base import SegmentRule
from compdistort.backend.device import measure as device_measure
from compdistort.backend.plain import label as plain_label
from compdistort.backend.plain import measure as plain_measure
from compdistort.backend.plain.convolve import smooth_probability
from compdistort.backend.shape import COUNTS, MAX_SIDE

HULL_COLUMNS = slice(COUNTS.index("hull_area2"), len(COUNTS))


def _rule(**changes):
    return SegmentRule(**{"foreground": 0, **changes})


def check_threshold(engine):
    """At, just below and just above the level, NaN and both zeros, in an image that fills no block."""
    probability = np.random.default_rng(0).random((3, 7, 53))
    level = 0.3
    probability.flat[:6] = level, np.nextafter(level, 0), np.nextafter(level, 1), np.nan, -0.0, 1.0
    probability[-1, -1, -1] = level
    on_device = engine.to_device(probability)
    for strict, at in itertools.product((False, True), (level, 0.0, 1.0)):
        rule = _rule(threshold=at, strict=strict)
        wanted = probability > at if strict else probability >= at
        same_bits(engine.to_host(engine.threshold(on_device, rule)), wanted, f"threshold {at}, strict {strict}")


def check_smoothed_threshold(engine):
    """A float32 probability against a level between two float32 numbers that rounds to the lower one."""
    probability = np.random.default_rng(1).random((21, 37))
    smooth = smooth_probability(probability.astype(np.float32), 1.3)
    level = float(smooth[10, 20]) * (1 + 1e-9)
    assert np.float32(level) == smooth[10, 20]
    assert float(smooth[10, 20]) < level
    on_device = engine.to_device(probability)
    for strict in (False, True):
        rule = _rule(threshold=level, strict=strict, smoothing_px=1.3)
        wanted = smooth > level if strict else smooth >= level
        same_bits(engine.to_host(engine.threshold(on_device, rule)), wanted, f"smoothed, strict {strict}")


def _same_labels(engine, mask, **rule):
    rule = _rule(**rule)
    wanted = plain_label.label_mask(mask, rule)
    same_bits(engine.to_host(engine.label(engine.to_device(mask), rule)), wanted, f"{mask.shape} by {rule}")


def check_labels_2d(engine):
    """Random masks of several densities and widths around a warp, every rule."""
    rng = np.random.default_rng(2)
    shapes = ((1, 1), (1, 40), (40, 1), (9, 32), (13, 33), (20, 65))
    for k, (shape, connectivity, holes) in enumerate(itertools.product(shapes, (4, 8), (False, True))):
        mask = rng.random(shape) < (0.35, 0.6, 0.8, 1.0, 0.0)[k % 5]
        _same_labels(engine, mask, connectivity=connectivity, include_holes=holes)
        limits = {"min_size": 1 + k % 3, "max_size": (0, 5)[k % 2], "exclude_border": k % 4 > 1}
        _same_labels(engine, mask, connectivity=connectivity, include_holes=holes, **limits)


def check_labels_3d(engine):
    """Random volumes with 6, 18 and 26 neighbours, thin ones among them."""
    rng = np.random.default_rng(3)
    shapes = ((1, 5, 7), (5, 1, 7), (4, 6, 1), (5, 6, 37))
    for k, (shape, connectivity, holes) in enumerate(itertools.product(shapes, (6, 18, 26), (False, True))):
        mask = rng.random(shape) < (0.2, 0.55, 0.85)[k % 3]
        _same_labels(engine, mask, connectivity=connectivity, include_holes=holes)
        limits = {"min_size": 1 + k % 3, "max_size": (0, 4)[k % 2], "exclude_border": k % 4 > 1}
        _same_labels(engine, mask, connectivity=connectivity, include_holes=holes, **limits)


def check_border_rule(engine):
    """One voxel in the middle of each face, and one that just does not touch it; sizes exactly at the limits."""
    for shape in ((7, 70), (7, 9, 70)):
        connectivity = {2: 8, 3: 6}[len(shape)]
        middle = [n // 2 for n in shape]
        for axis, place in itertools.product(range(len(shape)), (0, 1, -2, -1)):
            mask = np.zeros(shape, bool)
            at = middle.copy()
            at[axis] = place
            mask[tuple(at)] = True
            _same_labels(engine, mask, connectivity=connectivity, exclude_border=True)
    rows = np.zeros((9, 40), bool)
    for length in (1, 2, 3, 4):
        rows[2 * length - 1, 3 : 3 + length] = True
    _same_labels(engine, rows, min_size=2, max_size=3)


def check_holes(engine):
    """A diamond whose inside is open through its corners, rings in rings, and a hole that only reaches the border."""
    diamond = np.abs(np.arange(-4, 5)[:, None]) + np.abs(np.arange(-6, 7)) == 4
    y, x = np.mgrid[-12:13, -20:21]
    rings = np.hypot(y, x).astype(int) % 4 == 1
    bay = np.ones((6, 6), bool)
    bay[2:4, 3:] = False
    for mask, connectivity in itertools.product((diamond, rings, bay, ~rings), (4, 8)):
        _same_labels(engine, mask, connectivity=connectivity, include_holes=True)
    shell = np.ones((5, 6, 7), bool)
    shell[1:-1, 1:-1, 1:-1] = False
    leaky = shell.copy()
    leaky[0, 0, 0] = leaky[0, 0, 1] = leaky[0, 1, 1] = False
    for mask, connectivity in itertools.product((shell, leaky), (6, 18, 26)):
        _same_labels(engine, mask, connectivity=connectivity, include_holes=True)


def check_components_in_any_order(engine):
    """Components numbered at random, as int32 and as int64: neither ids nor holes depend on the finder's numbers."""
    rng = np.random.default_rng(4)
    label = engine.cuda.label

    def shuffled(dtype):
        def find(image, structure):
            found, n = label(image, structure)
            names = np.append(0, 1 + rng.permutation(n)).astype(dtype)
            return engine.to_device(names[engine.to_host(found)]), n

        return find

    try:
        for dtype in (np.int32, np.int64):
            engine.cuda.label = shuffled(dtype)
            for shape, connectivity in (((23, 70), 8), ((4, 11, 35), 6)):
                mask = rng.random(shape) < 0.4
                _same_labels(engine, mask, connectivity=connectivity)
                _same_labels(engine, mask, connectivity=connectivity, include_holes=True, min_size=2)
    finally:
        engine.cuda.label = label


def _same_counts(engine, labels, what):
    wanted = plain_measure.count_shapes(labels)
    with engine.cuda.here():
        got = device_measure.count_shapes(engine.cuda, engine.to_device(labels))
    assert got.shape == wanted.shape, f"{what}: {got.shape}, not {wanted.shape}"
    for column, name in enumerate(COUNTS):
        same_bits(got[:, column], wanted[:, column], f"{what}, {name}")


def _labels(mask, connectivity=8):
    return plain_label.label_mask(np.asarray(mask, bool), _rule(connectivity=connectivity))


def small_shapes(most=4):
    """Return every 8-connected shape of one to four pixels, as sets of (row, column)."""
    neighbours = [step for step in itertools.product((-1, 0, 1), repeat=2) if step != (0, 0)]
    shapes = {frozenset({(0, 0)})}
    found = set(shapes)
    for _ in range(most - 1):
        grown = {shape | {(y + dy, x + dx)} for shape in shapes for y, x in shape for dy, dx in neighbours} - shapes
        shapes = {
            frozenset((y - min(a for a, _ in shape), x - min(b for _, b in shape)) for y, x in shape)
            for shape in grown
            if len(shape) > len(next(iter(shapes)))
        }
        found |= shapes
    return sorted(found, key=sorted)


def check_small_shapes(engine):
    """Every 8-connected shape of one to four pixels, side by side."""
    shapes = small_shapes()
    mask = np.zeros((5 * 9, 5 * -(-len(shapes) // 9)), bool)
    for k, shape in enumerate(shapes):
        for y, x in shape:
            mask[5 * (k % 9) + y, 5 * (k // 9) + x] = True
    labels = _labels(mask)
    assert labels.max() == len(shapes)
    _same_counts(engine, labels, "small shapes")


def _spiral(side):
    """One winding line of one pixel, with gaps of one."""
    image = np.zeros((side, side), bool)
    y, x, dy, dx = 0, 0, 0, 1
    image[0, 0] = True
    for length in [side - 1, *(n for n in range(side - 1, 1, -2) for _ in (0, 1))]:
        for _ in range(length):
            y, x = y + dy, x + dx
            image[y, x] = True
        dy, dx = dx, -dy
    return image


def check_winding_shapes(engine):
    """Spiral, comb, rings in rings, thin diagonals, and what fills or lines the image."""
    y, x = np.mgrid[-15:16, -20:21]
    comb = np.arange(35) % 2 == 0
    diagonals = (np.arange(20)[:, None] + np.arange(45)) % 7 == 0
    shapes = {
        "spiral": _spiral(17),
        "comb": np.vstack([np.ones(35, bool), *[comb] * 11]),
        "rings": np.hypot(y, x).astype(int) % 4 == 1,
        "diagonals": diagonals,
        "other diagonals": diagonals[::-1],
        "full": np.ones((11, 35), bool),
        "row": np.ones((1, 70), bool),
        "column": np.ones((70, 1), bool),
        "pixel": np.ones((1, 1), bool),
        "frame": np.pad(np.zeros((4, 40), bool), 1, constant_values=True),
    }
    for name, mask in shapes.items():
        _same_counts(engine, _labels(mask), name)


def check_hulls(engine):
    """Hulls of more vertices than a warp has lanes, symmetrical ones with ties among diameters and widths."""
    y, x = np.mgrid[-44:45, -44:45]
    ellipse = x * x + 2 * y * y + x * y <= 1600
    lens = (x * x + (y - 20) ** 2 <= 1800) & (x * x + (y + 20) ** 2 <= 1800)
    diamond, octagon = abs(x) + abs(y) <= 20, np.maximum(abs(x) + abs(y), 1.4 * np.maximum(abs(x), abs(y))) <= 30
    for name, mask in (
        ("disc", np.hypot(y, x) <= 43.2),
        ("ellipse", ellipse),
        ("lens", lens),
        ("diamond", diamond),
        ("octagon", octagon),
        ("square", np.maximum(abs(x), abs(y)) <= 9),
    ):
        _same_counts(engine, _labels(mask), name)
    for seed in range(4):
        blob = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(50, 60)), 4) > 0
        _same_counts(engine, _labels(blob), f"blobs {seed}")


def check_hull_extents(engine):
    """Hulls given as such, up to the longest: widths that float32 cannot tell apart, ties in and between lanes."""
    rng = np.random.default_rng(8)
    polygons = [
        [(0, 0), (30000, 50), (29999, 250), (59999, 300)],  # edges of 900002500 and 900002501 pixels^2
        [(59999, 0), (29999, 50), (30000, 250), (0, 300)],
        [(0, 0), (65536, 0), (0, 65536), (65536, 65536)],
        [(3, 0), (17, 0), (0, 2), (20, 2)],  # parallel edges of different length, equally wide
        # The same, 32 edges apart.
        [(0, 0), (40, 31), *((800 + 15 * r - r * (r - 1) // 2, r) for r in range(32))],
    ]
    for n, radius in ((40, 9), (300, 200), (2000, 32000)):
        angle = rng.random(n) * 2 * np.pi
        ring = np.rint(32768 + radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)).astype(int)
        polygons.append([tuple(point) for point in ring.tolist()])
    hulls = [plain_measure.convex_hull(points) for points in polygons]
    sides = [(hull[: 1 + k % len(hull)], hull[1 + k % len(hull) :]) for k, hull in enumerate(hulls, 1)]
    got = _extents(engine, sides)
    for k, hull in enumerate(hulls):
        wanted = (
            plain_measure._twice_area(hull),
            *plain_measure._longest_pair(hull),
            *plain_measure._narrowest_edge(hull),
        )
        same_bits(got[HULL_COLUMNS, k + 1], np.array(wanted, np.uint64), f"hull {k} of {len(hull)} vertices")
    assert (got[:, 0] == 7).all(), "an object before the group was touched"
    assert (got[: HULL_COLUMNS.start] == 7).all(), "other columns were touched"


def _extents(engine, sides):
    """Return the counts of hulls given as their two sides, which are the objects from the second one on."""
    room = np.array([1 + max(map(len, both)) for both in sides])
    offset = np.append(0, np.cumsum(room))
    chain = np.full((2 * offset[-1], 2), -(10**6), np.int32)
    for start, stop, (down, up) in zip(offset, offset[1:], sides, strict=False):
        chain[2 * start : 2 * start + len(down)] = down
        if up:
            chain[start + stop : start + stop + len(up)] = up
    length = np.array([len(side) for both in sides for side in both], np.int32)
    n = len(sides)
    counts = engine.to_device(np.full((len(COUNTS), n + 1), 7, np.uint64))
    place = [engine.to_device(each) for each in (chain, length, offset.astype(np.uint64))]
    with engine.cuda.here():
        engine.cuda.launch("measure.hull_extent", (-(-n // 4),), (128,), *place, n + 1, 1, n, counts)
    return engine.to_host(counts)


def check_random_labels(engine):
    """Random masks of several densities, touching objects among them, and thousands of specks."""
    rng = np.random.default_rng(5)
    for k, (density, shape) in enumerate(itertools.product((0.1, 0.4, 0.6, 0.9), ((17, 33), (24, 64)))):
        _same_counts(engine, _labels(rng.random(shape) < density, (8, 4)[k % 2]), f"density {density}")
    _same_counts(engine, _labels(np.indices((50, 80)).sum(axis=0) % 2 == 0, 4), "checkerboard")


def check_ids_in_pieces(engine):
    """Outside the contract, yet the same as the plain twin: sums of all pieces, outline of the first."""
    rng = np.random.default_rng(6)
    for _ in range(12):
        labels = _labels(rng.random((9, 37)) < 0.5)
        labels[labels > 2] = 2
        _same_counts(engine, labels, "two ids in pieces")
    apart = np.zeros((8, 9), np.int32)
    apart[0, 0], apart[2, 3:6], apart[7, 8] = 1, 2, 1
    _same_counts(engine, apart, "a pixel in two corners")


def check_tables(engine):
    """The verb itself: a table to the bit, and none for an image without objects or without pixels."""
    labels = _labels(ndimage.gaussian_filter(np.random.default_rng(7).normal(size=(60, 90)), 2) > 0.1)
    for image in (labels, np.zeros((5, 40), np.int32), np.zeros((0, 4), np.int32), np.zeros((4, 0), np.int32)):
        same_bits(engine.measure(engine.to_device(image)), plain_measure.measure_objects(image), str(image.shape))


def check_wrong_ids(engine):
    """Gaps, exchanged, negative and impossible ids are refused as by the plain twin; so is a side too long."""
    for ids in ([2, 0, 1], [1, 0, 3], [2, 0, 0], [0, -1, 1], [0, 2**31 - 1, 0], [1, 2, -7], [1, 3, 1]):
        labels = np.array([ids], np.int32)
        for measure in (plain_measure.measure_objects, lambda image: engine.measure(engine.to_device(image))):
            with pytest.raises(ValueError, match="raster order"):
                measure(labels)
    far = np.zeros((300, 90), np.int32)
    far[299, 89] = 2
    far[200, 40] = 3
    far[3, 3] = 1
    with pytest.raises(ValueError, match="raster order"):
        engine.measure(engine.to_device(far))
    with pytest.raises(ValueError, match="too large"):
        engine.measure(engine.to_device(np.zeros((1, MAX_SIDE + 1), np.int32)))


def check_long_row(engine):
    """Sums beyond 32 bits in the longest row."""
    row = np.zeros((3, MAX_SIDE), np.int32)
    row[0, 1:], row[2, -40:] = 1, 2
    _same_counts(engine, row, "long row")


def _tall_mask():
    """More rows than a grid has blocks along y; objects at both ends, one with a hole, one in the last row alone."""
    mask = np.zeros((MAX_SIDE, 7), bool)
    mask[7:12, 1], mask[-4:, 1:4], mask[-3, 2], mask[-1, 6] = True, True, False, True
    return mask


def check_tall_labels(engine):
    """Rows that the grid's blocks reach only on their second round."""
    for changes in ({"include_holes": True}, {"exclude_border": True}):
        _same_labels(engine, _tall_mask(), **changes)


def check_tall_counts(engine):
    """Rows that the grid's blocks reach only on their second round."""
    _same_counts(engine, _labels(_tall_mask()), "tall image")


def check_far_voxels(engine):
    """The last voxels of a volume of more than 2^31: no index may be cut to 32 bits. For kernels that g++ built."""
    planes, rows, columns = shape = (3, 20000, 36000)
    volume, voxels = sparse(shape, np.int32), prod(shape)
    volume[-1, -1, -37:-3] = 1
    survey = [engine.to_device(np.full(1, start, np.uint64)) for start in (0, 2**64 - 1, 0)]
    grid = (-(-columns // 256), planes * rows)
    launch_last(engine, "label.survey", grid, (256,), ndarray(volume), *shape, True, *survey, count=grid[0])
    found = [int(engine.to_host(each)[0]) for each in survey]
    assert found == [34, voxels - 37, 1], f"size, first voxel and border flag: {found}"
    labels, new_ids = sparse(shape, np.int32), engine.to_device(np.array([0, 9], np.int32))
    grid = (-(-voxels // 256),)
    launch_last(engine, "label.renumber", grid, (256,), ndarray(volume), new_ids, ndarray(labels), voxels)
    same_bits(labels[-1, -1, -40:], volume[-1, -1, -40:] * np.int32(9), "new ids")


def check_far_holes(engine):
    """The same for the complement of a mask and its filled holes. For kernels that g++ built."""
    shape = (1, 12000, 180000)
    padded = tuple(n + 2 for n in shape[1:])
    mask, outside = sparse(shape, np.bool_), sparse(padded, np.bool_)
    mask[0, -1, -40:] = np.arange(40) % 3 > 0
    blocks = -(-padded[1] // 256)
    launch_last(
        engine,
        "label.outside",
        (blocks, padded[0]),
        (256,),
        ndarray(mask),
        *shape,
        0,
        ndarray(outside),
        count=2 * blocks,
    )
    same_bits(outside[-2, -41:-1], ~mask[0, -1, -40:], "complement")
    assert outside[-2:, -1].all(), "complement beyond the last column"
    assert outside[-1, -40:].all(), "complement below the last row"
    found, filled = sparse(padded, np.int32), sparse(shape, np.bool_)
    found[0, 0], found[-2, -41:-1] = 1, np.arange(40) % 3
    blocks = -(-shape[2] // 256)
    launch_last(
        engine, "label.fill_holes", (blocks, shape[1]), (256,), ndarray(found), *shape, 0, ndarray(filled), count=blocks
    )
    same_bits(filled[0, -1, -40:], np.arange(40) % 3 != 1, "filled")


def check_far_pixels(engine):
    """An object in the far corner of an image of nearly 2^32 pixels. For kernels that g++ built."""
    rows, columns = shape = (MAX_SIDE - 1, MAX_SIDE)
    image = sparse(shape, np.int32)
    image[-3:, -41:-1] = 1
    image[-2, -30] = 0
    labels, grid = ndarray(image), (columns // 256, rows)
    first = engine.to_device(np.full(1, 2**64 - 1, np.uint64))
    counts = engine.to_device(np.zeros((len(COUNTS), 1), np.uint64))
    extremes = engine.to_device(np.zeros(2, np.int32))
    launch_last(engine, "measure.id_range", grid, (256,), labels, *shape, extremes, count=3 * grid[0])
    assert engine.to_host(extremes).tolist() == [0, 1], "extreme ids"
    launch_last(engine, "measure.first_pixels", grid, (256,), labels, *shape, first, count=3 * grid[0])
    assert int(engine.to_host(first)[0]) == (rows - 3) * columns + columns - 41, "first pixel"
    engine.cuda.launch("measure.begin_counts", (1,), (256,), first, 1, columns, counts)
    launch_last(engine, "measure.add_runs", grid, (256,), labels, *shape, 1, counts, count=3 * grid[0])
    with engine.cuda.here():
        device_measure._add_shapes(engine.cuda, labels, counts)
    same_bits(
        engine.to_host(counts)[:, 0].astype(np.int64), _counts_of(image[-3:, -45:], rows - 3, columns - 45), "far"
    )


def _counts_of(labels, down, right):
    """Return the counts of the one object of a crop, moved to its place in the whole image."""
    counts = plain_measure.count_shapes(np.ascontiguousarray(labels))[0]
    ys, xs = (places.astype(np.int64) + shift for places, shift in zip(np.nonzero(labels), (down, right), strict=True))
    sums = {"sx": xs, "sy": ys, "sxx": xs * xs, "syy": ys * ys, "sxy": xs * ys}
    for i, name in enumerate(COUNTS):
        if name in sums:
            counts[i] = sums[name].sum()
        elif name.startswith(("x_", "y_", "feret_")):
            counts[i] += right if name.removeprefix("feret_")[0] == "x" else down
    return counts
