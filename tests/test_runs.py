"""Components and measurement from packed bits and in 3D: against the slow twins, SciPy and scikit-image."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage
from skimage.measure import regionprops_table

from compdistort.backend.base import MEASURE_COLUMNS, VOLUME_COLUMNS, SegmentRule
from compdistort.backend.compiled import components, runs
from compdistort.backend.compiled import label as compiled_label
from compdistort.backend.compiled import measure as compiled
from compdistort.backend.compiled.bits import pack_mask
from compdistort.backend.plain import label as plain_label
from compdistort.backend.plain import measure as plain
from compdistort.errors import ConfigError, ResourceError
from compdistort.measure import measure_objects

CONNECTIVITY = {2: (4, 8), 3: (6, 18, 26)}
SIDES = (1, 2, 31, 33, 63, 64, 65, 127, 128, 129)


def _rule(**changes):
    return SegmentRule(foreground=0, **{"connectivity": 8, **changes})


@st.composite
def rules(draw, ndim):
    return _rule(
        connectivity=draw(st.sampled_from(CONNECTIVITY[ndim])),
        include_holes=draw(st.booleans()),
        min_size=draw(st.integers(1, 4)),
        max_size=draw(st.sampled_from([0, 0, 6, 200])),
        exclude_border=draw(st.booleans()),
    )


@st.composite
def masks_and_rules(draw):
    """Masks of any density and of widths about the length of a word, and any rule."""
    ndim = draw(st.sampled_from([2, 3]))
    lead = draw(hnp.array_shapes(min_dims=ndim - 1, max_dims=ndim - 1, max_side=12 if ndim == 2 else 5))
    noise = np.random.default_rng(draw(st.integers(0, 2**32 - 1))).random((*lead, draw(st.sampled_from(SIDES))))
    return noise < draw(st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.6, 0.8, 0.95, 1.0])), draw(rules(ndim))


def _same_as_twins(mask, rule):
    labels = plain_label.label_mask(mask, rule)
    found, table = runs.objects_from_bits(pack_mask(mask), mask.shape, rule, True)
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, labels)
    np.testing.assert_array_equal(compiled_label.label_mask(mask, rule), labels)
    np.testing.assert_array_equal(table, plain.measure_objects(labels))
    np.testing.assert_array_equal(compiled.measure_objects(labels), table)


@settings(deadline=None)
@given(masks_and_rules())
def test_objects_are_those_of_the_twins(case):
    _same_as_twins(*case)


def _spiral(side):
    """A path two pixels apart from itself that winds inwards: one object whose box holds its own background."""
    mask = np.zeros((side, side), bool)
    y, x, dy, dx = 0, 0, 0, 1
    mask[0, 0] = True
    while True:
        for _ in range(2):
            ahead, beyond = (y + dy, x + dx), (y + 2 * dy, x + 2 * dx)
            inside = 0 <= ahead[0] < side and 0 <= ahead[1] < side
            free = not (0 <= beyond[0] < side and 0 <= beyond[1] < side and mask[beyond])
            if inside and free and not mask[ahead]:
                break
            dy, dx = dx, -dy
        else:
            return mask
        y, x = ahead
        mask[y, x] = True


def _shape_2d(name):
    y, x = np.indices((67, 130))
    return {
        "empty": x < 0,
        "full": x >= 0,
        "pixel": (x == 64) & (y == 3),
        "corners": np.isin(x, (0, 129)) & np.isin(y, (0, 66)),
        "frame": (x == 0) | (x == 129) | (y == 0) | (y == 66),
        "columns": x % 2 == 0,
        "rows": y % 2 == 1,
        "checkerboard": (x + y) % 2 == 0,
        "other checkerboard": (x + y) % 2 == 1,
        "diagonals": (x + y) % 3 == 0,
        "spiral": _spiral(70),
        "other spiral": ~_spiral(70),
        "rings": np.hypot(x - 65, y - 33).astype(int) % 4 < 2,
        "comb": (x % 2 == 0) | (y == 66),
        "hanging comb": (x % 2 == 0) | (y == 0),
    }[name]


SHAPES_2D = (
    "empty", "full", "pixel", "corners", "frame", "columns", "rows", "checkerboard", "other checkerboard", "diagonals",
    "spiral", "other spiral", "rings", "comb", "hanging comb",
)  # fmt: skip


@pytest.mark.parametrize("holes", [False, True], ids=["open", "filled"])
@pytest.mark.parametrize("connectivity", CONNECTIVITY[2])
@pytest.mark.parametrize("name", SHAPES_2D)
def test_drawn_shapes(name, connectivity, holes):
    mask = _shape_2d(name)
    _same_as_twins(mask, _rule(connectivity=connectivity, include_holes=holes))


@pytest.mark.parametrize("exclude_border", [False, True])
@pytest.mark.parametrize("connectivity", CONNECTIVITY[3])
@pytest.mark.parametrize("name", ["full", "shell", "checkerboard", "planes", "edges", "beside", "cage"])
def test_drawn_volumes(name, connectivity, exclude_border):
    z, y, x = np.indices((7, 9, 66))
    middle = (abs(z - 3) <= 2) & (abs(y - 4) <= 2) & (abs(x - 33) <= 31)
    mask = {
        "full": x >= 0,
        "shell": middle & ~((abs(z - 3) <= 1) & (abs(y - 4) <= 1) & (abs(x - 33) <= 30)),
        "checkerboard": (x + y + z) % 2 == 0,
        "planes": z % 2 == 0,
        "edges": ((z == 2) & (y == 4)) | ((z == 3) & (y == 5)) | ((z == 3) & (y == 3)),
        "beside": ((z == 2) & (y == 4) & (x < 20)) | ((z == 3) & (y == 5) & (x >= 20)),
        "cage": middle & ((x % 3 == 0) | (y % 3 == 0)),
    }[name]
    rule = _rule(connectivity=connectivity, include_holes=True, exclude_border=exclude_border)
    _same_as_twins(mask, rule)
    _same_as_twins(np.ascontiguousarray(mask.T), rule)


def test_comparison_can_fail():
    """Negative control: another connectivity gives other objects, in 2D and 3D."""
    mask = np.random.default_rng(1).random((40, 70)) < 0.4
    n = [len(runs.objects_from_bits(pack_mask(mask), mask.shape, _rule(connectivity=c), False)[1]) for c in (4, 8)]
    assert n[0] > n[1]
    mask = np.random.default_rng(1).random((8, 9, 70)) < 0.2
    rules_3d = [_rule(connectivity=c) for c in CONNECTIVITY[3]]
    n = [len(runs.objects_from_bits(pack_mask(mask), mask.shape, rule, False)[1]) for rule in rules_3d]
    assert n[0] > n[1] > n[2]


@settings(deadline=None)
@given(hnp.arrays(np.bool_, st.tuples(st.integers(0, 3), st.integers(0, 4), st.sampled_from((0, *SIDES)))))
def test_packed_bits_unpack(mask):
    bits = pack_mask(mask)
    pixels = np.unpackbits(bits.astype("<u8").view(np.uint8), bitorder="little").astype(bool)
    pixels = pixels.reshape(mask.shape[0] * mask.shape[1], bits.shape[1] * 64)
    np.testing.assert_array_equal(pixels[:, : mask.shape[2]].reshape(mask.shape), mask)
    assert not pixels[:, mask.shape[2] :].any()


@settings(deadline=None)
@given(masks_and_rules())
def test_bits_beyond_the_columns_do_not_matter(case):
    mask, rule = case
    bits = pack_mask(mask)
    dirty = bits.copy()
    if mask.shape[-1] % 64:
        dirty[:, -1] |= ~np.uint64(0) << np.uint64(mask.shape[-1] % 64)
    before = dirty.copy()
    clean_labels, clean_table = runs.objects_from_bits(bits, mask.shape, rule, True)
    labels, table = runs.objects_from_bits(dirty, mask.shape, rule, True)
    np.testing.assert_array_equal(labels, clean_labels)
    np.testing.assert_array_equal(table, clean_table)
    np.testing.assert_array_equal(dirty, before)


@pytest.mark.parametrize("shape", [(0, 5), (4, 0), (2, 0, 3), (0, 3, 3), (2, 3, 0)])
def test_no_pixels_give_no_objects(shape):
    rule = _rule(connectivity=8 if len(shape) == 2 else 6, include_holes=True, exclude_border=True)
    labels, table = runs.objects_from_bits(pack_mask(np.zeros(shape, bool)), shape, rule, True)
    assert labels.shape == shape
    assert table.shape == (0, len(MEASURE_COLUMNS if len(shape) == 2 else VOLUME_COLUMNS))


def test_wrong_arguments_are_refused():
    bits = np.zeros((4, 2), np.uint64)
    with pytest.raises(ConfigError, match="connectivity 6 does not belong"):
        runs.objects_from_bits(bits, (4, 70), _rule(connectivity=6), False)
    with pytest.raises(ValueError, match=r"bits has shape \(4, 2\); a mask of shape \(4, 64\) takes \(4, 1\)"):
        runs.objects_from_bits(bits, (4, 64), _rule(), False)
    with pytest.raises(TypeError, match="bits must be uint64, not int64"):
        runs.objects_from_bits(bits.view(np.int64), (4, 70), _rule(), False)
    with pytest.raises(ValueError, match="too large to measure"):
        runs.objects_from_bits(np.zeros((1, 1025), np.uint64), (1, 65537), _rule(), False)


def test_more_runs_than_can_be_counted_are_refused(monkeypatch):
    monkeypatch.setattr(components, "MAX_RUNS", 35)
    mask = _shape_2d("columns")[:1, :70]
    with pytest.raises(ResourceError, match="70 columns and 35 runs of pixels: at most 35"):
        runs.objects_from_bits(pack_mask(mask), mask.shape, _rule(), False)


def test_an_image_of_many_objects_with_wide_boxes():
    """A thousand diagonals, each with a box as large as the image: linear in runs, or this takes minutes."""
    y, x = np.indices((2000, 2000), np.int32)
    mask = (x + y) % 4 == 0
    table = runs.objects_from_bits(pack_mask(mask), mask.shape, _rule(), False)[1]
    assert len(table) == 1000
    assert table[:, MEASURE_COLUMNS.index("Area")].sum() == np.count_nonzero(mask)


def test_threads_do_not_disturb_each_other():
    noise = [ndimage.gaussian_filter(np.random.default_rng(s).normal(size=(150, 201)), 2) for s in range(6)]
    packed = [pack_mask(each > 0.1) for each in noise]
    rule = _rule(include_holes=True, min_size=3)

    def work(bits):
        return runs.objects_from_bits(bits, (150, 201), rule, True)

    alone = [work(bits) for bits in packed]
    for threads in (2, 3):
        with ThreadPoolExecutor(threads) as pool:
            together = list(pool.map(work, packed * 3))
        for (labels, table), (other_labels, other_table) in zip(alone * 3, together, strict=True):
            np.testing.assert_array_equal(labels, other_labels)
            np.testing.assert_array_equal(table, other_table)


def _blobs_3d(seed=2, shape=(40, 50, 66)):
    field = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 1.7)
    return field > np.quantile(field, 0.85)


def _column(table, name):
    return table[:, VOLUME_COLUMNS.index(name)]


def test_volumes_are_those_of_scikit_image(backend):
    """Volume and box exactly, centres to the rounding of a mean."""
    mask = _blobs_3d()
    labels, n = ndimage.label(mask, np.ones((3, 3, 3)), output=np.int32)
    table = backend.measure(backend.to_device(labels))
    assert table.shape == (n, len(VOLUME_COLUMNS))
    assert n > 50
    theirs = regionprops_table(labels, properties=("area", "centroid", "bbox"))
    np.testing.assert_array_equal(_column(table, "Volume"), theirs["area"])
    centres = ndimage.center_of_mass(mask, labels, np.arange(1, n + 1))
    for axis, (name, extent) in enumerate((("Z", "Depth"), ("Y", "Height"), ("X", "Width"))):
        np.testing.assert_allclose(_column(table, f"{name}M"), theirs[f"centroid-{axis}"] + 0.5, rtol=1e-12)
        np.testing.assert_allclose(_column(table, f"{name}M"), [c[axis] + 0.5 for c in centres], rtol=1e-12)
        np.testing.assert_array_equal(_column(table, f"B{name}"), theirs[f"bbox-{axis}"])
        size = theirs[f"bbox-{axis + 3}"] - theirs[f"bbox-{axis}"]
        np.testing.assert_array_equal(_column(table, extent), size)
    first = np.unique(labels, return_index=True)[1][1:]
    starts = np.stack([_column(table, f"{name}Start") for name in "ZYX"])
    np.testing.assert_array_equal(starts, np.unravel_index(first, mask.shape))


def test_volume_comparison_can_fail():
    """Negative control: mirrored planes have other centres."""
    labels, _ = ndimage.label(_blobs_3d(), output=np.int32)
    mirrored, _ = ndimage.label(_blobs_3d()[::-1], output=np.int32)
    ours, theirs = compiled.measure_objects(labels), compiled.measure_objects(mirrored)
    np.testing.assert_array_equal(np.sort(_column(ours, "Volume")), np.sort(_column(theirs, "Volume")))
    assert not np.allclose(np.sort(_column(ours, "ZM")), np.sort(_column(theirs, "ZM")), rtol=1e-9)


@pytest.mark.parametrize("engine", [plain, compiled], ids=["plain", "compiled"])
@pytest.mark.parametrize("ids", [[2, 0, 1], [1, 0, 3], [2, 0, 0], [0, -1, 1], [0, 2**31 - 1, 0]])
def test_ids_of_a_volume_must_be_in_raster_order(engine, ids):
    with pytest.raises(ValueError, match="raster order"):
        engine.measure_objects(np.array([[ids]], np.int32))


@pytest.mark.parametrize("engine", [plain, compiled], ids=["plain", "compiled"])
def test_a_volume_may_have_long_sides(engine):
    labels = np.zeros((1, 2, 70_001), np.int32)
    labels[0, 1, 1:] = 1
    table = engine.measure_objects(labels)
    assert _column(table, "XM").tolist() == [35_001]
    assert _column(table, "Volume").tolist() == [70_000]


def test_the_object_table_of_an_image_is_2d(cpu_backend):
    with pytest.raises(ValueError, match="labels must have 2 axes"):
        measure_objects(np.zeros((2, 3, 4), np.int32), cpu_backend)
    with pytest.raises(ValueError, match="labels must have 2 or 3 axes"):
        cpu_backend.measure(np.zeros(4, np.int32))
