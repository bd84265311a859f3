"""One image to its features: ours beside SciPy's `ndimage` in float32, on the same 1000 x 1200 pixels and one core.

Run with ``pytest bench/bench_features.py --benchmark-enable``. The SciPy rows share blurs and gradients as ours do.
"""

import math

import numpy as np
import pytest
from scipy import ndimage

from compdistort.backend.compiled.convolve import separable_stack
from compdistort.backend.compiled.weka import weka_stack
from compdistort.features import FEATURE_SETS, FeatureSpec, build_bank

SHAPE = (1000, 1200)


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(1).integers(200, 4096, SHAPE).astype(np.float32)


def scipy_weka(image):
    planes = [image, *scipy_derivatives(image)]
    blurs = []
    for sigma in FEATURE_SETS["weka"]:
        blur = ndimage.gaussian_filter(image, 0.4 * sigma, mode="nearest")
        planes += [blur, *scipy_derivatives(blur), *(finer - blur for finer in blurs)]
        blurs.append(blur)
    return np.stack(planes)


def scipy_derivatives(blur):
    gy, gx = (ndimage.sobel(blur, axis, mode="nearest") for axis in (0, 1))
    a, c, d = (ndimage.sobel(g, axis, mode="nearest") for g, axis in ((gy, 0), (gy, 1), (gx, 1)))
    trace, squared = a + d, (a - d) ** 2 + 4 * c * c
    root = np.sqrt(squared)
    orientation = np.copysign(0.5 * np.arccos(np.clip((a - d) / np.maximum(root, 1e-30), -1, 1)), c)
    return [
        np.hypot(gx, gy), np.sqrt(a * a + c * c + d * d), trace, a * d - c * c, (trace + root) / 2, (trace - root) / 2,
        orientation, trace**2 * squared, squared,
    ]  # fmt: skip


def scipy_ilastik(image):
    columns = []
    for sigma in FEATURE_SETS["ilastik"]:
        before = math.sqrt(sigma**2 - 1) if sigma > 1 else sigma
        base = ndimage.gaussian_filter(image, before, mode="mirror", truncate=3.5)
        columns += scipy_columns(base, min(sigma, 1.0), "mirror", 2.0)[: 1 if sigma < 0.7 else 4]
    return np.stack(columns)


def scipy_plain(image):
    return np.stack([column for s in FEATURE_SETS["plain"] for column in scipy_columns(image, s, "reflect", 4.0)])


def scipy_columns(base, sigma, mode, window):
    options = {"mode": mode, "truncate": window}
    smooth = ndimage.gaussian_filter(base, sigma, **options)
    return [
        smooth,
        ndimage.gaussian_laplace(base, sigma, **options),
        ndimage.gaussian_gradient_magnitude(base, sigma, **options),
        smooth - ndimage.gaussian_filter(base, 0.66 * sigma, **options),
    ]


ROWS = {
    "weka": (weka_stack, scipy_weka),
    "ilastik": (separable_stack, scipy_ilastik),
    "plain": (separable_stack, scipy_plain),
}


@pytest.mark.parametrize("name", ROWS)
def test_ours(benchmark, image, name):
    benchmark.group = f"{name}, {SHAPE[0]} x {SHAPE[1]} pixels"
    filters = build_bank(FeatureSpec(set=name), 2, SHAPE)
    stack = benchmark(ROWS[name][0], image, filters)
    benchmark.extra_info["features"] = len(filters.names)
    assert stack.shape == (len(filters.names), *SHAPE)


@pytest.mark.parametrize("name", ROWS)
def test_scipy(benchmark, image, name):
    benchmark.group = f"{name}, {SHAPE[0]} x {SHAPE[1]} pixels"
    stack = benchmark.pedantic(ROWS[name][1], (image,), rounds=2)
    assert stack.shape == (len(build_bank(FeatureSpec(set=name), 2).names), *SHAPE)
