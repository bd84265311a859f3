"""Index planes of every kind, with their dither, for the coders of VSQ's indices."""

import numpy as np

from compdistort.codecs.vsq.dither import dither

KINDS = ("noisy", "constant", "smooth", "wide", "any", "saturated", "all saturated", "dark")


def index_plane(kind, shape, seed=0, step=2.0):
    """Indices, the index of saturated pixels, and the dither they were made with."""
    rng = np.random.default_rng(seed)
    rows, columns = shape
    d = dither(rows * columns, seed).reshape(shape)
    level = np.add.outer(np.sin(np.arange(rows) / 7.0), np.cos(np.arange(columns) / 9.0)) * 4 + 30
    noise = {"constant": 0.0, "smooth": 0.0, "wide": 300.0}.get(kind, 1.0) * rng.normal(size=shape)
    places = (np.full(shape, 20.3) if kind == "constant" else 30 * level if kind == "wide" else level) + noise / step
    indices = np.clip(np.floor(places + d / 2**20), 0, 65534).astype(np.int64)
    saturated = 65535 if kind == "any" else int(indices.max()) + 1
    if kind == "any":
        indices = rng.integers(0, 65536, shape)
    if kind == "saturated":
        indices[np.add.outer(np.arange(rows), np.arange(columns)) % 23 < 5] = saturated
        indices[rng.random(shape) < 0.05] = saturated
    if kind == "all saturated":
        indices[:] = saturated
    if kind == "dark":
        indices[rng.random(shape) < 0.3] = 0
    return indices.astype(np.uint16), saturated, d
