"""Outlines and thickness of simulated objects: where they lie, and what a phase microscope sees of them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]
Int32 = NDArray[np.int32]

SPHERE_RADIUS_PX = (5.8, 8.6)
SPHERE_GAP_PX = 9.0
SPHERE_DENSITY = 60 / 288**2
CELL_SPACING_PX = 43.0
CELL_GAP_PX = 1.6


def spheres(size: int, rng: np.random.Generator) -> tuple[Int32, Float64]:
    """Place small, well separated round cells.

    Parameters
    ----------
    size : int
        Rows and columns.
    rng : Generator
        Source of randomness.

    Returns
    -------
    labels : ndarray of shape (size, size), int32
        0 background, then one number an object.
    phase : ndarray of shape (size, size), float64
        Phase delay, radians.
    """
    wanted = round(SPHERE_DENSITY * size**2)
    placed: list[tuple[float, float, float]] = []
    for _ in range(400 * wanted):
        radius = rng.uniform(*SPHERE_RADIUS_PX)
        margin = radius + SPHERE_GAP_PX / 2
        y, x = rng.uniform(margin, size - margin, 2)
        if all(np.hypot(y - v, x - u) >= radius + r + SPHERE_GAP_PX for v, u, r in placed):
            placed.append((y, x, radius))
        if len(placed) == wanted:
            break
    labels = np.zeros((size, size), np.int32)
    phase = np.zeros((size, size))
    for number, (y, x, radius) in enumerate(placed, start=1):
        height = _dome(size, y, x, radius, rng)
        labels[height > 0] = number
        phase += rng.uniform(0.45, 0.8) * np.sqrt(height)
    return labels, phase * (1 + 0.15 * texture(size, 1.3, rng))


def _dome(size: int, y: float, x: float, radius: float, rng: np.random.Generator) -> Float64:
    """Return ``1 - (r / radius)^2`` inside a slightly oval outline, 0 outside."""
    stretch, turn = rng.uniform(1.0, 1.22), rng.uniform(0, np.pi)
    rows, columns = np.mgrid[:size, :size]
    along = (columns - x) * np.cos(turn) + (rows - y) * np.sin(turn)
    across = (rows - y) * np.cos(turn) - (columns - x) * np.sin(turn)
    angle = np.arctan2(across, along)
    wobble = 1 + 0.04 * np.cos(3 * angle + rng.uniform(0, 6.28)) + 0.03 * np.cos(2 * angle + rng.uniform(0, 6.28))
    squared = (along**2 / stretch + across**2 * stretch) / (radius * wobble) ** 2
    return np.asarray(np.maximum(1 - squared, 0.0), np.float64)


def confluent(size: int, rng: np.random.Generator) -> tuple[Int32, Float64]:
    """Tile the image with large adherent cells: flat rims, thick granular bodies, narrow gaps, some holes in the layer.

    Parameters and results as in `spheres`.
    """
    from scipy.ndimage import binary_opening, distance_transform_edt, gaussian_filter, label  # noqa: PLC0415

    nearest, margin = _cells(size, rng)
    bare = texture(size, 20.0, rng) > 1.35  # places that no cell has covered
    inside = binary_opening((margin > CELL_GAP_PX) & ~bare, iterations=2)
    labels = np.zeros((size, size), np.int32)
    for cell in np.unique(nearest[inside]):
        parts, n = label(inside & (nearest == cell))
        areas = np.bincount(parts.ravel(), minlength=n + 1)[1:]
        if areas.max() >= 150:
            labels[parts == 1 + int(np.argmax(areas))] = labels.max() + 1
    depth: Any = distance_transform_edt(labels > 0)
    rim = 1 - np.exp(-depth / 2.0)
    body = _nuclei(labels, depth, rng)
    grain = gaussian_filter(rng.standard_normal((size, size)), 0.9) * 2.4
    phase = rim * (0.26 + 0.15 * body + 0.04 * texture(size, 3.0, rng) + 0.05 * grain)
    return labels, np.maximum(phase, 0) * (labels > 0)


def _cells(size: int, rng: np.random.Generator) -> tuple[NDArray[np.int64], Float64]:
    """Return the nearest cell of every pixel in a stretched, warped tessellation, and the distance to the next."""
    from scipy.spatial import cKDTree  # noqa: PLC0415

    rows, columns = np.mgrid[:size, :size].astype(np.float64)
    rows += 5.0 * texture(size, 9.0, rng)
    columns += 5.0 * texture(size, 9.0, rng)
    steps = np.arange(-CELL_SPACING_PX, size + CELL_SPACING_PX, CELL_SPACING_PX)
    grid = np.stack(np.meshgrid(steps, steps, indexing="ij"), axis=-1).reshape(-1, 2)
    centres = grid + rng.uniform(-0.42, 0.42, grid.shape) * CELL_SPACING_PX
    turn = np.array([[np.cos(0.6), np.sin(0.6)], [-np.sin(0.6), np.cos(0.6)]]) * np.array([[0.8], [1.25]])
    places = np.stack([rows.ravel(), columns.ravel()], axis=1)
    distance, index = cKDTree(centres @ turn.T).query(places @ turn.T, k=2)
    margin = (distance[:, 1] - distance[:, 0]) / 2
    return index[:, 0].reshape(size, size), margin.reshape(size, size)


def _nuclei(labels: Int32, depth: Float64, rng: np.random.Generator) -> Float64:
    """Return a smooth bulge around the deepest place of every cell, 0 to about 1, with a paler nucleus."""
    rows, columns = np.indices(labels.shape)
    out = np.zeros(labels.shape)
    for number in range(1, int(labels.max()) + 1):
        inside = labels == number
        y, x = np.unravel_index(np.argmax(np.where(inside, depth, 0)), labels.shape)
        reach = 0.5 * np.sqrt(inside.sum())
        squared = (rows - y) ** 2 + (columns - x) ** 2
        nucleus = 1 / (1 + np.exp((np.sqrt(squared) - rng.uniform(0.42, 0.55) * reach) / 0.8))
        out += inside * (np.exp(-squared / (2 * reach**2)) - 0.35 * nucleus)
    return out


def texture(size: int, sigma_px: float, rng: np.random.Generator) -> Float64:
    """Return smooth noise of mean 0 and standard deviation 1, float64 of shape (size, size)."""
    from scipy.ndimage import gaussian_filter  # noqa: PLC0415

    smooth = gaussian_filter(rng.standard_normal((size, size)), sigma_px, mode="wrap")
    return np.asarray((smooth - smooth.mean()) / smooth.std(), np.float64)
