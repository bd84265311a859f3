"""Voxel sizes: what files say about them, in micrometres. A size without a unit is no size."""

import math
from collections.abc import Sequence

VoxelUm = tuple[float, float, float]
"""Distance of neighbouring voxels along planes, rows and columns, in micrometres."""

_WORDS = {
    "nm": ("nanometer", "nanometers", "nanometre", "nanometres"),
    "um": ("µm", "μm", "micron", "microns", "micrometer", "micrometers", "micrometre", "micrometres"),
    "mm": ("millimeter", "millimeters", "millimetre", "millimetres"),
    "cm": ("centimeter", "centimeters", "centimetre", "centimetres"),
}
_MICROMETRES = {"nm": 1e-3, "um": 1.0, "mm": 1e3, "cm": 1e4}
_UNITS = _MICROMETRES | {word: _MICROMETRES[unit] for unit, words in _WORDS.items() for word in words}


def voxel_um(sizes: Sequence[float | None], units: Sequence[str | None]) -> VoxelUm | None:
    """Return a voxel size in micrometres, or None where the file does not give all of it.

    Parameters
    ----------
    sizes : sequence of three float or None
        Distance of neighbouring voxels along planes, rows and columns, each in its unit.
    units : sequence of three str or None
        Their units; nanometres, micrometres, millimetres and centimetres are known, by sign or by name.

    Returns
    -------
    tuple of three float, or None
        None where a size or a unit is absent, the unit is no length, or the size is not above 0.

    Examples
    --------
    >>> voxel_um((0.006, 1620, 1.62), ("mm", "nm", "µm"))
    (6.0, 1.62, 1.62)
    """
    found = [
        size * _UNITS[unit.strip().lower()]
        for size, unit in zip(sizes, units, strict=True)
        if size is not None and unit is not None and unit.strip().lower() in _UNITS
    ]
    if len(found) != 3 or not all(math.isfinite(size) and size > 0 for size in found):
        return None
    return found[0], found[1], found[2]


def number(text: str | None) -> float | None:
    """Return the number that a text holds, or None."""
    try:
        return None if text is None else float(text)
    except ValueError:
        return None
