"""The features of one image as a file, for people who want to look at them or train elsewhere."""

from pathlib import Path
from typing import Any

import numpy as np

from compdistort.backend.base import Backend
from compdistort.errors import ImageFormatError
from compdistort.features import FeatureSpec, build_bank, parse_spec
from compdistort.io.files import atomic_path, naming, require_output
from compdistort.io.images import read_image

FEATURE_DTYPES = ("uint8", "uint16", "float32")
"""Pixels that features are computed from, unscaled."""


def export_features(path: Path, out: Path, spec: FeatureSpec, backend: Backend[Any]) -> dict[str, Any]:
    """Compute the features of an image file and write them as npz.

    Parameters
    ----------
    path : Path
        Image of shape ([planes,] rows, columns), uint8, uint16 or float32.
    out : Path
        File to write: arrays `features` (n_features, [planes,] rows, columns), float32, and `names`.
    spec : FeatureSpec
        Which features.
    backend : Backend
        Engine.

    Returns
    -------
    dict
        JSON-ready: ``output``, ``image``, ``device``, ``features`` (the spec), ``shape`` and ``names``.

    Raises
    ------
    ImageFormatError
        If the image cannot be read, or has pixels of another type.
    ConfigError
        If the image has too few pixels or the wrong number of axes for the spec.
    ResourceError
        If the file cannot be written.
    """
    require_output(out, [path])
    image = read_image(path, kind="any")
    if image.dtype.name not in FEATURE_DTYPES:
        raise ImageFormatError(
            f"{path}: features of {image.dtype} pixels are not defined",
            f"convert to {' or '.join(FEATURE_DTYPES)} first",
        )
    with naming(path):
        bank = build_bank(spec, image.ndim, image.shape)
    features = backend.to_host(backend.feature_stack(backend.to_device(image), bank))
    with atomic_path(out) as partial, partial.open("wb") as file:
        np.savez(file, features=features, names=np.array(bank.names))
    return {
        "output": str(out),
        "image": str(path),
        "device": backend.name,
        "features": spec.to_dict(),
        "shape": list(features.shape),
        "names": list(bank.names),
    }


def describe(result: dict[str, Any]) -> str:
    """Return one line for people."""
    n, *shape = result["shape"]
    size = " x ".join(map(str, shape))
    return (
        f"{result['output']}: {n} features of set {result['features']['set']}, {size} pixels, engine {result['device']}"
    )


__all__ = ["describe", "export_features", "parse_spec"]
