"""The ticked features of a project: six kinds by any number of scales."""

import math
import re

from compdistort.errors import InputError
from compdistort.io.ilastik.hdf5 import Guarded
from compdistort.io.ilastik.records import FeatureSelection

GROUP = "/FeatureSelections"

OPERATOR_OF_ID = {
    "GaussianSmoothing": "GS",
    "LaplacianOfGaussian": "LoG",
    "GaussianGradientMagnitude": "GGM",
    "DifferenceOfGaussians": "DoG",
    "StructureTensorEigenvalues": "ST",
    "HessianOfGaussianEigenvalues": "HE",
}
"""ilastik's identifiers in its own order, and our operators."""

DEFAULT_SCALES = (0.3, 0.7, 1.0, 1.6, 3.5, 5.0, 10.0)
"""Columns of ilastik's dialog."""

_NAME_OF = {
    "GS": "Gaussian Smoothing",
    "LoG": "Laplacian of Gaussian",
    "GGM": "Gaussian Gradient Magnitude",
    "DoG": "Difference of Gaussians",
    "ST": "Structure Tensor Eigenvalues",
    "HE": "Hessian of Gaussian Eigenvalues",
}
_IN_2D = " in 2D"
_MAX_SCALES = 1000


def read_selection(file: Guarded) -> FeatureSelection | None:
    """Return the ticked features; None where none is.

    Parameters
    ----------
    file : Guarded
        The project.

    Returns
    -------
    FeatureSelection or None

    Raises
    ------
    InputError
        If parts are missing or do not fit together, a scale is no positive number, or an unknown feature is ticked.
    """
    ids = file.texts(f"{GROUP}/FeatureIds")
    scales = file.array(f"{GROUP}/Scales", "fiu", 1)
    matrix = file.array(f"{GROUP}/SelectionMatrix", "biu", 2)
    if matrix is None:
        return None
    if ids is None or scales is None or matrix.shape != (len(ids), scales.size) or scales.size > _MAX_SCALES:
        raise file.error(GROUP, f"a table of {matrix.shape} ticks does not fit its feature names and scales")
    values = tuple(float(scale) for scale in scales)
    if len(set(values)) != len(values) or not all(math.isfinite(scale) and scale > 0 for scale in values):
        raise file.error(f"{GROUP}/Scales", f"scales {list(values)[:20]} are not different positive numbers")
    if len(set(ids)) != len(ids):
        raise file.error(f"{GROUP}/FeatureIds", "a feature is listed twice")
    chosen = []
    for name, row in zip(ids, matrix, strict=True):
        if name not in OPERATOR_OF_ID and row.any():
            raise file.error(f"{GROUP}/FeatureIds", f"feature {name[:60]!r} is ticked, and is not known", "untick it")
        chosen += [(OPERATOR_OF_ID[name], k) for k, ticked in enumerate(row) if ticked]
    in_2d = _read_in_2d(file, len(values))
    return FeatureSelection(scales=values, chosen=tuple(chosen), in_2d=in_2d) if chosen else None


def _read_in_2d(file: Guarded, n_scales: int) -> tuple[bool, ...] | None:
    flags = file.array(f"{GROUP}/ComputeIn2d", "biu", 1)
    if flags is None:
        return None
    if flags.size != n_scales:
        raise file.error(f"{GROUP}/ComputeIn2d", f"holds {flags.size} flags for {n_scales} scales")
    return tuple(bool(flag) for flag in flags)


def ilastik_names(selection: FeatureSelection, ndim: int) -> tuple[str, ...]:
    """Return ilastik's names of the columns.

    Examples
    --------
    >>> ticked = FeatureSelection(scales=(1.0, 1.6), chosen=(("LoG", 1), ("GS", 0)), in_2d=(True, False))
    >>> ilastik_names(ticked, 3)
    ('Laplacian of Gaussian (σ=1.6)', 'Gaussian Smoothing (σ=1.0) in 2D')
    """
    found = []
    for operator, scale in selection.chosen:
        planar = selection.in_2d is not None and selection.in_2d[scale]
        base = f"{_NAME_OF[operator]} (σ={selection.scales[scale]}){_IN_2D if planar else ''}"
        n = 2 if selection.is_planar(scale, ndim) else 3
        found += [f"{base} [{k}]" for k in range(n)] if operator in ("ST", "HE") else [base]
    return tuple(found)


def check_names(path: str, stored: tuple[str, ...], selection: FeatureSelection, ndim: int) -> None:
    """Refuse a forest that was trained on other columns than those ticked now.

    In a 2D image every scale is computed in 2D, whether its name says so or not.

    Raises
    ------
    InputError
        If a name differs.
    """
    expected = ilastik_names(selection, ndim)
    if ndim == 2:
        stored, expected = (tuple(name.replace(_IN_2D, "") for name in names) for names in (stored, expected))
    if stored == expected:
        return
    pairs = zip(stored, expected, strict=False)
    first = next((f"{a[:60]!r} instead of {b!r}" for a, b in pairs if a != b), f"{len(stored)}, not {len(expected)}")
    raise InputError(
        f"{path}: the classifier was trained on other features than those ticked ({first})",
        "train it again in ilastik, and save",
    )


def axes_by_names(stored: tuple[str, ...]) -> int | None:
    """Return the number of image axes that the eigenvalues among ilastik's names tell: 2 or 3; None if they do not."""
    full = [name for name in stored if re.search(r" \[[0-9]\]$", name) and _IN_2D not in name]
    if not full:
        return None
    return 3 if any(name.endswith("[2]") for name in full) else 2


def select(columns: tuple[tuple[str, float], ...], planar: tuple[float, ...], ndim: int) -> FeatureSelection | None:
    """Return the ticks that give exactly these columns, in ilastik's order; None if no ticks do.

    Parameters
    ----------
    columns : tuple of (str, float)
        Operators GS, LoG, GGM, DoG, HE1 to HE3, ST1 to ST3 with their sigmas, in any order.
    planar : tuple of float
        Sigmas that are computed plane by plane in a 3D image.
    ndim : int
        Axes of the images, 2 or 3.

    Returns
    -------
    FeatureSelection or None
    """
    own = {sigma for _, sigma in columns}
    scales = tuple(sorted(own | set(DEFAULT_SCALES)))
    kinds = {(operator[:2] if operator[:2] in ("ST", "HE") else operator, sigma) for operator, sigma in columns}
    chosen = tuple(
        (operator, k)
        for operator in OPERATOR_OF_ID.values()
        for k, sigma in enumerate(scales)
        if (operator, sigma) in kinds
    )
    in_2d = tuple(ndim == 2 or sigma in planar for sigma in scales)
    found = FeatureSelection(scales=scales, chosen=chosen, in_2d=in_2d)
    return found if sorted(found.columns(ndim)) == sorted(columns) else None
