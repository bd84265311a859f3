"""How far the set `fast` is from `plain` on an image, in units that matter: of noise, or of the feature itself."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.base import Backend, Float32, NoiseTables, UInt16
from compdistort.backend.planes import PlaneReader
from compdistort.features import FeatureSpec, build_bank, feature_names
from compdistort.features.half_grid import COARSE_PX, is_coarse
from compdistort.io.planes import as_reader, read_box
from compdistort.replicate import crop_tables

REPLICATES = 4
"""Replicates that a feature's noise is taken from: enough, since all pixels are put together."""

_KEY = (0, 0)

_MIDDLE = {2: 512, 3: 96}
"""Side of the part of a study's image that is compared, by the number of axes."""


def difference_to_exact(
    image: NDArray[Any], spec: FeatureSpec, backend: Backend[Any], noise: NoiseTables | None = None
) -> dict[str, float]:
    """Compare the coarse features of the set `fast` with those of `plain`.

    Parameters
    ----------
    image : ndarray of shape ([planes,] rows, columns), uint8, uint16 or float32
        Raw image, DN; uint16 where `noise` is given.
    spec : FeatureSpec
        Features of the set `fast`.
    backend : Backend
        Engine.
    noise : NoiseTables, optional
        Law of the raw image.

    Returns
    -------
    dict of str to float
        By name of a feature, the rms of (fast - plain) over the image, divided by the feature's standard deviation over
        `REPLICATES` replicates (rms over the pixels), or without `noise` by its standard deviation over the image.
        Features without coarse sigmas, and those that do not vary, are left out.

    Raises
    ------
    ConfigError
        If the features do not fit the image.
    """
    pairs = tuple(column for column in spec.columns if is_coarse(column[1]))
    if spec.set != "fast" or not pairs:
        return {}
    fast, plain = (FeatureSpec(set=name, pairs=pairs) for name in ("fast", "plain"))
    near, exact = (_features(image, each, backend) for each in (fast, plain))
    difference = [_rms(a, b) for a, b in zip(near, exact, strict=True)]
    own = [float(plane.std(dtype=np.float64)) for plane in exact]
    unit = own if noise is None else _noise_of(image, plain, backend, noise)
    found = zip(feature_names(fast), difference, unit, strict=True)
    return {name: rms / scale for name, rms, scale in found if scale > 0}


def worst_differences(images: Sequence[NDArray[Any]], spec: FeatureSpec, backend: Backend[Any]) -> dict[str, float]:
    """Return for every feature the largest of `difference_to_exact` among images of shape ([planes,] rows, columns)."""
    worst: dict[str, float] = {}
    for image in images:
        for name, value in difference_to_exact(image, spec, backend).items():
            worst[name] = max(value, worst.get(name, 0.0))
    return worst


def describe_differences(found: dict[str, float]) -> str:
    """Return the words of `worst_differences`: one sentence."""
    name = max(found, key=lambda each: found[each])
    return (
        f"features of {COARSE_PX} px and more are approximated (set fast): rms difference from the set plain at most "
        f"{found[name]:.2g} of a feature's own standard deviation over a training image ({name}); how this compares "
        "with noise is not known without a noise model"
    )


def fast_notice(
    raw: UInt16 | PlaneReader, spec: FeatureSpec, backend: Backend[Any], noise: NoiseTables
) -> tuple[str, ...]:
    """Return a sentence on how far a study's features of the set `fast` are from `plain`; none for other sets.

    Parameters
    ----------
    raw : ndarray of shape ([planes,] rows, columns), uint16, or PlaneReader
        Raw image, DN; of a large one the middle is looked at.
    spec : FeatureSpec
        The study's features.
    backend : Backend
        Engine.
    noise : NoiseTables
        Law of the raw image.

    Returns
    -------
    tuple of str
        At most one.
    """
    if spec.set != "fast":
        return ()
    side = _MIDDLE[len(raw.shape)]
    spans = [(max(0, (n - side) // 2), min(n, (n + side) // 2)) for n in raw.shape]
    box = read_box(as_reader(raw), ((0, 1), *spans)[-3:])
    middle = box if len(spans) == 3 else box[0]
    found = difference_to_exact(middle, spec, backend, crop_tables(noise, *spans[-2:]))
    if not found:
        return ()
    name = max(found, key=lambda each: found[each])
    return (
        f"features of {COARSE_PX} px and more are approximated (set fast): rms difference from the set plain at most "
        f"{found[name]:.2g} of what noise changes in a feature from replicate to replicate ({name})",
    )


def _features(image: NDArray[Any], spec: FeatureSpec, backend: Backend[Any]) -> Float32:
    bank = build_bank(spec, image.ndim, image.shape)
    return backend.to_host(backend.feature_stack(backend.to_device(image), bank)).astype(np.float32, copy=False)


def _rms(a: Float32, b: Float32) -> float:
    return float(np.sqrt(np.mean((a.astype(np.float64) - b) ** 2)))


def _noise_of(image: NDArray[Any], spec: FeatureSpec, backend: Backend[Any], noise: NoiseTables) -> list[float]:
    """Return the standard deviation of every feature over replicates, rms over the pixels."""
    drawn = backend.to_host(backend.replicate(backend.to_device(image), noise, _KEY, range(REPLICATES)))
    stacks = np.stack([_features(one, spec, backend) for one in drawn])
    return [float(np.sqrt(planes.var(axis=0, ddof=1, dtype=np.float64).mean())) for planes in stacks.swapaxes(0, 1)]
