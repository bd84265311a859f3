"""How much memory a study of a volume on disk takes, and how many planes it decides together."""

from typing import Any

from compdistort.backend.base import Backend, FilterBank, FlatForest
from compdistort.pipeline.environment import process_memory
from compdistort.pipeline.raw_volume import DiskVolume

DEPTHS = (64, 48, 32, 24, 16, 12, 8, 4, 2, 1)
"""Planes that may be decided together: more than the first saves little, since what surrounds a slab is then small."""
ITEMSIZE = 4
"""Bytes of a voxel of the images that are decided, unless these are known: decoded ones may be float32."""
_RUN_BYTES = 3 * 12
"""Bytes of a run of voxels: runs of the reference, of the image in work, and those that become these."""


def slab_memory(
    raw: DiskVolume,
    bank: FilterBank,
    forest: FlatForest,
    backend: Backend[Any],
    slab: int,
    runs: int = 0,
    itemsize: int = ITEMSIZE,
) -> int:
    """Return the memory that one image takes while it is decided slab by slab.

    Parameters
    ----------
    raw : DiskVolume
        Raw volume.
    bank : FilterBank
        Filters.
    forest : FlatForest
        The trees.
    backend : Backend
        Engine.
    slab : int
        Planes that are decided together.
    runs : int
        Runs of voxels of all objects, as far as known.
    itemsize : int
        Bytes of a voxel of the widest image that is decided.

    Returns
    -------
    int
        Bytes.
    """
    # What reads, draws and decodes a few planes at a time is in the engine's own figure.
    return backend.slab_bytes(raw.shape, bank, forest, slab, itemsize) + raw.kept_bytes + _RUN_BYTES * runs


def choose_slab(raw: DiskVolume, bank: FilterBank, forest: FlatForest, backend: Backend[Any], limit: int) -> int:
    """Return the most planes of `DEPTHS` that can be decided together within a memory limit, in bytes; else 1."""
    held = process_memory()
    room = limit - (held[0] if held else 0)
    return next((n for n in DEPTHS if slab_memory(raw, bank, forest, backend, n) <= room), 1)
