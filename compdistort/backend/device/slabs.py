"""Volumes slab by slab: the device decides the voxels of a slab, the host keeps one bit of each, and finds objects.

A slab is uploaded with the planes that its filters see around it. Components and their table are made by the compiled
loops, whose memory is that of the runs: a volume that needs slabs has labels that no device would hold.
"""

from functools import partial
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.base import FlatForest, Float64, PlaneReader, Runs, SegmentRule, UInt64
from compdistort.backend.device import forest as _forest
from compdistort.backend.device.cuda import Cuda
from compdistort.backend.device.features import DeviceBank
from compdistort.backend.device.streaming import pinned_bytes
from compdistort.backend.plain.forest import refuse_nan
from compdistort.backend.planes import AT_ONCE, Slabs
from compdistort.backend.reach import planes_around

WORD = 64
"""Voxels a word of the mask."""


def volume_objects(
    cuda: Cuda, volume: PlaneReader, bank: DeviceBank, forest: FlatForest, rule: SegmentRule, voter: str, slab: int
) -> tuple[Runs, Float64]:
    """Return objects as runs, and their table (see `Backend.volume_objects`).

    Parameters
    ----------
    cuda : Cuda
        The device.
    volume : PlaneReader
        Where planes come from; each is asked for once, in order.
    bank : DeviceBank
        Filters.
    forest : FlatForest
        The trees.
    rule : SegmentRule
        The class, the decision about its probability, and what is an object.
    voter : str
        ``"device"`` or ``"cpu"``.
    slab : int
        Planes that are decided together.

    Returns
    -------
    runs : Runs
    table : ndarray of shape (n_objects, len(VOLUME_COLUMNS)), float64

    Raises
    ------
    InputError
        If a feature is NaN.
    """
    bits = _mask_bits(cuda, volume, bank, forest, rule, voter, slab)
    # Imported here: Numba and LLVM are loaded only where they find objects.
    loops = import_module("compdistort.backend.compiled.runs")
    runs, table = loops.runs_from_bits(bits, tuple(volume.shape), rule)
    return runs, table


def plane_probability(
    cuda: Cuda, volume: PlaneReader, plane: int, bank: DeviceBank, forest: FlatForest, foreground: int, voter: str
) -> Float64:
    """Return the probability of one class in one plane (see `Backend.plane_probability`)."""
    first, last = planes_around(plane, plane + 1, volume.shape[0], bank)
    part = volume.read_planes(first, last)
    planes = range(plane - first, plane - first + 1)

    def work() -> NDArray[Any]:
        image = cuda.upload(part)
        found = _forest.part_probability(cuda, image, bank, forest, foreground, voter, planes)
        return cuda.download(found)

    found: Float64 = cuda.in_turn(work)[0]
    return found


def slab_bytes(
    shape: tuple[int, ...], bank: DeviceBank, forest: FlatForest, slab: int, itemsize: int, voter: str
) -> int:
    """Return the host memory of `volume_objects`: planes held, a slab's mask, all bits, and what the CPU votes on."""
    plane = shape[1] * shape[2]
    held = (_most_held(shape[0], bank, slab) + 2 * AT_ONCE) * plane * itemsize
    pinned = pinned_bytes(forest.n_features, min(slab, shape[0]) * plane) if voter == "cpu" else 0
    return held + 2 * min(slab, shape[0]) * plane + _bits_shape(shape)[0] * _bits_shape(shape)[1] * 8 + pinned


def _mask_bits(
    cuda: Cuda, volume: PlaneReader, bank: DeviceBank, forest: FlatForest, rule: SegmentRule, voter: str, slab: int
) -> UInt64:
    """Return the mask of a volume as packed bits."""
    planes, rows, _ = volume.shape
    held = Slabs(volume, _most_held(planes, bank, slab))
    bits = np.zeros(_bits_shape(volume.shape), "<u8")
    counts: NDArray[np.int64] = np.zeros(1, np.int64)
    for start in range(0, planes, slab):
        stop = min(start + slab, planes)
        first, last = planes_around(start, stop, planes, bank)
        held.hold(first, last)
        work = partial(_slab_mask, cuda, held.planes, bank, forest, rule, voter, range(start - first, stop - first))
        mask, found = cuda.in_turn(work)
        counts = counts + found
        packed = np.packbits(mask.reshape((stop - start) * rows, -1), axis=1, bitorder="little")
        bits.view(np.uint8)[start * rows : stop * rows, : packed.shape[1]] = packed
    refuse_nan(counts)
    return bits.astype(np.uint64, copy=False)


def _slab_mask(
    cuda: Cuda, part: NDArray[Any], bank: DeviceBank, forest: FlatForest, rule: SegmentRule, voter: str, planes: range
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Return the mask of some planes of a part of the volume, on the host, and the NaN of each feature."""
    mask, counts = _forest.part_mask(cuda, cuda.upload(part), bank, forest, rule, voter, planes)
    return cuda.download(mask), counts


def _most_held(planes: int, bank: DeviceBank, slab: int) -> int:
    """Return the most planes that are held at a time."""
    spans = [planes_around(start, min(start + slab, planes), planes, bank) for start in range(0, planes, slab)]
    return max(last - first for first, last in spans)


def _bits_shape(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return the shape of a volume's mask as packed bits, as `compiled.bits` has it."""
    return shape[0] * shape[1], -(-shape[2] // WORD)
