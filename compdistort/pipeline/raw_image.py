"""The raw image of a study, and what is known of it: plane or volume, voxel size, true objects."""

from dataclasses import dataclass

import numpy as np

from compdistort.backend.base import Int32, UInt16
from compdistort.config import InputSection, StudyConfig, parse_bytes
from compdistort.errors import ConfigError, ImageFormatError, InputError
from compdistort.io.images import read_image
from compdistort.io.pixels import Crop, check_size
from compdistort.io.volume import open_volume
from compdistort.io.volume_formats import HDF5_SUFFIXES
from compdistort.measurands import Voxel
from compdistort.pipeline.raw_volume import DiskVolume

BYTES_PER_VOXEL = 40
"""Memory of a study for every voxel of a volume that is held as a whole, at least: what is raw, drawn, decoded, its
probability and its labels."""


@dataclass(frozen=True, slots=True)
class RawImage:
    """The raw image of a study.

    Attributes
    ----------
    pixels : ndarray of shape ([planes,] rows, columns), uint16; or DiskVolume
        Grey values, DN; a volume that is read slab by slab stays on disk.
    voxel_um : (plane, row, column), or None
        Size of a voxel of a volume, where it is known.
    """

    pixels: UInt16 | DiskVolume
    voxel_um: Voxel | None


def read_raw(config: StudyConfig, *, streams: bool | None = None) -> RawImage:
    """Return the raw image of a study, cropped.

    Parameters
    ----------
    config : StudyConfig
        The study.
    streams : bool, optional
        Whether a volume stays on disk; by default where `compute.slab` is set, or memory would not hold the study.

    Returns
    -------
    RawImage

    Raises
    ------
    ImageFormatError
        If the file is no 16-bit grey image or volume, or has no such plane.
    ConfigError
        If settings of a volume are given for a plane, or the crop leaves one plane of a volume.
    """
    section = config.input
    crop = crop_of(config)
    if section.page is not None and crop is not None and len(crop) > 2:
        raise ConfigError(
            f'input.crop = "{section.crop}" crops planes, and input.page = {section.page} chooses one',
            "crop rows and columns alone",
        )
    large = _on_disk(config, crop, streams)
    if large is not None:
        return RawImage(large, section.voxel_um or large.voxel_um)
    pixels, voxel_um = _read(config, crop)
    if pixels.ndim == 3 and len(pixels) > 1:
        return RawImage(pixels, section.voxel_um or voxel_um)
    if pixels.ndim == 3:
        raise ConfigError(
            f'input.crop = "{section.crop}" leaves one plane', "choose it with input.page, and crop rows and columns"
        )
    if section.voxel_um is not None:
        raise ConfigError(f"input.voxel_um: {section.raw} is a plane, not a volume", "remove it")
    if config.compute.slab:
        raise ConfigError(f"compute.slab = {config.compute.slab}: {section.raw} is a plane, not a volume", "remove it")
    return RawImage(pixels, None)


def _on_disk(config: StudyConfig, crop: Crop | None, streams: bool | None) -> DiskVolume | None:
    """Return the raw image as a volume on disk where the study does not hold it in memory."""
    section, slab = config.input, config.compute.slab
    if section.page is not None or streams is False:
        return None
    try:
        volume = DiskVolume(section.raw, section.dataset, crop)
    except ImageFormatError:
        if slab or streams:
            raise
        return None  # no volume: whoever reads images takes it, or says what is wrong with it
    limit = parse_bytes(config.compute.max_memory)
    asked = bool(slab) or BYTES_PER_VOXEL * volume.size > limit if streams is None else streams
    if asked and volume.shape[0] > 1:
        return volume
    volume.close()
    return None


def _read(config: StudyConfig, crop: Crop | None) -> tuple[UInt16, Voxel | None]:
    """Return the pixels, and the size of a voxel that the file of a volume tells."""
    section = config.input
    limit = parse_bytes(config.compute.max_memory)
    if section.dataset is not None or section.raw.suffix.lower() in HDF5_SUFFIXES:
        return _read_array(section, crop, limit)
    pixels: UInt16 = read_image(section.raw, kind="raw", crop=crop, page=section.page, max_bytes=limit)
    if pixels.ndim == 2:
        return pixels, None
    with open_volume(section.raw) as volume:
        return pixels, volume.voxel_um


def _read_array(section: InputSection, crop: Crop | None, limit: int) -> tuple[UInt16, Voxel | None]:
    """Return the same of a file that holds several arrays; an array of one plane is an image, as in other files."""
    with open_volume(section.raw, dataset=section.dataset, crop=crop) as volume:
        first, last = (0, volume.shape[0]) if section.page is None else (section.page, section.page + 1)
        if last > volume.shape[0]:
            raise ImageFormatError(
                f"{section.raw}: has no page {section.page}", f"choose one from 0 to {volume.shape[0] - 1}"
            )
        check_size(section.raw, (last - first, *volume.shape[1:]), volume.dtype, None, limit)
        planes: UInt16 = volume.read_planes(first, last)
        cropped_to_one = crop is not None and len(crop) > 2
        return planes[0] if len(planes) == 1 and not cropped_to_one else planes, volume.voxel_um


def crop_of(config: StudyConfig) -> tuple[tuple[int, int], ...] | None:
    """Return the crop of a study as spans of its last axes, None where there is none."""
    if config.input.crop is None:
        return None
    spans = (part.split(":") for part in config.input.crop.split(","))
    return tuple((int(first), int(last)) for first, last in spans)


def read_truth(config: StudyConfig, raw: UInt16 | DiskVolume) -> Int32 | DiskVolume | None:
    """Return the true objects of the field as labels, where the study names them; kept as the raw image is.

    Raises
    ------
    InputError
        If they do not have the shape of the image.
    """
    path = config.input.truth
    if path is None:
        return None
    labels: Int32 | DiskVolume
    if isinstance(raw, DiskVolume):
        labels = DiskVolume(path, None, crop_of(config), kind="labels")
    else:
        labels = read_image(path, kind="labels", crop=crop_of(config)).astype(np.int32)
    if labels.shape != raw.shape:
        raise InputError(
            f"{path}: shape {labels.shape} is not that of the raw image, {raw.shape}",
            "give the true objects of the same field",
        )
    return labels
