"""The set `vigra`: columns of vigra itself, kernels with a radius each, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
from ilastik_columns import shares

from compdistort.backend import get_backend
from compdistort.backend.plain.convolve import even_pass, odd_pass
from compdistort.errors import ConfigError
from compdistort.features import FeatureSpec, build_bank, feature_names, parse_spec
from compdistort.features import vigra as vigra_filters
from compdistort.features.bank import shortest_axis
from compdistort.features.kernels import first_derivative, gaussian, second_derivative
from compdistort.features.vigra import vigra_radius

ORACLE = Path(__file__).parent / "oracle" / "ilastik"


@pytest.fixture(scope="module")
def image():
    return np.load(ORACLE / "synth3d_columns.npz")["synth3d"]


@pytest.fixture
def columns():
    """Direct calls of vigra, some of them, committed; all: test_ilastik_arrays."""
    found = dict(np.load(ORACLE / "synth3d_vigra.npz"))
    return found, found.pop("planes")


@pytest.mark.parametrize("engine", ["numpy", "numba"])
def test_columns_are_those_of_vigra(engine, image, columns):
    theirs, planes = columns
    assert len(theirs) == 24
    if engine == "numpy":  # the same bits, slowly: up to 3.5 pixels
        theirs = {column: values for column, values in theirs.items() if not column.endswith("_s10.0")}
    found = shares(get_backend(engine), image, theirs, "vigra", planes)
    assert {column: share for column, share in found.items() if share > 1} == {}


@pytest.mark.parametrize(
    ("wrong", "column"),
    [
        (("OUTER", 1.0), "ST_s3.5"),
        (("OUTER", 0.55), "ST_s0.7"),
        (("vigra_radius", lambda sigma, order: max(1, int(4 * sigma + 0.5))), "GS_s1.6"),
        (("vigra_radius", lambda sigma, order: max(1, int(4 * sigma + 0.5))), "GGM_s1.6"),
        (("vigra_radius", lambda sigma, order: max(1, int(3 * sigma + 0.5))), "GGM_s1.6"),
        (("vigra_radius", lambda sigma, order: max(1, int(3 * sigma + 0.5))), "LoG_s1.6"),
        (("vigra_radius", lambda sigma, order: max(1, int(3 * sigma + 0.5))), "HoG_s3.5"),
    ],
)
def test_another_width_or_window_breaks_the_bound(monkeypatch, wrong, column, image, columns):
    theirs, planes = columns
    monkeypatch.setattr(vigra_filters, *wrong)
    found = shares(get_backend("numba"), image, {column: theirs[column]}, "vigra", planes)
    assert found[column] > 3


def test_the_structure_tensor_is_not_ilastiks(image, columns):
    """In `ilastik` the gradient has the narrower Gaussian, here its products have."""
    theirs, planes = columns
    found = shares(get_backend("numba"), image, {"ST_s0.7": theirs["ST_s0.7"]}, "ilastik", planes)
    assert found["ST_s0.7"] > 1000


def test_own_columns_are_those_of_ilastik():
    assert feature_names(FeatureSpec(set="vigra")) == feature_names(FeatureSpec(set="ilastik"))
    assert feature_names(parse_spec("vigra", pairs=["LoG:0.3"])) == ("LoG_s0.3",)


@pytest.mark.parametrize("sigma", [0.1, 0.3, 0.7, 1.0, 1.6, 3.5, 10.0])
def test_weights_of_0_make_kernels_equally_long_and_change_no_sum(sigma):
    scale = build_bank(FeatureSpec(set="vigra", pairs=(("LoG", sigma),)), 2).scales[0]
    line = np.random.default_rng(1).normal(0, 1e3, (3, 60)).astype(np.float32)
    assert scale.smooth.size == scale.first.size == scale.second.size == vigra_radius(sigma, 2) + 1
    for order, (one, half, make) in enumerate(
        ((even_pass, scale.smooth, gaussian), (odd_pass, scale.first, first_derivative),
         (even_pass, scale.second, second_derivative))
    ):  # fmt: skip
        radius = max(1, int((3 + order / 2) * sigma + 0.5))
        short = make(sigma, radius)
        assert short.tobytes() == half[: radius + 1].tobytes()
        assert not half[radius + 1 :].any()
        assert np.array_equal(one(line, half, 1, "mirror"), one(line, short, 1, "mirror"))
    narrow = gaussian(0.66 * sigma, max(1, int(3 * 0.66 * sigma + 0.5)))
    assert scale.narrow.tobytes() == narrow.tobytes()


def test_only_the_structure_tensor_has_a_scale_of_its_own():
    bank = build_bank(parse_spec("vigra", pairs=["ST1:1", "GS:1", "HE1:1", "ST2:1", "GS:2"]), 2)
    assert bank.columns == (("ST1", 0), ("GS", 1), ("HE1", 1), ("ST2", 0), ("GS", 2))
    assert [scale.inner_first is not None for scale in bank.scales] == [True, False, False]


@pytest.mark.parametrize(
    ("pair", "need"), [("GS:10", 31), ("DoG:10", 31), ("GGM:10", 36), ("ST1:10", 36), ("LoG:10", 41), ("HE2:10", 41)]
)
def test_an_axis_must_be_longer_than_every_kernel(pair, need):
    spec = parse_spec("vigra", pairs=[pair, "GS:1"])
    assert shortest_axis(spec, 10.0) == need
    assert build_bank(spec, 2, (need, 60)).names[1] == "GS_s1.0"
    with pytest.raises(ConfigError, match=rf"sigma 10\.0 of feature set 'vigra' needs {need} pixels on every axis"):
        build_bank(spec, 2, (60, need - 1))


def test_a_derivative_finer_than_a_tenth_of_a_pixel_is_refused():
    for pair in ("LoG:0.09", "GGM:0.01", "HE1:0.09", "ST1:0.01"):
        with pytest.raises(ConfigError, match=r"too fine for .*use a sigma of 0\.1 or more"):
            build_bank(parse_spec("vigra", pairs=[pair]), 2)
    pixels = np.random.default_rng(1).normal(0, 1e3, (9, 9)).astype(np.float32)
    for sigma in (0.01, 0.1):
        pair = "GS:0.01" if sigma < 0.1 else "ST1:0.1"
        stack = get_backend("numpy").feature_stack(pixels, build_bank(parse_spec("vigra", pairs=[pair]), 2))
        assert np.isfinite(stack).all()
        assert pair != "GS:0.01" or np.array_equal(stack[0], pixels)
