"""Volumes segmented without all of them in memory: read slab by slab, mask and labels written plane by plane."""

import math
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.base import Backend, Int32, SegmentRule
from compdistort.errors import ConfigError, ImageFormatError, ResourceError
from compdistort.features import build_bank
from compdistort.forest import Classifier
from compdistort.io.files import naming
from compdistort.io.volume_source import Shape
from compdistort.io.volume_write import volume_writer
from compdistort.io.voxels import VoxelUm
from compdistort.pipeline.environment import process_memory
from compdistort.pipeline.raw_volume import DiskVolume
from compdistort.pipeline.slab_memory import choose_slab, slab_memory
from compdistort.segment import segment_planes

VOLUME_SUFFIXES = (".tif", ".tiff", ".zarr")
"""What volumes are written as."""

BYTES_PER_VOXEL = 16
"""Memory of a voxel that is segmented in memory, beside its grey value: its probability, label and mask (13 bytes), and
what is copied where it is written."""

_MOST_16_BIT = 65535


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What was found and written.

    Attributes
    ----------
    objects, pixels : int
        Number of objects, and of all their pixels.
    """

    objects: int
    pixels: int


@contextmanager
def opened_volume(path: Path, classifier: Classifier) -> Iterator[DiskVolume | None]:
    """Open an image plane by plane where it is a volume; None where it is none, or cannot be opened as one.

    Parameters
    ----------
    path : Path
        Image.
    classifier : Classifier
        One of planes needs no volume.

    Yields
    ------
    DiskVolume or None
    """
    volume = _volume(path) if classifier.ndim == 3 else None
    try:
        yield None if volume is None or volume.shape[0] == 1 else volume
    finally:
        if volume is not None:
            volume.close()


def _volume(path: Path) -> DiskVolume | None:
    try:
        return DiskVolume(path, kind="any")
    except ImageFormatError:
        return None  # whoever reads it as an image takes it, or says what is wrong with it


def exceeds(volume: DiskVolume, classifier: Classifier, backend: Backend[Any], limit: int) -> bool:
    """Return whether segmenting the whole volume in memory would take the process beyond `limit` bytes."""
    bank = build_bank(classifier.features, 3, volume.shape)
    own = backend.working_bytes(volume.shape, bank, classifier.forest)
    return _held() + math.prod(volume.shape) * (volume.dtype.itemsize + BYTES_PER_VOXEL) + own > limit


def segment_slabs(
    path: Path,
    volume: DiskVolume,
    classifier: Classifier,
    rule: SegmentRule,
    backend: Backend[Any],
    limit: int,
    out: Path,
    labels: Path | None,
) -> Found:
    """Segment a volume slab by slab; write what `write_volume` writes of it.

    Parameters
    ----------
    path : Path
        File of the volume, for messages.
    volume : DiskVolume
        Grey values.
    classifier : Classifier
        Features and forest.
    rule : SegmentRule
        From probability to objects.
    backend : Backend
        Engine.
    limit : int
        Memory that the process may take, bytes.
    out : Path
        Mask.
    labels : Path or None
        Label volume.

    Returns
    -------
    Found

    Raises
    ------
    ResourceError
        If not even slabs of one plane fit into the memory, or a file cannot be written.
    ConfigError, InputError
        As `segment_planes`.
    """
    bank = build_bank(classifier.features, 3, volume.shape)
    slab = choose_slab(volume, bank, classifier.forest, backend, limit)
    needed = _held() + slab_memory(volume, bank, classifier.forest, backend, slab)
    if needed > limit:
        raise ResourceError(
            f"{path}: a memory limit of {limit / 2**20:.0f} MiB is too small: slabs of one plane need "
            f"{needed / 2**20:.0f} MiB",
            "raise --max-memory, crop the volume or choose fewer features",
        )
    with naming(path):
        runs, _ = segment_planes(volume, classifier, rule, backend, slab)
    # Imported here: Numba and LLVM are loaded only where they paint.
    from compdistort.backend.compiled.runs import plane_labels  # noqa: PLC0415

    planes = (plane_labels(runs, plane) for plane in range(runs.shape[0]))
    pixels = write_volume(volume.shape, planes, runs.n_objects, out, labels, volume.voxel_um)
    return Found(objects=runs.n_objects, pixels=pixels)


def write_volume(
    shape: tuple[int, ...],
    planes: Iterable[Int32],
    objects: int,
    out: Path,
    labels: Path | None,
    voxel_um: VoxelUm | None,
) -> int:
    """Write mask and labels of a volume, both or none; return how many pixels belong to objects.

    Parameters
    ----------
    shape : tuple of int
        Planes, rows, columns.
    planes : iterable of ndarrays of shape (rows, columns), int32
        Its labels, plane by plane.
    objects : int
        Largest label: up to 65535 they are written as uint16, which every program reads.
    out : Path
        Mask, 8 bit, 0 and 255.
    labels : Path or None
        Label volume.
    voxel_um : tuple of float, or None
        Size of a voxel, micrometres, where it is known.

    Raises
    ------
    ResourceError
        If a file cannot be written.
    """
    volume: Shape = (shape[0], shape[1], shape[2])
    kind = np.dtype(np.uint16 if objects <= _MOST_16_BIT else np.int32)
    pixels = 0
    with ExitStack() as stack:
        masks = stack.enter_context(volume_writer(out, volume, np.uint8, voxel_um=voxel_um))
        ids = None if labels is None else stack.enter_context(volume_writer(labels, volume, kind, voxel_um=voxel_um))
        for plane in planes:
            mask: NDArray[np.bool_] = plane > 0
            pixels += int(np.count_nonzero(mask))
            masks.write_planes(mask[np.newaxis] * np.uint8(255))
            if ids is not None:
                ids.write_planes(plane[np.newaxis].astype(kind))
    return pixels


def check_volume_outputs(out: Path, labels: Path | None) -> None:
    """Refuse names of files that hold planes alone.

    Raises
    ------
    ConfigError
        If a name ends in none of `VOLUME_SUFFIXES`.
    """
    for path in (out, labels):
        if path is not None and path.suffix.lower() not in VOLUME_SUFFIXES:
            raise ConfigError(f"{path}: a volume is not written as '{path.suffix}'", "name it .tif or .zarr")


def _held() -> int:
    """Return the memory that the process holds by now, 0 where the system does not tell."""
    found = process_memory()
    return found[0] if found else 0
