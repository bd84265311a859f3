"""What others take for the same work: CuPy's own functions on the device; NumPy, SciPy and scikit-learn on its host."""

import math
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module

import numpy as np
from gpu_machine import cores
from gpu_scenes import GAIN_E_PER_DN, OFFSET_DN, READ_NOISE_E
from scipy import ndimage

TRUNCATE = {"plain": 4.0, "ilastik": 2.0}
PRESMOOTH_TRUNCATE = 3.5
MODE = {"plain": "reflect", "ilastik": "mirror"}
FINEST_DERIVATIVE = 0.7


def separable_columns(filters, image, preset, sigma):
    """Return GS, LoG, GGM and DoG of one sigma by a library with the names of `scipy.ndimage`, float32."""
    options = {"mode": MODE[preset], "truncate": TRUNCATE[preset]}
    width = sigma
    if preset == "ilastik":
        before = math.sqrt(sigma**2 - 1) if sigma > 1 else sigma
        image = filters.gaussian_filter(image, before, mode=MODE[preset], truncate=PRESMOOTH_TRUNCATE)
        width = min(sigma, 1.0)
    smooth = filters.gaussian_filter(image, width, **options)
    if preset == "ilastik" and sigma < FINEST_DERIVATIVE:
        return [smooth]
    return [
        smooth,
        filters.gaussian_laplace(image, width, **options),
        filters.gaussian_gradient_magnitude(image, width, **options),
        smooth - filters.gaussian_filter(image, 0.66 * width, **options),
    ]


def device_filters():
    """Return the libraries of filters on the device by name: CuPy's, and cuCIM's copy of it where installed."""
    found = {}
    for name, module in (("cupyx", "cupyx.scipy.ndimage"), ("cuCIM", "cucim.skimage._vendored.ndimage")):
        try:
            found[name] = import_module(module)
        except Exception as error:  # whatever it says is the reason why it is not measured
            found[name] = f"{type(error).__name__}: {error}"
    return found


def device_stack(machine, filters, image, preset, sigmas):
    """Return a call that computes the columns on the device; they are not copied into one array, as ours are."""
    cp = machine.cp
    with machine.engine.cuda.here():
        pixels = image.astype(cp.float32)

    def run():
        with machine.engine.cuda.here():
            return [column for sigma in sigmas for column in separable_columns(filters, pixels, preset, sigma)]

    return run


def device_noise(machine, image):
    """Return a call that draws one replicate with CuPy's own Poisson and normal generators."""
    cp = machine.cp
    with machine.engine.cuda.here():
        electrons = cp.maximum((image.astype(cp.float32) - OFFSET_DN) * GAIN_E_PER_DN, 0)
        draw = cp.random.default_rng(1)

    def run():
        with machine.engine.cuda.here():
            noisy = draw.poisson(electrons) + READ_NOISE_E * draw.standard_normal(electrons.shape, dtype=cp.float32)
            return cp.rint(OFFSET_DN + noisy / GAIN_E_PER_DN).clip(0, 65535).astype(cp.uint16)

    return run


class HostPeers:
    """NumPy, SciPy and scikit-learn on all cores of the host."""

    def __init__(self):
        self.cores = cores()
        self._pool = ThreadPoolExecutor(self.cores)
        self._draws = [np.random.default_rng((1, i)) for i in range(self.cores)]

    def noise(self, image):
        """Return one replicate: Poisson and normal, the rows shared among the cores."""
        parts = np.array_split(image.reshape(-1, image.shape[-1]), self.cores)
        done = self._pool.map(_replicate, parts, self._draws)
        return np.concatenate(list(done)).reshape(image.shape)

    def stack(self, image, preset, sigmas):
        """Return the stack: the sigmas shared among the cores."""
        pixels = image.astype(np.float32)
        parts = self._pool.map(lambda sigma: separable_columns(ndimage, pixels, preset, sigma), sigmas)
        return np.stack([column for part in parts for column in part])

    def votes(self, features, estimator):
        """Return the foreground probability by scikit-learn on all cores."""
        rows = np.ascontiguousarray(features.reshape(len(features), -1).T)
        estimator.n_jobs = self.cores
        return estimator.predict_proba(rows)[:, 1].reshape(features.shape[1:])

    def mask(self, image, preset, sigmas, estimator):
        """Return the mask of a new replicate."""
        return self.votes(self.stack(self.noise(image), preset, sigmas), estimator) >= 0.5

    @staticmethod
    def labels(mask):
        """Return the labels by SciPy on one core."""
        return ndimage.label(mask, ndimage.generate_binary_structure(mask.ndim, 2 if mask.ndim == 2 else 1))[0]


def _replicate(image, draw):
    electrons = np.maximum((image.astype(np.float32) - OFFSET_DN) * GAIN_E_PER_DN, 0)
    noisy = draw.poisson(electrons) + READ_NOISE_E * draw.standard_normal(image.shape, dtype=np.float32)
    return np.rint(OFFSET_DN + noisy / GAIN_E_PER_DN).clip(0, 65535).astype(np.uint16)
