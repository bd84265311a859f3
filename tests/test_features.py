"""Features against ImageJ, ilastik and SciPy; compiled loops against their plain twins."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import tifffile
from golden import feature_hashes
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from compdistort.backend.base import WekaBank
from compdistort.backend.compiled import convolve as compiled_convolve
from compdistort.backend.compiled import weka as compiled_weka
from compdistort.backend.plain import convolve as plain_convolve
from compdistort.backend.plain import weka as plain_weka
from compdistort.features import FEATURE_SETS, OPERATORS, FeatureSpec, bank, build_bank, feature_names, parse_spec
from compdistort.features.kernels import first_derivative, gaussian, second_derivative

ORACLE = Path(__file__).parent / "oracle"
ENGINES = {"numpy": (plain_convolve, plain_weka), "numba": (compiled_convolve, compiled_weka)}
ILASTIK_BOUND = 2e-6
"""Largest difference seen between float32 implementations, as a fraction of the image's maximum (oracle README)."""


def run(engine, image, filters):
    convolve, weka = ENGINES[engine]
    return (
        weka.weka_stack(image, filters) if isinstance(filters, WekaBank) else convolve.separable_stack(image, filters)
    )


def noise(shape, seed=1, top=65536):
    return np.random.default_rng(seed).integers(0, top, shape).astype(np.float32)


def differing(names, a, b):
    return [name for name, x, y in zip(names, a, b, strict=True) if x.tobytes() != y.tobytes()]


@pytest.fixture(params=ENGINES)
def engine(request):
    return request.param


# Weka: ImageJ's own planes, all 70, to the bit


def check_weka(folder, name, engine):
    image = tifffile.imread(folder / "images" / f"{name}.tif").astype(np.float32)
    oracle = np.load(folder / "features" / f"{name}_features.npz")
    filters = build_bank(FeatureSpec(set="weka"), 2, image.shape)
    assert filters.names == tuple(oracle["labels"])
    assert differing(filters.names, run(engine, image, filters), oracle["features"]) == []


@pytest.mark.parametrize("name", ["f1_phase16", "f3_edge16", "f4_impulse16"])
def test_weka_planes_are_those_of_imagej(name, engine):
    check_weka(ORACLE / "imagej", name, engine)


@pytest.mark.data
def test_weka_planes_of_an_8_bit_image_are_those_of_imagej(shared_oracle, engine):
    check_weka(shared_oracle / "imagej", "f2_cell8", engine)


def test_a_wrong_weka_deviation_is_noticed(monkeypatch):
    monkeypatch.setattr("compdistort.features.weka.STANDARD_DEVIATION_PER_SIGMA", 0.41)
    with pytest.raises(AssertionError):
        check_weka(ORACLE / "imagej", "f1_phase16", "numba")


# ilastik: columns of the real program, within its own float32 rounding; all of them: test_ilastik_arrays


def worst_column(image, columns, engine, planes=slice(None)):
    """Largest difference to the oracle's columns {"GS_s1.0": array}, as a fraction of the image's maximum."""
    spec = parse_spec("ilastik", pairs=[name.replace("_s", ":") for name in columns])
    stack = run(engine, image, build_bank(spec, image.ndim, image.shape))
    assert feature_names(spec) == tuple(columns)
    return max(
        float(np.abs(ours[planes] - theirs).max() / image.max())
        for ours, theirs in zip(stack, columns.values(), strict=True)
    )


def committed_columns(prefix):
    oracle = np.load(ORACLE / "ilastik" / "synth3d_columns.npz")
    columns = {name[3:]: oracle[name] for name in oracle.files if name.startswith(prefix)}
    return oracle["synth3d"].astype(np.float32), columns, oracle["planes"], oracle["planes_2d"]


def test_ilastik_columns_3d(engine):
    image, columns, planes, _ = committed_columns("3d_")
    assert len(columns) == 28
    assert worst_column(image, columns, engine, planes) <= ILASTIK_BOUND


def test_ilastik_columns_2d(engine):
    image, columns, _, planes = committed_columns("2d_")
    plane = np.ascontiguousarray(image[planes[0]])
    columns = {name: column[0] for name, column in columns.items()}
    assert worst_column(plane, columns, engine) * plane.max() <= ILASTIK_BOUND * image.max()


@pytest.mark.parametrize("wrong", [("PRESMOOTH_WINDOW", 3.0), ("FILTER_WINDOW", 3.0), ("NARROW", 0.65)])
def test_a_wrong_window_breaks_the_ilastik_bound(monkeypatch, wrong):
    image, columns, planes, _ = committed_columns("3d_")
    monkeypatch.setattr(bank, *wrong)
    assert worst_column(image, columns, "numba", planes) > 10 * ILASTIK_BOUND


def test_another_border_breaks_the_ilastik_bound():
    image, columns, _, planes = committed_columns("2d_")
    plane = np.ascontiguousarray(image[planes[0]])
    wrong = ndimage.gaussian_filter(ndimage.gaussian_filter(plane, 1.0, truncate=3.5), 1.0, truncate=2.0)
    assert np.abs(wrong - columns["GS_s1.0"][0]).max() > 10 * ILASTIK_BOUND * image.max()


# SciPy in float64, from formulas written here a second time


def half_to_full(sigma, order, radius):
    x = np.arange(-radius, radius + 1.0)
    g = np.exp(-0.5 * (x / sigma) ** 2)
    if order == 0:
        return g / g.sum()
    k = x * g if order == 1 else ((x / sigma) ** 2 - 1) * g
    if order == 2:
        k -= k.mean()
    return k / (k * x**order / math.factorial(order)).sum()


def filtered(image, sigma, orders, window, mode):
    """Without a window, vigra's own."""
    for axis, order in enumerate(orders):
        radius = int(window * sigma + 0.5) if window else max(1, int((3 + order / 2) * sigma + 0.5))
        image = ndimage.correlate1d(image, half_to_full(sigma, order, radius), axis, mode=mode)
    return image


def reference(image, operator, sigma, name):
    """One column by SciPy in float64."""
    image, window, mode = image.astype(np.float64), 4.0, "reflect"
    plain = [0] * image.ndim
    if name == "ilastik":
        mode = "mirror"
        image = filtered(image, math.sqrt(sigma**2 - 1) if sigma > 1 else sigma, plain, 3.5, mode)
        sigma, window = min(sigma, 1.0), 2.0
    elif name == "vigra":
        window, mode = None, "mirror"
    if operator in ("GS", "DoG"):
        wide = filtered(image, sigma, plain, window, mode)
        return wide - filtered(image, 0.66 * sigma, plain, window, mode) if operator == "DoG" else wide
    order = 2 if operator == "LoG" else 1
    parts = [
        filtered(image, sigma, [order * (i == j) for j in range(image.ndim)], window, mode) for i in range(image.ndim)
    ]
    return sum(parts) if operator == "LoG" else np.sqrt(sum(part**2 for part in parts))


@pytest.mark.parametrize("shape", [(61, 70), (41, 43, 41)])
@pytest.mark.parametrize("name", ["plain", "ilastik", "vigra"])
def test_columns_equal_scipy_in_float64(name, shape, engine):
    image = noise(shape, top=4096)
    spec = FeatureSpec(set=name)
    stack = run(engine, image, build_bank(spec, image.ndim, shape))
    for (operator, sigma), ours in zip(spec.columns, stack, strict=True):
        difference = np.abs(ours - reference(image, operator, sigma, name)).max()
        assert difference <= ILASTIK_BOUND * image.max(), (operator, sigma)


@pytest.mark.parametrize("shape", [(61, 70), (41, 43, 40)])
def test_plain_gaussians_equal_scipy_defaults(shape, engine):
    image = noise(shape, top=4096)
    spec = FeatureSpec(set="plain", pairs=(("GS", 1.6), ("DoG", 5.0)))
    smooth, difference = run(engine, image, build_bank(spec, image.ndim, shape))
    gauss = lambda sigma: ndimage.gaussian_filter(image.astype(np.float64), sigma)  # noqa: E731
    np.testing.assert_allclose(smooth, gauss(1.6), rtol=0, atol=ILASTIK_BOUND * 4096)
    np.testing.assert_allclose(difference, gauss(5.0) - gauss(3.3), rtol=0, atol=ILASTIK_BOUND * 4096)


@pytest.mark.parametrize("sigma", [0.4, 1.0, 2.0])
@pytest.mark.parametrize("shape", [(23, 31), (11, 12, 13)])
def test_probability_smoothing_is_ilastiks(shape, sigma, engine):
    p = (noise(shape) / 65536).astype(np.float32)
    convolve, _ = ENGINES[engine]
    smooth = convolve.smooth_probability(p, sigma)
    assert smooth.dtype == np.float32
    np.testing.assert_allclose(smooth, ndimage.gaussian_filter(p, sigma, mode="mirror", truncate=2), rtol=0, atol=1e-6)
    assert plain_convolve.probability_kernel(sigma).tobytes() == gaussian(sigma, int(2 * sigma + 0.5)).tobytes()


# Kernels: moments


@pytest.mark.parametrize(("sigma", "radius"), [(0.3, 1), (0.7, 1), (1.0, 2), (1.6, 6), (3.5, 14), (10.0, 40)])
def test_kernels_have_their_moments(sigma, radius):
    k = np.arange(radius + 1)
    g, d, c = (f(sigma, radius).astype(np.float64) for f in (gaussian, first_derivative, second_derivative))
    assert g[0] + 2 * g[1:].sum() == pytest.approx(1, abs=3e-7)
    assert 2 * (k * d).sum() == pytest.approx(1, abs=3e-7)
    assert c[0] + 2 * math.fsum(c[1:]) == 0
    assert (k**2 * c).sum() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("name", ["plain", "ilastik", "vigra"])
@pytest.mark.parametrize("ndim", [2, 3])
def test_ramp_gives_1_parabola_2_and_a_constant_0(name, ndim, engine):
    n = 41
    axes = np.meshgrid(*[np.arange(n) - n // 2] * ndim, indexing="ij")
    spec = FeatureSpec(set=name, pairs=(("GGM", 1.0), ("LoG", 1.0)))
    filters = build_bank(spec, ndim, axes[0].shape)
    middle = (n // 2,) * ndim
    for axis in axes:
        slope, _ = run(engine, axis.astype(np.float32), filters)
        _, curvature = run(engine, (axis**2).astype(np.float32), filters)
        assert slope[middle] == pytest.approx(1, abs=1e-5)
        assert curvature[middle] == pytest.approx(2, abs=1e-3)
    slope, curvature = run(engine, np.full(axes[0].shape, 4096, np.float32), filters)
    assert not slope.any()
    assert np.abs(curvature).max() <= 4096 * ILASTIK_BOUND


@pytest.mark.parametrize("level", [1, 1024, 32768])
@pytest.mark.parametrize("sigma", FEATURE_SETS["plain"])
def test_a_constant_has_no_second_derivative(sigma, level):
    half = second_derivative(sigma, int(4 * sigma + 0.5))
    line = plain_convolve.even_pass(np.full(100, level, np.float32), half, 0, "reflect")
    assert not line.any()


# Twins: the same bits


@pytest.mark.parametrize("name", ["plain", "ilastik", "vigra"])
@pytest.mark.parametrize(
    "shape",
    [(64, 64), (65, 129), (40, 63), (1, 1), (1, 9), (9, 1), (3, 2), (20, 21, 66), (2, 1, 3), (1, 1, 1), (5, 40, 7)],
)
def test_separable_twins_agree(name, shape):
    image = noise(shape)
    filters = build_bank(FeatureSpec(set=name), image.ndim)
    assert differing(filters.names, *(run(e, image, filters) for e in ENGINES)) == []


@pytest.mark.parametrize("shape", [(64, 64), (65, 129), (33, 63), (1, 1), (1, 9), (9, 1), (2, 3), (3, 100)])
@pytest.mark.parametrize("sigmas", [(1.0, 2.0, 4.0, 8.0, 16.0), (2.0, 4.0), (0.7, 1.4)])
def test_weka_twins_agree(shape, sigmas):
    image = noise(shape)
    filters = build_bank(FeatureSpec(set="weka", sigmas=sigmas), 2, shape)
    assert differing(filters.names, *(run(e, image, filters) for e in ENGINES)) == []


columns = st.lists(
    st.tuples(st.sampled_from(OPERATORS), st.floats(0.25, 6.0, width=16)), min_size=1, max_size=5, unique=True
)
shapes = st.lists(st.integers(1, 24), min_size=2, max_size=3).map(tuple)


@settings(max_examples=60, deadline=None)
@given(name=st.sampled_from(["plain", "ilastik", "vigra"]), pairs=columns, shape=shapes, seed=st.integers(0, 2**32 - 1))
def test_any_pairs_on_any_shape_agree(name, pairs, shape, seed):
    image = np.random.default_rng(seed).normal(0, 1e3, shape).astype(np.float32)
    filters = build_bank(FeatureSpec(set=name, pairs=tuple(pairs)), image.ndim)
    assert differing(filters.names, *(run(e, image, filters) for e in ENGINES)) == []


@settings(max_examples=40, deadline=None)
@given(shape=st.tuples(st.integers(1, 80), st.integers(1, 80)), seed=st.integers(0, 2**32 - 1))
def test_weka_agrees_on_any_shape(shape, seed):
    image = np.random.default_rng(seed).normal(0, 1e3, shape).astype(np.float32)
    filters = build_bank(FeatureSpec(set="weka"), 2, shape)
    assert differing(filters.names, *(run(e, image, filters) for e in ENGINES)) == []


def test_weka_twins_agree_on_the_sign_of_a_zero_orientation():
    """A step of a power of two beside a faint pixel: the cosine is exactly 1, the mixed derivative just below 0."""
    image = np.zeros((9, 9), np.float32)
    image[5:], image[1, 4] = 32768, 1e-4
    filters = build_bank(FeatureSpec(set="weka"), 2, image.shape)
    stacks = [run(e, image, filters) for e in ENGINES]
    plane = stacks[0][filters.names.index("Hessian_Orientation_0.0")]
    assert (np.signbit(plane) & (plane == 0)).any()
    assert differing(filters.names, *stacks) == []


@pytest.mark.parametrize("case", feature_hashes.CASES)
def test_planes_have_their_golden_hashes(case, engine):
    filters = feature_hashes.bank_of(case)
    stack = run(engine, feature_hashes.made_up_image(feature_hashes.CASES[case][1]), filters)
    assert feature_hashes.plane_hashes(filters.names, stack) == json.loads(feature_hashes.FILE.read_text())[case]


def test_backend_takes_camera_pixels_as_they_are(backend):
    image = noise((30, 40), top=256)
    for spec in (FeatureSpec(set="weka"), FeatureSpec(set="ilastik", sigmas=(0.7, 1.6))):
        filters = build_bank(spec, 2, image.shape)
        stacks = [
            backend.to_host(backend.feature_stack(backend.to_device(image.astype(kind)), filters))
            for kind in (np.float32, np.uint16, np.uint8)
        ]
        assert stacks[0].dtype == np.float32
        assert differing(filters.names, stacks[0], stacks[1]) == differing(filters.names, stacks[0], stacks[2]) == []
        with pytest.raises(TypeError, match="float64"):
            backend.feature_stack(backend.to_device(image.astype(np.float64)), filters)


def test_shortest_axis_is_allowed_itself(engine):
    filters = build_bank(FeatureSpec(set="ilastik"), 2, (36, 36))
    image = noise((36, 36), top=4096)
    stack = run(engine, image, filters)
    assert np.abs(stack[6] - reference(image, "GS", 10.0, "ilastik")).max() <= ILASTIK_BOUND * image.max()
