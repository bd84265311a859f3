"""Object measurement against ImageJ, against its slow twin, and against what geometry demands."""

import csv
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage, spatial
from skimage.measure import regionprops_table

from compdistort.backend.base import MEASURE_COLUMNS, PARAMETERS
from compdistort.backend.compiled import measure as compiled
from compdistort.backend.plain import measure as plain
from compdistort.backend.shape import COUNTS, MAX_SIDE, table_from_counts
from compdistort.cli import main
from compdistort.errors import ConfigError, InputError
from compdistort.measurands import PARAMETER_INFO, PLANAR
from compdistort.measure import ObjectTable, measure_objects, object_table_csv
from compdistort.pipeline.measurement import MeasureOptions, column_means, renumber

ORACLE = Path(__file__).parent / "oracle" / "imagej"
MASKS = ("m1_tiny", "m2_blobs_small", "m3_blobs_large", "m4_holes", "m5_shapes", "m6_aggregates", "m7_border")
POSITIONS = ("XStart", "YStart", "XM", "YM", "FeretX", "FeretY", "X", "Y", "BX", "BY")
EIGHT = np.ones((3, 3), bool)
COLUMN = {name: i for i, name in enumerate(MEASURE_COLUMNS)}

masks = arrays(np.bool_, st.tuples(st.integers(1, 14), st.integers(1, 14)))
both_engines = pytest.mark.parametrize("engine", [plain, compiled], ids=["plain", "compiled"])


def _label(mask, structure=EIGHT):
    return ndimage.label(mask, structure, output=np.int32)[0]


def _read_mask(path):
    return imagecodecs.png_decode(path.read_bytes()) > 0


def _read_table(path):
    with path.open() as file:
        rows = list(csv.DictReader(file))
    return np.array([[float(row[name]) for name in MEASURE_COLUMNS] for row in rows])


def _blobs(shape=(160, 140), sigma=2.2, share=0.3, seed=5):
    field = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), sigma)
    return field > np.quantile(field, 1 - share)


def _check_against_imagej(backend, folder, name, holes):
    mask = _read_mask(folder / "masks" / f"{name}.png")
    expected = _read_table(folder / "measurements" / f"{name}{'_include_holes' if holes else ''}.csv")
    labels = _label(ndimage.binary_fill_holes(mask) if holes else mask)
    np.testing.assert_allclose(measure_objects(labels, backend).values, expected, rtol=1e-9, atol=0)


@pytest.mark.parametrize("holes", [False, True], ids=["open", "filled"])
@pytest.mark.parametrize("name", MASKS)
def test_equals_imagej(backend, name, holes):
    """All 19 parameters and the positions, 1e-9 relative and nothing absolute: 0 against 180 degrees would fail."""
    _check_against_imagej(backend, ORACLE, name, holes)


@pytest.mark.data
@pytest.mark.parametrize("holes", [False, True], ids=["open", "filled"])
def test_equals_imagej_on_coins(backend, shared_oracle, holes):
    _check_against_imagej(backend, shared_oracle / "imagej", "m8_coins", holes)


def test_oracle_comparison_can_fail(backend):
    """Negative control: a mirrored object has other angles, and often another perimeter (the walk starts elsewhere)."""
    mask = _read_mask(ORACLE / "masks" / "m2_blobs_small.png")
    ours = measure_objects(_label(mask), backend)
    mirrored = measure_objects(_label(mask[:, ::-1]), backend)
    for name in ("Angle", "FeretAngle", "Perim."):
        assert not np.allclose(np.sort(ours[name]), np.sort(mirrored[name]), rtol=1e-9)
    np.testing.assert_array_equal(np.sort(ours["Area"]), np.sort(mirrored["Area"]))


@given(masks, st.sampled_from([EIGHT, ndimage.generate_binary_structure(2, 1)]))
@settings(deadline=None)
def test_twins_agree_to_the_bit(mask, structure):
    labels = _label(mask, structure)
    np.testing.assert_array_equal(compiled.count_shapes(labels), plain.count_shapes(labels))
    np.testing.assert_array_equal(compiled.measure_objects(labels), plain.measure_objects(labels))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_twins_agree_on_blobs(share):
    labels = _label(_blobs(share=share))
    np.testing.assert_array_equal(compiled.measure_objects(labels), plain.measure_objects(labels))


@given(st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=25)
def test_twins_agree_on_ids_in_pieces(seed):
    """Outside the contract (the outline is that of the first piece), yet safe and the same from both."""
    noise = np.random.default_rng(seed).integers(0, 4, (9, 7))
    labels = renumber(Path("x"), _label(noise > 0))
    labels[labels > 2] = 2
    np.testing.assert_array_equal(compiled.count_shapes(labels), plain.count_shapes(labels))


@given(masks, st.integers(0, 40), st.integers(0, 40))
@settings(deadline=None, max_examples=40)
def test_shape_does_not_depend_on_place(mask, down, right):
    here = compiled.measure_objects(_label(mask))
    there = compiled.measure_objects(_label(np.pad(mask, ((down, 3), (right, 0)))))
    for name, column in COLUMN.items():
        shift = (right if "X" in name else down) if name in POSITIONS else 0
        if shift:
            np.testing.assert_allclose(there[:, column], here[:, column] + shift, rtol=1e-13)
        else:
            np.testing.assert_array_equal(there[:, column], here[:, column])


@given(masks)
@settings(deadline=None, max_examples=60)
def test_parameters_obey_geometry(mask):
    table = ObjectTable(compiled.measure_objects(_label(mask)))
    area, width, height = table["Area"], table["Width"], table["Height"]
    for name in ("Solidity", "Extent", "Circ."):
        assert np.all((table[name] > 0) & (table[name] <= 1))
    for name in ("Angle", "FeretAngle"):
        assert np.all((table[name] >= 0) & (table[name] < 180 + 1e-9))
    assert np.all(table["Major"] >= table["Minor"])
    assert np.all(table["Feret"] <= np.hypot(width, height) + 1e-12)
    assert np.all(table["MinFeret"] <= np.minimum(width, height) + 1e-12)
    assert np.all(table["Perim."] >= 2.8)
    np.testing.assert_allclose(np.pi / 4 * table["Major"] * table["Minor"], area, rtol=1e-9)
    np.testing.assert_allclose(table["Compact"] ** 2 * table["AR"], 1, rtol=1e-9)
    np.testing.assert_allclose(table["Round"] * table["AR"], 1, rtol=1e-9)


@given(masks)
@settings(deadline=None, max_examples=40)
def test_hull_and_feret_are_those_of_the_pixel_corners(mask):
    """SciPy's hull (Qhull) of all pixel corners, and projections on every edge's normal."""
    labels = _label(mask)
    table = ObjectTable(compiled.measure_objects(labels))
    for i in range(len(table)):
        ys, xs = np.nonzero(labels == i + 1)
        corners = np.unique(np.concatenate([np.c_[xs + a, ys + b] for a in (0, 1) for b in (0, 1)]), axis=0)
        hull = spatial.ConvexHull(corners)
        assert table["Solidity"][i] == pytest.approx(len(xs) / hull.volume, rel=1e-12)
        assert table["Feret"][i] == pytest.approx(spatial.distance.pdist(corners).max(), rel=1e-12)
        widths = np.ptp(corners @ hull.equations[:, :2].T, axis=0)
        assert table["MinFeret"][i] == pytest.approx(widths.min(), rel=1e-12)


def test_sums_are_those_of_scipy():
    labels = _label(_blobs())
    table = ObjectTable(compiled.measure_objects(labels))
    ids = np.arange(1, len(table) + 1)
    np.testing.assert_array_equal(table["Area"], ndimage.sum_labels(labels > 0, labels, ids))
    centres = np.array(ndimage.center_of_mass(labels > 0, labels, ids))[:, ::-1] + 0.5
    np.testing.assert_allclose(table.centres, centres, rtol=1e-12)
    boxes = [
        (b[1].start, b[0].start, b[1].stop - b[1].start, b[0].stop - b[0].start) for b in ndimage.find_objects(labels)
    ]
    np.testing.assert_array_equal(np.stack([table[n] for n in ("BX", "BY", "Width", "Height")], axis=1), boxes)
    assert np.all(labels[table["YStart"].astype(int), table["XStart"].astype(int)] == ids)


def test_agrees_with_scikit_image_where_definitions_do():
    labels = _label(_blobs())
    table = ObjectTable(compiled.measure_objects(labels))
    wanted = [p.skimage for p in PARAMETER_INFO.values() if p.skimage]
    wanted.append("inertia_tensor_eigvals")
    theirs = regionprops_table(labels, properties=sorted({name.split("-")[0] for name in wanted}))
    for p in PARAMETER_INFO.values():
        if p.skimage_offset is not None:
            np.testing.assert_allclose(table[p.column], theirs[p.skimage] + p.skimage_offset, rtol=1e-12)
        elif p.skimage:
            assert not np.allclose(table[p.column], theirs[p.skimage], rtol=1e-6)
    body = (table["Width"] > 1) & (table["Height"] > 1)
    # scikit-image treats pixels as points, ImageJ as unit squares (variance 1/12); the direction is the same.
    ratio = np.sqrt((theirs["inertia_tensor_eigvals-0"] + 1 / 12) / (theirs["inertia_tensor_eigvals-1"] + 1 / 12))
    np.testing.assert_allclose(table["AR"][body], ratio[body], rtol=1e-6)
    long = body & (table["AR"] > 1.05)
    angle = 90 + np.degrees(theirs["orientation"])
    np.testing.assert_allclose((table["Angle"] - angle + 90)[long] % 180, 90, atol=1e-3)


@both_engines
def test_one_pixel(engine):
    table = ObjectTable(engine.measure_objects(np.pad(np.ones((1, 1), np.int32), ((2, 0), (1, 3)))))
    # Both diagonals are equally long: the first in hull order runs down from the top left corner.
    expected = {
        "XStart": 1, "YStart": 2, "Area": 1, "XM": 1.5, "YM": 2.5, "Perim.": 2 * np.sqrt(2), "Circ.": 1, "Angle": 0,
        "Feret": np.sqrt(2), "FeretX": 1, "FeretY": 2, "FeretAngle": 135, "MinFeret": 1, "FeretAR": np.sqrt(2), "AR": 1,
    }  # fmt: skip
    for name, value in expected.items():
        assert table[name][0] == pytest.approx(value, rel=1e-12), name


@both_engines
@pytest.mark.parametrize("size", [2, 3, 10])
def test_square_that_fills_the_image(engine, size):
    table = ObjectTable(engine.measure_objects(np.ones((size, size), np.int32)))
    assert table["Perim."][0] == pytest.approx(4 * size - 4 * (2 - np.sqrt(2)))
    assert table["Extent"][0] == table["Solidity"][0] == 1
    assert table["MinFeret"][0] == size


@both_engines
@pytest.mark.parametrize("shape", [(1, 9), (9, 1)], ids=["row", "column"])
def test_line_that_fills_the_image(engine, shape):
    table = ObjectTable(engine.measure_objects(np.ones(shape, np.int32)))
    assert table["Angle"][0] == (0 if shape[1] > 1 else 90)
    assert table["Major"][0] == pytest.approx(2 * 9 / np.sqrt(np.pi), rel=1e-9)
    assert (table["Feret"][0], table["MinFeret"][0]) == (pytest.approx(np.sqrt(82)), 1)


@both_engines
def test_diagonal_line_is_one_object(engine):
    table = ObjectTable(engine.measure_objects(_label(np.eye(6, dtype=bool))))
    assert len(table) == 1
    assert table["Angle"][0] == pytest.approx(135, abs=1e-4)
    assert table["FeretAngle"][0] == 135


@both_engines
@pytest.mark.parametrize("shape", [(5, 7), (0, 4), (4, 0)])
def test_no_objects_give_no_rows(engine, shape):
    assert engine.measure_objects(np.zeros(shape, np.int32)).shape == (0, len(MEASURE_COLUMNS))


@both_engines
@pytest.mark.parametrize("ids", [[2, 0, 1], [1, 0, 3], [2, 0, 0], [0, -1, 1], [0, 2**31 - 1, 0], [1, 2, -7]])
def test_ids_must_be_in_raster_order(engine, ids):
    with pytest.raises(ValueError, match="raster order"):
        engine.measure_objects(np.array([ids], np.int32))


@both_engines
def test_images_that_could_overflow_are_refused(engine):
    with pytest.raises(ValueError, match="too large"):
        engine.measure_objects(np.zeros((1, MAX_SIDE + 1), np.int32))


@pytest.mark.parametrize("axis", [0, 1])
def test_far_corner_of_the_largest_image(axis):
    shape = (MAX_SIDE, 5) if axis == 0 else (5, MAX_SIDE)
    far = np.zeros(shape, np.int32)
    far[-4:, -4:] = np.tri(4, dtype=np.int32)
    near = np.ascontiguousarray(far[-5:, -5:])
    shapes = [i for name, i in COLUMN.items() if name not in POSITIONS]
    np.testing.assert_array_equal(compiled.measure_objects(far)[:, shapes], plain.measure_objects(near)[:, shapes])


def test_largest_object_does_not_overflow():
    """A square of 65536 pixels a side: its sums come from closed forms, in exact Python integers."""
    n, s1, s2 = MAX_SIDE, MAX_SIDE * (MAX_SIDE - 1) // 2, MAX_SIDE * (MAX_SIDE - 1) * (2 * MAX_SIDE - 1) // 6
    q = dict.fromkeys(COUNTS, 0) | {
        "area": n * n, "sx": n * s1, "sy": n * s1, "sxx": n * s2, "syy": n * s2, "sxy": s1 * s1,
        "x_max": n - 1, "y_max": n - 1, "steps": 4 * n, "corners": 4, "hull_area2": 2 * n * n,
        "feret_x2": n, "feret_y2": n, "width_cross": n * n, "width_len2": n * n,
    }  # fmt: skip
    table = ObjectTable(table_from_counts(np.array([[q[name] for name in COUNTS]], np.int64)))
    assert table["Major"][0] == pytest.approx(2 * n / np.sqrt(np.pi), rel=1e-9)
    assert table["AR"][0] == pytest.approx(1, rel=1e-9)
    assert table["XM"][0] == n / 2


def test_a_row_does_not_depend_on_the_others():
    """Vectorised arctan and sine must give an object the same bits in a table of one and of hundreds."""
    counts = compiled.count_shapes(_label(_blobs()))
    alone = np.concatenate([table_from_counts(counts[i : i + 1]) for i in range(len(counts))])
    np.testing.assert_array_equal(alone, table_from_counts(counts))


def test_threads_do_not_disturb_each_other():
    images = [_label(_blobs(seed=seed)) for seed in range(6)]
    alone = [compiled.measure_objects(labels) for labels in images]
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(compiled.measure_objects, images))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other)


def test_parameters_are_described_in_order():
    assert tuple(PARAMETER_INFO) == PARAMETERS
    assert {p.step for p in PARAMETER_INFO.values() if p.kind == "ratio"} == {0.0}
    assert [name for name, p in PARAMETER_INFO.items() if p.kind == "angle-axial"] == ["Angle", "FeretAngle"]
    assert PARAMETER_INFO["Area"].unit == "px^2"


def test_totals():
    values = compiled.measure_objects(_label(_blobs()))
    count, area, mean = PLANAR.totals_of(values)
    assert (count, area) == (len(values), _blobs().sum())
    assert mean == area / count
    assert np.isnan(PLANAR.totals_of(values[:0])[2])


def test_csv_reads_back_to_the_bit(tmp_path):
    table = ObjectTable(compiled.measure_objects(_label(_blobs())))
    path = tmp_path / "t.csv"
    path.write_text(object_table_csv(table))
    np.testing.assert_array_equal(_read_table(path), table.values)
    lines = path.read_text().splitlines()
    assert lines[0].split(",") == ["row", *MEASURE_COLUMNS]
    assert all(line.split(",")[3].isdigit() for line in lines[1:])


def _write_png(path, image):
    path.write_bytes(imagecodecs.png_encode(np.ascontiguousarray(image)))
    return str(path)


@pytest.mark.parametrize("holes", [False, True], ids=["open", "filled"])
def test_command_writes_the_table_of_imagej(tmp_path, capsys, holes):
    out = tmp_path / "objects.csv"
    flags = ["--include-holes"] if holes else []
    assert main(["measure", str(ORACLE / "masks" / "m4_holes.png"), *flags, "-o", str(out), "--json"]) == 0
    expected = _read_table(ORACLE / "measurements" / f"m4_holes{'_include_holes' if holes else ''}.csv")
    np.testing.assert_allclose(_read_table(out), expected, rtol=1e-9, atol=0)
    result = json.loads(capsys.readouterr().out)
    assert result["objects"] == len(expected)
    assert result["means"]["Perim."] == pytest.approx(expected[:, COLUMN["Perim."]].mean())
    assert list(tmp_path.iterdir()) == [out]


def test_command_says_that_there_are_no_objects(tmp_path, capsys):
    out = tmp_path / "objects.csv"
    assert main(["measure", _write_png(tmp_path / "m.png", np.zeros((6, 7), np.uint8)), "-o", str(out)]) == 0
    assert "no objects" in capsys.readouterr().out
    assert out.read_text() == ",".join(("row", *MEASURE_COLUMNS)) + "\n"


def test_command_drops_small_objects(tmp_path, capsys):
    mask = np.zeros((9, 9), np.uint8)
    mask[0, 0] = mask[4:7, 4:7] = 255
    source, out = _write_png(tmp_path / "m.png", mask), str(tmp_path / "o.csv")
    assert main(["measure", source, "--min-size", "2", "-o", out]) == 0
    assert "1 objects, total area 9 px^2" in capsys.readouterr().out
    mask[0, 0] = 7
    assert main(["measure", _write_png(tmp_path / "l.png", mask), "--labels", "--min-size", "2", "-o", out]) == 0
    assert "1 objects, total area 9 px^2" in capsys.readouterr().out


def test_command_measures_touching_labels_apart(tmp_path):
    labels = np.zeros((6, 8), np.uint8)
    labels[1:3, 1:4], labels[1:3, 4:6], labels[4, 2] = 9, 4, 200
    source, out = _write_png(tmp_path / "l.png", labels), tmp_path / "o.csv"
    assert main(["measure", source, "--labels", "-o", str(out)]) == 0
    table = ObjectTable(_read_table(out))
    np.testing.assert_array_equal(table["Area"], [6, 4, 1])
    np.testing.assert_array_equal(labels[table["YStart"].astype(int), table["XStart"].astype(int)], [9, 4, 200])


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4, 3), np.uint8),
        np.arange(16, dtype=np.uint8).reshape(4, 4),
        np.full((4, 4), np.nan, np.float32),
        np.zeros((3, 4, 4), np.uint8),
    ],
    ids=["rgb", "labels without --labels", "nan", "three planes"],
)
def test_command_refuses_what_is_no_mask(tmp_path, capsys, image):
    tifffile.imwrite(tmp_path / "m.tif", image, photometric="rgb" if image.shape[-1] == 3 else "minisblack")
    assert main(["measure", str(tmp_path / "m.tif"), "-o", str(tmp_path / "o.csv")]) == 3
    (message,) = (line for line in capsys.readouterr().err.splitlines() if not line.startswith("engine: "))
    assert "m.tif" in message
    assert [p.name for p in tmp_path.iterdir()] == ["m.tif"]


def test_command_leaves_nothing_where_it_cannot_write(tmp_path, capsys):
    source = _write_png(tmp_path / "m.png", np.eye(5, dtype=np.uint8))
    assert main(["measure", source, "-o", str(tmp_path / "none" / "o.csv")]) == 4
    assert "o.csv" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["m.png"]


def test_mean_of_angles_is_axial():
    values = np.zeros((2, len(MEASURE_COLUMNS)))
    values[:, COLUMN["Angle"]], values[:, COLUMN["Area"]] = [178, 4], [1, 4]
    means = column_means(ObjectTable(values))
    assert (means["Angle"], means["Area"]) == (pytest.approx(1), 2.5)


def test_renumber_refuses_an_object_in_pieces():
    labels = np.array([[5, 0, 5], [0, 0, 0], [3, 3, 0]], np.uint16)
    with pytest.raises(InputError, match=r"label 5 is in 2 separate pieces"):
        renumber(Path("l.tif"), labels)
    with pytest.raises(InputError, match="label 5"):
        renumber(Path("l.tif"), np.array([[5, 1, 5]], np.uint16))


def test_renumber_orders_by_first_pixel():
    labels = np.array([[0, 700, 0], [7, 0, 0], [7, 0, 9]], np.uint16)
    np.testing.assert_array_equal(renumber(Path("l"), labels), [[0, 1, 0], [2, 0, 0], [2, 0, 3]])
    np.testing.assert_array_equal(renumber(Path("l"), labels, min_size=2), [[0, 0, 0], [1, 0, 0], [1, 0, 0]])
    np.testing.assert_array_equal(renumber(Path("l"), np.full((2, 2), 9)), [[1, 1], [1, 1]])


@pytest.mark.parametrize(
    "options",
    [
        {"connectivity": 6},
        {"min_size": 0},
        {"labelled": True, "include_holes": True},
        {"labelled": True, "connectivity": 4},
    ],
)
def test_options_that_make_no_sense_are_refused(options):
    with pytest.raises(ConfigError):
        MeasureOptions(**options)
