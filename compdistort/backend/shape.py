"""From integer counts to the object table: the float arithmetic that every engine shares.

An engine counts in integers (areas, moment sums, outline steps, hull vertices), which are the same bits everywhere.
What needs rounding or a transcendental function is done here, once, in NumPy, so that the tables of two engines
can differ in nothing. Definitions are those of ImageJ's particle analyser (version 1.53) and of BioVoxxel's Extended
Particle Analyzer, its rounded constants included.
"""

from math import prod

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.base import MEASURE_COLUMNS, VOLUME_COLUMNS, Float64, Int32
from compdistort.backend.surface import SURFACE_COLUMNS

Int64 = NDArray[np.int64]

MAX_SIDE = 65536
"""Largest side of a 2D image in pixels: up to here sums of squared coordinates fit int64.

A volume has no such limit: its sums are of coordinates only, and fit for any volume that a machine can hold.
"""

COUNTS = (
    "x_start", "y_start", "area", "sx", "sy", "sxx", "syy", "sxy", "x_min", "y_min", "x_max", "y_max",
    "steps", "corners", "hull_area2", "feret_x1", "feret_y1", "feret_x2", "feret_y2", "width_cross", "width_len2",
)  # fmt: skip
"""Columns of the integer array: first pixel in raster order; area; sums of x, y, x^2, y^2, xy over pixel indices;
first and last column and row; outline length and counted corners; twice the hull's area; the two ends of the Feret
diameter in hull order; and of the hull edge with the smallest caliper width, the largest cross product with a hull
vertex and the squared length (width = cross / sqrt(len2))."""

VOLUME_COUNTS = (
    "x_start", "y_start", "z_start", "volume", "sx", "sy", "sz", "x_min", "y_min", "z_min", "x_max", "y_max", "z_max",
    *SURFACE_COLUMNS,
)  # fmt: skip
"""Columns of the integer array of 3D objects: first voxel in raster order; voxels; sums of x, y, z over voxel indices;
first and last column, row and plane; surface triangles by kind."""

SURFACE = slice(len(VOLUME_COUNTS) - len(SURFACE_COLUMNS), len(VOLUME_COUNTS))
"""Where the surface triangles stand among `VOLUME_COUNTS`."""

ROUNDED_SQRT_PI = 1.772453851
ROUNDED_TWELFTH = 0.08333333
ROUNDED_HALF_PI = 1.5707963267949
CORNER = 2.0 - float(np.sqrt(2.0))


def count_objects(labels: Int32) -> int:
    """Return the number of objects, or refuse an image whose counts could overflow.

    Parameters
    ----------
    labels : ndarray of shape ([planes,] rows, columns), int32
        Object ids; 0 = background.

    Returns
    -------
    int
        Largest id.

    Raises
    ------
    ValueError
        If a side of a 2D image exceeds `MAX_SIDE`, or an id is negative or larger than the number of pixels.
    """
    low, high = (int(labels.min()), int(labels.max())) if labels.size else (0, 0)
    return checked_count(labels.shape, low, high)


def checked_count(shape: tuple[int, ...], low: int, high: int) -> int:
    """Return the number of objects from the smallest and largest id (see `count_objects`)."""
    if len(shape) == 2 and max(shape) > MAX_SIDE:
        raise ValueError(f"labels of shape {shape} are too large to measure; at most {MAX_SIDE} pixels a side")
    if low < 0 or high > prod(shape):
        raise ids_out_of_order()
    return high


def ids_out_of_order() -> ValueError:
    """Return the error for ids that are not 1..n in raster order of their first pixel."""
    return ValueError("object ids must be 1..n in raster order of their first pixel; relabel the image first")


def table_from_counts(counts: Int64) -> Float64:
    """Return the object table.

    Parameters
    ----------
    counts : ndarray of shape (n_objects, len(COUNTS)), int64
        What an engine counted, pixel indices absolute.

    Returns
    -------
    ndarray of shape (n_objects, len(MEASURE_COLUMNS)), float64
        Lengths in pixels, areas in pixels^2, angles in degrees in [0, 180), anticlockwise as seen on screen.

    References
    ----------
    .. [1] Rasband et al., ImageJ 1.53, particle analyser; Brocher, BioVoxxel Toolbox, Extended Particle Analyzer.
    """
    q = {name: counts[:, i] for i, name in enumerate(COUNTS)}
    columns = _ratios(_sizes(q), q)
    table = np.empty((counts.shape[0], len(MEASURE_COLUMNS)), np.float64)
    for i, name in enumerate(MEASURE_COLUMNS):
        table[:, i] = columns[name]
    return table


def table_from_volume_counts(counts: Int64) -> Float64:
    """Return the table of 3D objects.

    Parameters
    ----------
    counts : ndarray of shape (n_objects, len(VOLUME_COUNTS)), int64
        What an engine counted, voxel indices absolute.

    Returns
    -------
    ndarray of shape (n_objects, len(VOLUME_COLUMNS)), float64
        Lengths in voxels; a voxel's centre lies at its index + 0.5, as in 2D.
    """
    q = {name: counts[:, i] for i, name in enumerate(VOLUME_COUNTS)}
    table = np.empty((counts.shape[0], len(VOLUME_COLUMNS)), np.float64)
    columns = {name: table[:, i] for i, name in enumerate(VOLUME_COLUMNS)}
    columns["Volume"][...] = q["volume"]
    for name in SURFACE_COLUMNS:
        columns[name][...] = q[name]
    for axis, extent in (("x", "Width"), ("y", "Height"), ("z", "Depth")):
        columns[f"{axis.upper()}Start"][...] = q[f"{axis}_start"]
        columns[f"{axis.upper()}M"][...] = q[f"s{axis}"] / columns["Volume"] + 0.5
        columns[f"B{axis.upper()}"][...] = q[f"{axis}_min"]
        columns[extent][...] = q[f"{axis}_max"] - q[f"{axis}_min"] + 1
    return table


def _sizes(q: dict[str, Int64]) -> dict[str, Float64]:
    """Return positions, lengths, area and angles by column name."""
    n = q["area"].astype(np.float64)
    width = (q["x_max"] - q["x_min"] + 1).astype(np.float64)
    height = (q["y_max"] - q["y_min"] + 1).astype(np.float64)
    x_centre, y_centre = q["sx"] / n + 0.5, q["sy"] / n + 0.5
    major, minor, angle = _ellipse(q, n, width, height)
    feret, feret_x, feret_y, feret_angle = _feret(q)
    return {
        "XStart": q["x_start"].astype(np.float64),
        "YStart": q["y_start"].astype(np.float64),
        "Area": n,
        "XM": x_centre,
        "YM": y_centre,
        "Perim.": q["steps"] - q["corners"] * CORNER,
        "Major": major,
        "Minor": minor,
        "Angle": angle,
        "Feret": feret,
        "FeretX": feret_x,
        "FeretY": feret_y,
        "FeretAngle": feret_angle,
        "MinFeret": q["width_cross"] / np.sqrt(q["width_len2"].astype(np.float64)),
        "X": x_centre,
        "Y": y_centre,
        "BX": q["x_min"].astype(np.float64),
        "BY": q["y_min"].astype(np.float64),
        "Width": width,
        "Height": height,
    }


def _ratios(sizes: dict[str, Float64], q: dict[str, Int64]) -> dict[str, Float64]:
    """Return the sizes and the dimensionless parameters made of them, by column name."""
    n, perimeter, major = sizes["Area"], sizes["Perim."], sizes["Major"]
    return sizes | {
        "Circ.": np.minimum(4.0 * np.pi * (n / (perimeter * perimeter)), 1.0),
        "AR": major / sizes["Minor"],
        "Round": 4.0 * (n / (np.pi * (major * major))),
        "Solidity": n / (q["hull_area2"] / 2.0),
        "FeretAR": sizes["Feret"] / sizes["MinFeret"],
        "Compact": np.sqrt(4.0 / np.pi * n) / major,
        "Extent": n / (sizes["Width"] * sizes["Height"]),
    }


def _feret(q: dict[str, Int64]) -> tuple[Float64, Float64, Float64, Float64]:
    """Return length, left end (x, y) and angle of the diameter; with equal x the first end in hull order is kept."""
    swap = q["feret_x2"] < q["feret_x1"]
    x1, x2 = np.where(swap, q["feret_x2"], q["feret_x1"]), np.where(swap, q["feret_x1"], q["feret_x2"])
    y1, y2 = np.where(swap, q["feret_y2"], q["feret_y1"]), np.where(swap, q["feret_y1"], q["feret_y2"])
    dx, dy = x2 - x1, y1 - y2
    angle = 180.0 / np.pi * np.arctan2(dy.astype(np.float64), dx.astype(np.float64))
    length = np.sqrt((dx * dx + dy * dy).astype(np.float64))
    return length, x1.astype(np.float64), y1.astype(np.float64), np.where(angle < 0.0, angle + 180.0, angle)


def _ellipse(q: dict[str, Int64], n: Float64, width: Float64, height: Float64) -> tuple[Float64, Float64, Float64]:
    """Return major axis, minor axis and angle of the ellipse with the object's area and second moments."""
    line = (width == 1.0) | (height == 1.0)
    major = 2.0 * np.maximum(width, height) / ROUNDED_SQRT_PI
    minor = 2.0 * np.minimum(width, height) / ROUNDED_SQRT_PI
    angle = np.where(width >= height, 0.0, 90.0)
    body = np.flatnonzero(~line)
    u20, u02, u11 = _central_moments({name: column[body] for name, column in q.items()})
    long, short, theta = _fit_ellipse(u20, u02, u11, n[body])
    major[body], minor[body] = np.maximum(long, short), np.minimum(long, short)
    degrees = 180.0 * theta / np.pi
    angle[body] = np.where(degrees == 180.0, 0.0, degrees)
    return major, minor, angle


def _central_moments(q: dict[str, Int64]) -> tuple[Float64, Float64, Float64]:
    """Return u20, u02, u11, each pixel a unit square.

    Sums are first moved to the bounding box, exactly (int64 wraps on the way and comes back), so that an object has
    the same shape wherever it lies. The order of the float operations is ImageJ's: whether a moment is exactly
    zero decides between 0 and 180 degrees.
    """
    area, x0, y0 = q["area"], q["x_min"], q["y_min"]
    sx, sy = q["sx"] - area * x0, q["sy"] - area * y0
    sxx = q["sxx"] - 2 * x0 * q["sx"] + area * x0 * x0
    syy = q["syy"] - 2 * y0 * q["sy"] + area * y0 * y0
    sxy = q["sxy"] - x0 * q["sy"] - y0 * q["sx"] + area * x0 * y0
    n = area.astype(np.float64)
    mean_x, mean_y = sx / n, sy / n
    u20 = (sxx + ROUNDED_TWELFTH * n) / n - mean_x * mean_x
    u02 = (syy + ROUNDED_TWELFTH * n) / n - mean_y * mean_y
    return u20, u02, sxy / n - mean_x * mean_y


def _fit_ellipse(u20: Float64, u02: Float64, u11: Float64, n: Float64) -> tuple[Float64, Float64, Float64]:
    """Return both full axes (in either order) and the angle in radians."""
    m = np.maximum(4.0 * np.abs(u02 * u20 - u11 * u11), 1e-6)
    a11, a12, a22 = u02 / m, u11 / m, u20 / m
    difference = a11 - a22
    theta = 0.5 * np.arctan(2.0 * a12 / np.where(difference == 0.0, 1e-6, difference))
    theta = np.where(theta < 0.0, theta + ROUNDED_HALF_PI, theta)
    theta = np.where(a12 > 0.0, theta + ROUNDED_HALF_PI, theta)
    wide, tall = (a12 == 0.0) & (a22 > a11), (a12 == 0.0) & (a22 < a11)
    theta = np.where(wide, 0.0, np.where(tall, ROUNDED_HALF_PI, theta))
    a11, a22 = np.where(wide, a22, a11), np.where(wide, a11, a22)
    sine = np.sin(theta)
    z = a12 * np.cos(theta) / np.where(sine == 0.0, 1e-6, sine)
    along, across = np.sqrt(1.0 / np.abs(a22 + z)), np.sqrt(1.0 / np.abs(a11 - z))
    scale = np.sqrt(n / (np.pi * along * across))
    return along * scale * 2.0, across * scale * 2.0, theta
