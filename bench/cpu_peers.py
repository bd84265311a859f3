"""What others take for the same work, one thread each: NumPy, SciPy, scikit-learn, scikit-image, OpenCV.

`NumpyChain` is what a user writes today, and the one that all floors refer to.
"""

import math
from inspect import signature

import numpy as np
from cpu_laps import in_pieces
from cpu_scenes import SENSOR
from cpu_turns import Pieces
from scipy import ndimage

from compdistort.features import FEATURE_SETS

OFFSET_DN, GAIN_E_PER_DN, READ_NOISE_E = (
    SENSOR.regions[0].offset_dn,
    SENSOR.regions[0].gain_e_per_dn,
    SENSOR.regions[0].read_noise_e,
)


def numpy_replicate(raw, draw):
    """Return one raw-equivalent replicate by NumPy's Poisson and normal generators."""
    electrons = np.maximum((raw.astype(np.float32) - OFFSET_DN) * GAIN_E_PER_DN, 0)
    noisy = draw.poisson(electrons) + READ_NOISE_E * draw.standard_normal(raw.shape, dtype=np.float32)
    return np.rint(OFFSET_DN + noisy / GAIN_E_PER_DN).clip(0, 65535).astype(np.uint16)


def scipy_stack(image, features, sigmas=()):
    """Return the features of an image by `scipy.ndimage`, float32; blurs and gradients are shared as ours are."""
    pixels = image.astype(np.float32)
    if features == "weka":
        return _scipy_weka(pixels)
    planes = {}
    for sigma in sigmas or FEATURE_SETS[features]:
        if features == "plain":
            base, width, options = pixels, sigma, {"mode": "reflect", "truncate": 4.0}
        else:
            before = math.sqrt(sigma**2 - 1) if sigma > 1 else sigma
            base = ndimage.gaussian_filter(pixels, before, mode="mirror", truncate=3.5)
            width, options = min(sigma, 1.0), {"mode": "mirror", "truncate": 2.0}
        smooth = ndimage.gaussian_filter(base, width, **options)
        planes["GS", sigma] = smooth
        if sigma >= 0.7:
            planes["LoG", sigma] = ndimage.gaussian_laplace(base, width, **options)
            planes["GGM", sigma] = ndimage.gaussian_gradient_magnitude(base, width, **options)
            planes["DoG", sigma] = smooth - ndimage.gaussian_filter(base, 0.66 * width, **options)
    order = sorted(planes, key=lambda column: ("GS", "LoG", "GGM", "DoG").index(column[0]))
    return np.stack([planes[column] for column in order])


def _scipy_weka(image):
    planes = [image, *_scipy_derivatives(image)]
    blurs = []
    for sigma in FEATURE_SETS["weka"]:
        blur = ndimage.gaussian_filter(image, 0.4 * sigma, mode="nearest")
        planes += [blur, *_scipy_derivatives(blur), *(finer - blur for finer in blurs)]
        blurs.append(blur)
    return np.stack(planes)


def _scipy_derivatives(blur):
    gy, gx = (ndimage.sobel(blur, axis, mode="nearest") for axis in (0, 1))
    a, c, d = (ndimage.sobel(g, axis, mode="nearest") for g, axis in ((gy, 0), (gy, 1), (gx, 1)))
    trace, squared = a + d, (a - d) ** 2 + 4 * c * c
    root = np.sqrt(squared)
    orientation = np.copysign(0.5 * np.arccos(np.clip((a - d) / np.maximum(root, 1e-30), -1, 1)), c)
    return [
        np.hypot(gx, gy), np.sqrt(a * a + c * c + d * d), trace, a * d - c * c, (trace + root) / 2, (trace - root) / 2,
        orientation, trace**2 * squared, squared,
    ]  # fmt: skip


def structure(rule, ndim):
    """Return SciPy's structuring element of a rule's connectivity."""
    reach = {(2, 4): 1, (2, 8): 2, (3, 6): 1, (3, 18): 2, (3, 26): 3}[ndim, rule.connectivity]
    return ndimage.generate_binary_structure(ndim, reach)


class NumpyChain:
    """NumPy's noise, SciPy's features, scikit-learn's forest on them, SciPy's components, sizes and centres.

    The forest is grown on SciPy's own features of the same annotated pixels.

    Parameters
    ----------
    scene : Scene
        What is worked on.
    features : str
        ``ilastik``, ``plain`` or ``weka``.
    share : int
        The forest and the components see one part in so many of the planes or rows, and their time is multiplied:
        both are linear in the pixels.
    """

    STAGES = ("noise", "features", "forest", "components", "table")

    def __init__(self, scene, features, share=1):
        self.scene, self.features, self.share = scene, features, share
        planes = scipy_stack(scene.raw, features, scene.sigmas)
        self.estimator = scene.fit(planes.reshape(len(planes), -1)[:, scene.places].T.copy())
        self.stages = {name: [] for name in self.STAGES}

    @property
    def note(self):
        return f"forest and components on 1/{self.share} of the pixels, times {self.share}" if self.share > 1 else ""

    def __call__(self, number):
        """Make one replicate and its objects; return its `Pieces`, as they are on all pixels."""
        done, pieces = {}, []
        steps = (
            ("noise", self._noise, 1), ("features", self._features, 1), ("forest", self._forest, self.share),
            ("components", self._components, self.share), ("table", self._table, self.share),
        )  # fmt: skip
        for name, step, share in steps:
            seconds = in_pieces(lambda _, step=step: step(done, number))(number).seconds * share
            self.stages[name].append(float(seconds.sum()))
            pieces.append(seconds)
        return Pieces(np.concatenate(pieces))

    def _noise(self, done, number):
        done["image"] = numpy_replicate(self.scene.raw, np.random.default_rng(number))

    def _features(self, done, _):
        done["features"] = scipy_stack(done.pop("image"), self.features, self.scene.sigmas)

    def _forest(self, done, _):
        features = done.pop("features")
        part = features[:, : features.shape[1] // self.share]
        rows = np.ascontiguousarray(part.reshape(len(part), -1).T)
        proba = self.estimator.predict_proba(rows)[:, 1]
        done["mask"] = (proba >= self.scene.rule.threshold).reshape(part.shape[1:])

    def _components(self, done, _):
        done["labels"], done["count"] = ndimage.label(done["mask"], structure(self.scene.rule, done["mask"].ndim))

    @staticmethod
    def _table(done, _):
        np.bincount(done["labels"].ravel())
        ndimage.center_of_mass(done["mask"], done["labels"], np.arange(1, done["count"] + 1))


def skimage_features(image, sigmas):
    """Return a call of scikit-image's `multiscale_basic_features`: its own features, at as many scales."""
    from skimage.feature import multiscale_basic_features

    pixels = image.astype(np.float32)
    # Renamed in scikit-image 0.26.
    known = signature(multiscale_basic_features).parameters
    worker = "workers" if "workers" in known else "num_workers"
    settings = {"sigma_min": min(sigmas), "sigma_max": max(sigmas), "num_sigma": len(sigmas), worker: 1}
    return lambda: multiscale_basic_features(pixels, intensity=True, edges=True, texture=True, **settings)


def opencv_stack(image, bank):
    """Return a call that computes a separable bank in 2D by OpenCV, with our kernels; raises ImportError without it."""
    import cv2

    cv2.setNumThreads(1)
    pixels = image.astype(np.float32)
    border = cv2.BORDER_REFLECT_101 if bank.border == "mirror" else cv2.BORDER_REFLECT

    def filtered(base, along_rows, along_columns):
        return cv2.sepFilter2D(base, cv2.CV_32F, along_rows, along_columns, borderType=border)

    def run():
        planes = {}
        for index, scale in enumerate(bank.scales):
            wanted = {operator for operator, of in bank.columns if of == index}
            base = pixels
            if scale.presmooth is not None:
                base = filtered(pixels, _whole(scale.presmooth), _whole(scale.presmooth))
            smooth, first, second = _whole(scale.smooth), _whole(scale.first, odd=True), _whole(scale.second)
            planes["GS", index] = filtered(base, smooth, smooth)
            if "LoG" in wanted:
                planes["LoG", index] = filtered(base, second, smooth) + filtered(base, smooth, second)
            if "GGM" in wanted:
                planes["GGM", index] = cv2.magnitude(filtered(base, first, smooth), filtered(base, smooth, first))
            if "DoG" in wanted:
                narrow = _whole(scale.narrow)
                planes["DoG", index] = planes["GS", index] - filtered(base, narrow, narrow)
        return np.stack([planes[column] for column in bank.columns])

    return run


def correlated_stack(image, bank):
    """Return a separable bank of an image in float64 by `scipy.ndimage.correlate1d`, with our kernels."""
    pixels = image.astype(np.float64)

    def filtered(base, kernels):
        for axis, kernel in enumerate(kernels):
            base = ndimage.correlate1d(base, kernel.astype(np.float64), axis, mode=bank.border)
        return base

    ndim = image.ndim
    bases = [
        pixels if scale.presmooth is None else filtered(pixels, [_whole(scale.presmooth)] * ndim)
        for scale in bank.scales
    ]
    planes = []
    for operator, index in bank.columns:
        scale, base = bank.scales[index], bases[index]
        smooth, first, second = _whole(scale.smooth), _whole(scale.first, odd=True), _whole(scale.second)
        ways = [[smooth] * axis + [None] + [smooth] * (ndim - axis - 1) for axis in range(ndim)]
        if operator == "GGM":
            parts = [filtered(base, [first if k is None else k for k in way]) for way in ways]
            planes.append(np.sqrt(sum(part**2 for part in parts)))
        elif operator == "LoG":
            planes.append(sum(filtered(base, [second if k is None else k for k in way]) for way in ways))
        else:
            planes.append(filtered(base, [smooth] * ndim))
            if operator == "DoG":
                planes[-1] = planes[-1] - filtered(base, [_whole(scale.narrow)] * ndim)
    return np.stack(planes)


def _whole(half, odd=False):
    """Return the taps -r..r of a half kernel."""
    return np.concatenate([-half[:0:-1] if odd else half[:0:-1], half])
