"""Eigenvalues of Hessian and structure tensor: against LAPACK, ilastik, SciPy and geometry; compiled against plain."""

import json
import math
from itertools import combinations_with_replacement
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from ilastik_columns import shares
from numba import njit  # noqa: TID251 - vector code runs inside a compiled function alone
from scipy import ndimage
from sklearn.ensemble import RandomForestClassifier

from compdistort.backend import get_backend
from compdistort.backend.base import SegmentRule
from compdistort.backend.compiled import convolve as compiled_convolve
from compdistort.backend.compiled.blocks import FeatureBlocks
from compdistort.backend.compiled.eigen_rows import eigen_2d, eigen_3d
from compdistort.backend.compiled.stack import whole_stack
from compdistort.backend.compiled.taps import address
from compdistort.backend.plain import convolve as plain_convolve
from compdistort.backend.plain import eigen
from compdistort.cli import main
from compdistort.errors import ConfigError, UnknownFeatureError
from compdistort.features import EIGENVALUES, OPERATORS, FeatureSpec, bank, build_bank, parse_spec
from compdistort.forest import flatten
from compdistort.pipeline.classifier import obtain_classifier
from compdistort.pipeline.progress import Silence
from compdistort.study_file import parse_config

ORACLE = Path(__file__).parent / "oracle" / "ilastik"
ENGINES = {"numpy": plain_convolve, "numba": compiled_convolve}
EPSILON = 2.0**-23
"""Bound for the error of an eigenvalue, as a fraction of the largest of its matrix: twice a float32's rounding."""


@pytest.fixture(params=ENGINES)
def engine(request):
    return request.param


def run(engine, image, spec):
    return ENGINES[engine].separable_stack(image, build_bank(spec, image.ndim, image.shape))


def all_values(kind, sigma, ndim, name="ilastik"):
    return FeatureSpec(set=name, pairs=tuple((f"{kind}{rank + 1}", sigma) for rank in range(ndim)))


def differing(names, a, b):
    return [name for name, x, y in zip(names, a, b, strict=True) if x.tobytes() != y.tobytes()]


# Closed forms


def upper(matrices):
    """The entries zz, zy, zx, yy, yx, xx of matrices (n, 3, 3), or yy, yx, xx of (n, 2, 2), as rows."""
    pairs = combinations_with_replacement(range(matrices.shape[1]), 2)
    return np.stack([matrices[:, i, j] for i, j in pairs]).astype(np.float32)


def symmetric(entries):
    size = {3: 2, 6: 3}[len(entries)]
    out = np.empty((entries.shape[1], size, size))
    for (i, j), row in zip(combinations_with_replacement(range(size), 2), entries, strict=True):
        out[:, i, j] = out[:, j, i] = row
    return out


def rotated(values, n, seed):
    """n matrices with given eigenvalues, in directions drawn at random."""
    directions = np.linalg.qr(np.random.default_rng(seed).normal(size=(n, len(values), len(values))))[0]
    return np.einsum("nij,j,nkj->nik", directions, np.array(values, float), directions)


def closed_form(entries):
    return np.stack((eigen.eigenvalues_2d if len(entries) == 3 else eigen.eigenvalues_3d)(*entries))


def worst_error(entries):
    """Largest difference to LAPACK in float64, as a fraction of the matrix's largest eigenvalue."""
    expected = np.linalg.eigvalsh(symmetric(entries))[:, ::-1].T
    size = np.abs(expected).max(axis=0)
    return (np.abs(closed_form(entries) - expected) / np.where(size > 0, size, 1)).max()


MATRICES = {
    f"{scale:g} x {values}": (values, scale)
    for values in [
        (1, 0, 0), (1, 1, 0), (1, 1, 1), (1, 1, -1), (-1, -1, 0.5), (0, 0, -1), (1, -1, 0), (0, 0, 0), (1000, 1, 1),
        (3, 2, 1), (1, 1 - 1e-6, -5), (1, 0), (1, 1), (-2, 1), (0, 0), (1, -1), (1e4, 1),
    ]
    for scale in (1.0, 1e-15, 1e12)
}  # fmt: skip


@pytest.mark.parametrize("case", MATRICES)
def test_closed_forms_equal_lapack_also_where_eigenvalues_coincide(case):
    values, scale = MATRICES[case]
    entries = upper(scale * rotated(values, 2000, 1))
    assert worst_error(entries) <= EPSILON


@pytest.mark.parametrize("size", [2, 3])
def test_closed_forms_equal_lapack_on_random_matrices(size):
    entries = upper(np.random.default_rng(2).normal(size=(100_000, size, size)))
    assert worst_error(entries) <= EPSILON
    assert (np.diff(closed_form(entries), axis=0) <= 0).all()


def test_too_few_steps_are_noticed(monkeypatch):
    monkeypatch.setattr(eigen, "NEWTON_STEPS", 1)
    assert worst_error(upper(np.random.default_rng(2).normal(size=(1000, 3, 3)))) > 10 * EPSILON


def test_multiples_of_the_identity_are_exact():
    level = np.random.default_rng(3).normal(0, 1e4, 1000).astype(np.float32)
    none = np.zeros_like(level)
    assert all(np.array_equal(value, level) for value in eigen.eigenvalues_3d(level, none, none, level, none, level))
    assert all(np.array_equal(value, level) for value in eigen.eigenvalues_2d(level, none, level))


@njit
def _run_2d(entries, step, out, n):
    eigen_2d(address(entries), step, (address(out[0]), address(out[1])), n)


@njit
def _run_3d(entries, step, out, n):
    eigen_3d(address(entries), step, (address(out[0]), address(out[1]), address(out[2])), n)


def test_vector_code_has_the_bits_of_the_closed_forms():
    for size, compiled in ((2, _run_2d), (3, _run_3d)):
        some = [scale * rotated(values, 80, 4) for values, scale in MATRICES.values() if len(values) == size]
        entries = upper(np.concatenate([*some, np.random.default_rng(5).normal(size=(8000, size, size))]))
        out = np.empty((size, entries.shape[1]), np.float32)
        compiled(entries, entries.strides[0], out, entries.shape[1])
        assert out.tobytes() == closed_form(entries).tobytes()


# ilastik: its own eigenvalues, a few; all of them: test_ilastik_arrays


def worst_share(image, columns, planes, engine):
    """Largest difference to the oracle's columns {"HoG_s1.0": (..., rank)}, as a share of what is allowed."""
    return max(shares(get_backend(engine), image, columns, "ilastik", planes).values())


def committed(prefix):
    columns = np.load(ORACLE / "synth3d_eigenvalues.npz")
    image = np.load(ORACLE / "synth3d_columns.npz")["synth3d"].astype(np.float32)
    planes = columns["planes" if prefix == "3d_" else "planes_2d"]
    return image, {name[3:]: columns[name] for name in columns.files if name.startswith(prefix)}, planes


def test_eigenvalues_are_ilastiks_3d(engine):
    image, columns, planes = committed("3d_")
    assert len(columns) == 5
    assert worst_share(image, columns, planes, engine) <= 1


def test_eigenvalues_are_ilastiks_2d(engine):
    image, columns, planes = committed("2d_")
    assert len(columns) == 4
    columns = {name: column[0] for name, column in columns.items()}
    assert worst_share(np.ascontiguousarray(image[planes[0]]), columns, slice(None), engine) <= 1


@pytest.mark.parametrize("wrong", [("INNER", 1.0), ("FILTER_WINDOW", 3.0), ("PRESMOOTH_WINDOW", 3.0)])
def test_a_wrong_width_or_window_breaks_the_bound(monkeypatch, wrong):
    image, columns, planes = committed("3d_")
    monkeypatch.setattr(bank, *wrong)
    assert worst_share(image, {"ST_s3.5": columns["ST_s3.5"]}, planes, "numba") > 10


def test_another_order_breaks_the_bound():
    image, columns, planes = committed("3d_")
    assert worst_share(image, {"HoG_s3.5": columns["HoG_s3.5"][..., ::-1]}, planes, "numba") > 10


# SciPy in float64, from formulas written here a second time


def taps(sigma, order, radius):
    x = np.arange(-radius, radius + 1.0)
    g = np.exp(-0.5 * (x / sigma) ** 2)
    k = (g, x * g, ((x / sigma) ** 2 - 1) * g)[order]
    if order == 2:
        k = k - k.mean()
    return k / (k * x**order / math.factorial(order)).sum()


def filtered(image, sigma, orders, window, mode):
    """Without a window, vigra's own."""
    for axis, order in enumerate(orders):
        radius = int(window * sigma + 0.5) if window else max(1, int((3 + order / 2) * sigma + 0.5))
        image = ndimage.correlate1d(image, taps(sigma, order, radius), axis, mode=mode)
    return image


def reference(image, kind, sigma, name):
    """Eigenvalues, largest first, by SciPy and LAPACK in float64."""
    image, window, mode, none = image.astype(np.float64), 4.0, "reflect", [0] * image.ndim
    if name == "ilastik":
        mode = "mirror"
        image = filtered(image, math.sqrt(sigma**2 - 1) if sigma > 1 else sigma, none, 3.5, mode)
        sigma, window = min(sigma, 1.0), 2.0
    inner, outer = (sigma, sigma / 2) if name == "vigra" else (sigma / 2, sigma)
    if name == "vigra":
        window, mode = None, "mirror"
    along = np.eye(image.ndim, dtype=int)
    pairs = list(combinations_with_replacement(range(image.ndim), 2))
    if kind == "HE":
        parts = [filtered(image, sigma, along[i] + along[j], window, mode) for i, j in pairs]
    else:
        slopes = [filtered(image, inner, one, window, mode) for one in along]
        parts = [filtered(slopes[i] * slopes[j], outer, none, window, mode) for i, j in pairs]
    matrix = np.empty((*image.shape, image.ndim, image.ndim))
    for (i, j), part in zip(pairs, parts, strict=True):
        matrix[..., i, j] = matrix[..., j, i] = part
    return np.moveaxis(np.linalg.eigvalsh(matrix), -1, 0)[::-1]


@pytest.mark.parametrize("shape", [(61, 70), (21, 23, 20)])
@pytest.mark.parametrize("name", ["plain", "ilastik", "vigra"])
@pytest.mark.parametrize("kind", ["HE", "ST"])
def test_eigenvalues_equal_scipy_in_float64(name, kind, shape, engine):
    image = np.random.default_rng(1).integers(0, 4096, shape).astype(np.float32)
    for sigma in (0.7, 1.6, 3.5):
        ours, theirs = (
            run(engine, image, all_values(kind, sigma, len(shape), name)),
            reference(image, kind, sigma, name),
        )
        assert np.abs(ours - theirs).max() <= 3e-6 * 4096 ** (2 if kind == "ST" else 1) * (1 if kind == "HE" else 0.1)


def test_products_are_mirrored_and_not_the_image():
    """Negative control: the tensor of the mirrored image differs at the border, where mixed products change sign."""
    image = np.random.default_rng(1).integers(0, 4096, (60, 70)).astype(np.float32)
    spec = all_values("ST", 3.5, 2, "plain")
    wide = run("numba", np.pad(image, 30, mode="symmetric"), spec)[:, 30:-30, 30:-30]
    far = np.abs(wide - reference(image, "ST", 3.5, "plain"))
    assert far.max() > 100 * 3e-7 * 4096**2
    assert far[:, 21:-21, 21:-21].max() <= 3e-7 * 4096**2


# Geometry


@pytest.mark.parametrize("name", ["plain", "ilastik", "vigra"])
@pytest.mark.parametrize("widths", [(4.0, 9.0), (3.0, 5.0, 8.0)])
def test_a_rotated_blob_has_the_curvatures_of_its_axes(name, widths, engine):
    """At its centre a Gaussian of variances v^2, smoothed by s, has curvatures -A / (v^2 + s^2), A its new height.

    Within 3 %, since kernels are cut: those of ilastik at two standard deviations.
    """
    ndim, n, sigma = len(widths), 61, 3.5
    turn = np.linalg.qr(np.random.default_rng(7).normal(size=(ndim, ndim)))[0]
    axes = np.stack(np.meshgrid(*[np.arange(n) - n // 2.0] * ndim, indexing="ij"), -1) @ turn
    blob = 1e4 * np.exp(-0.5 * (axes**2 / np.square(widths)).sum(-1)).astype(np.float32)
    found = run(engine, blob, all_values("HE", sigma, ndim, name))[(slice(None), *[n // 2] * ndim)]
    variances = np.square(widths) + sigma**2
    height = 1e4 * np.prod(np.sqrt(np.square(widths) / variances))
    np.testing.assert_allclose(found, np.sort(-height / variances)[::-1], rtol=0.03)


@pytest.mark.parametrize("name", ["plain", "ilastik", "vigra"])
@pytest.mark.parametrize("slope", [(3.0, -4.0), (2.0, 3.0, -6.0)])
def test_a_rotated_ramp_has_one_direction(name, slope, engine):
    n = 31
    ramp = sum(s * axis for s, axis in zip(slope, np.meshgrid(*[np.arange(n) - n // 2.0] * len(slope)), strict=True))
    for sigma in (0.7, 1.6):
        found = run(engine, ramp.astype(np.float32), all_values("ST", sigma, len(slope), name))
        expected = [np.square(slope).sum(), *[0.0] * (len(slope) - 1)]
        np.testing.assert_allclose(found[(slice(None), *[n // 2] * len(slope))], expected, atol=1e-4, rtol=1e-5)


def test_a_constant_image_has_no_structure(engine):
    for shape in ((20, 30), (15, 16, 17)):
        image = np.full(shape, 4096, np.float32)
        assert not run(engine, image, all_values("ST", 1.6, len(shape))).any()
        assert np.abs(run(engine, image, all_values("HE", 1.6, len(shape)))).max() <= 2e-6 * 4096


# Compiled loops: the bits of the plain twin

PIXELS = {"uint8": 256, "uint16": 65536, "float32": 1000}


def noise(shape, kind, seed=1):
    draw = np.random.default_rng(seed)
    return (
        draw.normal(0, 1e3, shape).astype(np.float32)
        if kind == "float32"
        else draw.integers(0, PIXELS[kind], shape, kind)
    )


def agree(image, filters, wanted=None, **blocks):
    """Which wanted features of the compiled blocks differ from the plain twin's."""
    wanted = list(range(len(filters.names)) if wanted is None else wanted)
    ours = whole_stack(image, FeatureBlocks(filters, image.shape, wanted, **blocks))
    theirs = plain_convolve.separable_stack(image.astype(np.float32), filters)[wanted]
    return differing([filters.names[f] for f in wanted], ours, theirs)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("plain", "uint16"), ("vigra", "uint16"), ("ilastik", "uint8"), ("ilastik", "uint16"), ("ilastik", "float32")],
)
@pytest.mark.parametrize(
    "shape", [(65, 129), (40, 63), (1, 1), (1, 9), (9, 1), (3, 2), (20, 21, 66), (2, 1, 3), (1, 1, 1), (5, 40, 7)]
)
def test_twins_agree_on_every_shape_and_type(name, kind, shape):
    ranks = range(1, len(shape) + 1)
    pairs = [(f"{what}{rank}", sigma) for what in ("HE", "ST") for rank in ranks for sigma in (0.7, 1.6)]
    filters = build_bank(FeatureSpec(set=name, pairs=(*pairs, ("LoG", 1.6), ("GGM", 0.7))), len(shape))
    image = noise(shape, kind)
    assert agree(image, filters) == []
    assert agree(image, filters, block_pixels=1, tile=(3, 5, 64)) == []


columns = st.lists(
    st.tuples(st.sampled_from(OPERATORS + EIGENVALUES), st.floats(0.5, 4.0, width=16)),
    min_size=1, max_size=6, unique=True,
)  # fmt: skip
shapes = st.one_of(
    st.tuples(st.integers(1, 40), st.integers(1, 150)), st.tuples(*[st.integers(1, 12)] * 2, st.integers(1, 80))
)


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(["plain", "ilastik", "vigra"]), pairs=columns, shape=shapes,
    kind=st.sampled_from(list(PIXELS)),
    tile=st.tuples(st.integers(1, 9), st.integers(1, 20), st.sampled_from([64, 128])), data=st.data(),
)  # fmt: skip
def test_any_wanted_pairs_in_any_tiling(name, pairs, shape, kind, tile, data):
    pairs = [pair for pair in pairs if len(shape) == 3 or not pair[0].endswith("3")] or [("ST2", 1.0)]
    filters = build_bank(FeatureSpec(set=name, pairs=tuple(pairs)), len(shape))
    wanted = data.draw(st.permutations(range(len(pairs))))[: data.draw(st.integers(1, len(pairs)))]
    image = noise(shape, kind, data.draw(st.integers(0, 2**32 - 1)))
    assert agree(image, filters, wanted, block_pixels=data.draw(st.integers(1, 5000)), tile=tile) == []


def test_a_wrong_tap_is_noticed():
    """Negative control: the last bit of one inner tap shows in the structure tensor alone."""
    filters = build_bank(parse_spec("ilastik", pairs=["HE1:1", "ST1:1", "GGM:1"]), 2)
    image = noise((30, 70), "uint16")
    theirs = plain_convolve.separable_stack(image.astype(np.float32), filters)
    first = filters.scales[0].inner_first
    first[1] = np.nextafter(first[1], np.float32(1))
    ours = whole_stack(image, FeatureBlocks(filters, image.shape))
    assert differing(filters.names, ours, theirs) == ["ST1_s1.0"]


def test_memory_is_that_of_the_tile():
    spec = all_values("ST", 3.5, 3)
    sizes = []
    for shape in ((300, 3000, 3000), (600, 6000, 6000)):
        blocks = FeatureBlocks(build_bank(spec, 3, shape), shape)
        inner = next(t for t in blocks.tiles if min(t.z0, t.y0, t.x0) > 0)
        sizes.append(blocks.scratch_bytes(inner, np.uint16))
    assert sizes[0] == sizes[1]


@pytest.mark.parametrize("shape", [(90, 140), (9, 40, 70)])
def test_objects_of_the_fused_engine_are_those_of_the_plain_one(shape):
    draw = np.random.default_rng(1)
    truth = ndimage.gaussian_filter(draw.normal(size=shape), 2) > 0.03
    image = draw.poisson(300 + 400 * truth).astype(np.uint16)
    filters = build_bank(parse_spec("ilastik", pairs=["GS:1", "HE1:1.6", "HE2:1.6", "ST1:1", "ST2:1.6"]), len(shape))
    stack = get_backend("numpy").feature_stack(image, filters).reshape(5, -1)
    forest = flatten(RandomForestClassifier(20, random_state=0).fit(stack[:, ::23].T, truth.ravel()[::23]))
    rule = SegmentRule(foreground=1, connectivity=8 if len(shape) == 2 else 6)
    expected = get_backend("numpy").image_objects(image, filters, forest, rule)
    for threads in (1, 2):
        found = get_backend("numba", threads=threads).image_objects(image, filters, forest, rule)
        assert np.array_equal(found.labels, expected.labels)
        assert np.array_equal(found.values, expected.values, equal_nan=True)


# What may be asked for


@pytest.mark.parametrize("operator", ["HE3", "ST3"])
def test_a_third_eigenvalue_needs_a_volume(operator):
    spec = FeatureSpec(set="plain", pairs=((operator, 1.0),))
    assert build_bank(spec, 3).names == (f"{operator}_s1.0",)
    with pytest.raises(ConfigError, match=f"{operator} needs a 3D image.*leave {operator} out"):
        build_bank(spec, 2)


@pytest.mark.parametrize(
    ("name", "pair", "error", "words"),
    [
        ("ilastik", "HE4:1", UnknownFeatureError, "GS, LoG, GGM, DoG, HE1, HE2, HE3, ST1, ST2, ST3"),
        ("ilastik", "st1:1", UnknownFeatureError, "did you mean 'ST1'"),
        ("fast", "ST1:1", ConfigError, "'fast' has no eigenvalues"),
        ("weka", "HE1:1", ConfigError, "takes no"),
        ("ilastik", "ST1:0.3", ConfigError, "too fine for ST1.*0.5 or more"),
        ("plain", "ST1:0.2", ConfigError, "too fine for ST1.*0.25 or more"),
        ("ilastik", "HE1:0.2", ConfigError, "too fine for HE1.*0.25 or more"),
    ],
)
def test_what_cannot_be_is_refused_with_the_reason(name, pair, error, words):
    with pytest.raises(error, match=words):
        build_bank(parse_spec(name, pairs=[pair]), 3)


def test_no_set_has_eigenvalues_of_itself():
    for name in ("ilastik", "vigra", "plain"):
        assert not {operator for operator, _ in FeatureSpec(set=name).columns} & set(EIGENVALUES)
        assert all(scale.inner_first is None for scale in build_bank(FeatureSpec(set=name), 3).scales)


def annotated(folder):
    """A raw image, written with annotations of every fifth pixel or so."""
    truth = ndimage.gaussian_filter(np.random.default_rng(1).normal(size=(60, 70)), 2) > 0.03
    image = np.random.default_rng(2).poisson(300 + 400 * truth).astype(np.uint16)
    labels = np.where(np.random.default_rng(3).random(truth.shape) < 0.2, 1 + truth, 0).astype(np.uint8)
    for name, pixels in (("raw", image), ("labels", labels)):
        tifffile.imwrite(folder / f"{name}.tif", pixels)
    return image


def study(**segmenter):
    base = {"schema_version": 1, "input": {"raw": "raw.tif"}, "calibration": {"estimate": True}}
    return parse_config(base | {"segmenter": segmenter, "codec": [{"id": "identity"}]}, "study.toml")


def test_a_study_trains_on_pairs(tmp_path):
    image = annotated(tmp_path)
    config = study(labels=str(tmp_path / "labels.tif"), set="ilastik", pairs=["HE1:3.5", "ST2:1.6"])
    found = obtain_classifier(config, image, get_backend("numba"), Silence())
    assert found.classifier.features.pairs == (("HE1", 3.5), ("ST2", 1.6))
    with pytest.raises(ConfigError, match="pairs belongs to training"):
        study(model="m.npz", pairs=["HE1:3.5"])


def test_commands_take_pairs(tmp_path, capsys):
    image = annotated(tmp_path)
    words, pairs = [str(tmp_path / "raw.tif"), "--set", "ilastik", "--device", "cpu"], ["HE1:3.5", "ST2:1.6"]
    assert main(["features", *words, "--pairs", *pairs, "-o", str(tmp_path / "features.npz")]) == 0
    written = np.load(tmp_path / "features.npz")
    assert written["names"].tolist() == ["HE1_s3.5", "ST2_s1.6"]
    expected = run("numpy", image.astype(np.float32), parse_spec("ilastik", pairs=pairs))
    assert written["features"].tobytes() == expected.tobytes()
    capsys.readouterr()
    model = str(tmp_path / "model.npz")
    train = ["train", *words, "--labels", str(tmp_path / "labels.tif"), "-o", model, "--pairs", *pairs]
    assert main(train) == 0
    assert "ilastik (HE1:3.5, ST2:1.6)" in capsys.readouterr().out
    mask = str(tmp_path / "mask.tif")
    assert main(["segment", words[0], "--model", model, "-o", mask, "--device", "cpu", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["objects"] > 0
