"""Raw images to VSQ files: .vsq containers, or TIFF files of index pages.

Volumes go through plane by plane, twice: once to count their grey levels and compare them with the sensor, once to be
coded. What is written is what codec ``vsq`` of a study makes of the same image.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from compdistort.backend.planes import PlaneReader
from compdistort.codecs.base import RAW_BYTES_PER_PIXEL
from compdistort.codecs.ratio_search import of_whole_image
from compdistort.codecs.vsq.change import Change
from compdistort.codecs.vsq.codec import Vsq
from compdistort.codecs.vsq.container import VsqHeader, open_vsq, vsq_writer
from compdistort.codecs.vsq.tiff_carrier import COMPRESSIONS, index_tiff_writer, page_header
from compdistort.errors import ConfigError, ImageFormatError
from compdistort.io.files import require_output
from compdistort.io.images import TIFF_SUFFIXES, read_image
from compdistort.io.names import split_dataset
from compdistort.io.planes import as_reader, grey_levels, groups
from compdistort.io.volume import open_volume
from compdistort.io.voxels import VoxelUm
from compdistort.pipeline.encoding_sensor import KnownSensor, averaged

VSQ_SUFFIX = ".vsq"


@contextmanager
def opened_image(path: Path) -> Iterator[tuple[PlaneReader, VoxelUm | None]]:
    """Open a raw image of any format that the project reads, plane by plane.

    Parameters
    ----------
    path : Path
        Image, volume, or dataset in an HDF5 file.

    Yields
    ------
    PlaneReader
        Planes, uint16; an image is one plane.
    tuple of three float, or None
        Distance of planes, rows and columns in micrometres, where the file gives it.

    Raises
    ------
    ImageFormatError
        As `compdistort.io.volume.open_volume`.
    """
    if split_dataset(path)[0].suffix.lower() == ".png":
        yield as_reader(read_image(path)), None
        return
    with open_volume(path) as volume:
        yield volume, volume.voxel_um


def encode_file(
    image: Path, out: Path, settings: Mapping[str, Any], sensor: KnownSensor, *, threads: int = 0
) -> dict[str, Any]:
    """Code a raw image as a .vsq file or a TIFF of indices; every chunk is decoded at once and compared.

    Parameters
    ----------
    image : Path
        Raw image or volume, uint16.
    out : Path
        File to write: ``.vsq``, or ``.tif`` for index pages in JPEG XL (backend ``jxl``) or Deflate.
    settings : mapping
        Of `compdistort.codecs.vsq.codec.Vsq`: step, ratio or added noise, coder, seed.
    sensor : KnownSensor
        Sensor of the same frame.
    threads : int
        Chunks coded at a time; 0 = one a core. The file does not depend on it.

    Returns
    -------
    dict
        JSON-ready: ``image``, ``output``, ``bytes``, ``ratio``, ``measured`` (``added_db``, ``bias_sigma``; None where
        the law knows no noise), ``header``, ``notices``; of a wanted ratio ``target_ratio``, ``reached``, ``limit``.

    Raises
    ------
    ConfigError
        An output of another kind, or settings that do not go together.
    CalibrationError
        If the sensor does not fit the image, or is estimated and that is not allowed.
    ImageFormatError, CodecRangeError, ResourceError
        If the image cannot be read or carried, or the file not be written.
    """
    compression = str(settings.get("backend", "jxl"))
    pages = _check_output(out, [image])
    codec = Vsq(**{**settings, "backend": _coder(compression, pages=pages)})
    with opened_image(image) as (planes, voxel_um):
        levels = grey_levels(planes)
        notices = averaged(sensor.model, codec.frames).check_image(planes, str(image), levels)
        prepared = codec.with_sensor(sensor.model).prepare_planes(planes, lambda: levels)
        header = VsqHeader(
            shape=planes.shape if planes.shape[0] > 1 else planes.shape[1:],
            quantiser=prepared.quantiser(lambda: levels),
            settings=prepared.chunks,
            voxel_um=voxel_um,
            calibration=sensor.origin,
        )
        if pages:
            change = _write_pages(out, header, planes, compression)
        else:
            header, change = _write(out, header, planes, threads or os.cpu_count() or 1)
    search = prepared.search
    told = page_header(header) if pages else header.to_dict()
    result = {**_summary(image, out, told, change), "notices": list(notices)}
    if search is not None:
        result["target_ratio"] = search.target
        result |= of_whole_image(result["ratio"], search.target, search.reached, search.limit)
    return result


def recode_file(image: Path, out: Path, like: Path, *, threads: int = 0) -> dict[str, Any]:
    """Code the decoded image of a .vsq file again, with its header and its seeds: the same bits, and no noise twice.

    Parameters
    ----------
    image : Path
        Decoded image, uint16.
    out : Path
        ``.vsq`` file to write.
    like : Path
        The ``.vsq`` file that it was decoded from.
    threads : int
        Chunks coded at a time; 0 = one a core.

    Returns
    -------
    dict
        JSON-ready, as `encode_file`.

    Raises
    ------
    ConfigError
        An output of another kind.
    ImageFormatError
        If a file cannot be read, or the image has another size or is not the one decoded from `like`.
    """
    pages = _check_output(out, [image, like])
    if pages:
        raise ConfigError(f"{out}: --like writes .vsq files", f"end the name in {VSQ_SUFFIX}")
    with open_vsq(like) as old:
        header, seeds, parts = old.header, old.seeds(), old.parts
    with opened_image(image) as (planes, _):
        if planes.shape != header.volume:
            raise ImageFormatError(
                f"{image}: has {planes.shape} pixels, {like} has {header.volume}", "give the image decoded from it"
            )
        with vsq_writer(out, header, seeds=seeds, threads=threads or os.cpu_count() or 1) as writer:
            for start, stop in groups(0, planes.shape[0]):
                writer.write_planes(planes.read_planes(start, stop))
            writer.require_same_pixels(parts)
    return {**_summary(image, out, header.to_dict(), writer.finish().change), "notices": []}


def _check_output(out: Path, inputs: list[Path]) -> bool:
    """Refuse an output that cannot be written; return whether it is a TIFF of index pages."""
    if out.suffix.lower() not in (VSQ_SUFFIX, *TIFF_SUFFIXES):
        raise ConfigError(f"{out}: cannot write files of type '{out.suffix}'", f"end the name in {VSQ_SUFFIX} or .tif")
    require_output(out, [split_dataset(each)[0] for each in inputs])
    return out.suffix.lower() != VSQ_SUFFIX


def _coder(backend: str, *, pages: bool) -> str:
    """Return the coder of chunks that goes with a backend; pages of a TIFF have compressions of their own."""
    if not pages:
        return backend
    if backend not in COMPRESSIONS:
        raise ConfigError(
            f"backend '{backend}' does not go into TIFF", f"use {' or '.join(COMPRESSIONS)}, or write a .vsq file"
        )
    return "jxl"


def _write(out: Path, header: VsqHeader, planes: PlaneReader, threads: int) -> tuple[VsqHeader, Change]:
    with vsq_writer(out, header, threads=threads) as writer:
        for start, stop in groups(0, planes.shape[0]):
            writer.write_planes(planes.read_planes(start, stop))
    outcome = writer.finish()
    return outcome.header, outcome.change


def _write_pages(out: Path, header: VsqHeader, planes: PlaneReader, compression: str) -> Change:
    with index_tiff_writer(out, header, compression=compression, effort=header.settings.effort) as writer:
        for start, stop in groups(0, planes.shape[0]):
            writer.write_planes(planes.read_planes(start, stop))
    return writer.finish()


def _summary(image: Path, out: Path, told: dict[str, Any], change: Change) -> dict[str, Any]:
    size, noisy = out.stat().st_size, change.variance > 0
    return {
        "image": str(image),
        "output": str(out),
        "bytes": size,
        "ratio": RAW_BYTES_PER_PIXEL * change.pixels / size,
        "measured": {
            "added_db": change.added_db if noisy else None,
            "bias_sigma": change.bias_sigma if noisy else None,
        },
        "header": told,
    }
