"""Which reader opens a volume; the libraries are imported only where one is needed."""

from pathlib import Path

from compdistort.errors import ConfigError, ImageFormatError
from compdistort.io.names import HDF5_SUFFIXES, TIFF_SUFFIXES, check_sequence, file_format, is_zarr, plane_files
from compdistort.io.png_npy import npy_header
from compdistort.io.volume_source import FlatSource, Shape, Source, check_volume, choose

__all__ = ["HDF5_SUFFIXES", "open_source"]

_FORMATS = {**dict.fromkeys(TIFF_SUFFIXES, "TIFF"), **dict.fromkeys(HDF5_SUFFIXES, "HDF5"), ".npy": "npy"}
_USE = "use TIFF, OME-TIFF, HDF5, npy, an OME-Zarr folder or a folder of one TIFF a plane"


def open_source(
    path: Path,
    dataset: str | None,
    stored_numbers: bool,
    channel: int | None,
    time: int | None,
    max_bytes: int,
) -> Source:
    """Open a volume by what its name and its first bytes say it is.

    Parameters
    ----------
    path : Path
        File or folder.
    dataset : str or None
        Dataset of an HDF5 file or array of an OME-Zarr folder.
    stored_numbers : bool
        Accept palette and white-is-zero TIFF pages and return the numbers as stored.
    channel, time : int or None
        What to read of several.
    max_bytes : int
        Largest plane and largest chunk.

    Returns
    -------
    Source

    Raises
    ------
    ImageFormatError
        As `compdistort.io.volume.open_volume`.
    ConfigError
        A dataset for a file that has none.
    """
    if path.is_dir() and is_zarr(path):
        from compdistort.io.volume_zarr import ZarrVolume  # noqa: PLC0415  zarr takes half a second to import

        return ZarrVolume(path, dataset, channel=channel, time=time, max_bytes=max_bytes)
    found = "folder" if path.is_dir() else file_format(path, _FORMATS, _USE)
    if dataset is not None and found != "HDF5":
        raise ConfigError(
            f"{path}: is no HDF5 file or OME-Zarr folder, and has no data set {dataset!r}", "leave it out"
        )
    if found == "TIFF":
        from compdistort.io.volume_tiff import open_tiff  # noqa: PLC0415

        return open_tiff(path, channel=channel, time=time, stored_numbers=stored_numbers, max_bytes=max_bytes)
    choose(path, "channel", 1, channel)
    choose(path, "time", 1, time)
    return _open_plain(path, found, dataset, stored_numbers, max_bytes)


def _open_plain(path: Path, found: str, dataset: str | None, stored_numbers: bool, max_bytes: int) -> Source:
    """Open a file that knows neither channels nor times."""
    if found == "HDF5":
        from compdistort.io.volume_hdf5 import Hdf5Volume  # noqa: PLC0415

        return Hdf5Volume(path, dataset, max_bytes=max_bytes)
    if found == "npy":
        return _open_npy(path, max_bytes)
    from compdistort.io.volume_tiff import PlaneFolder  # noqa: PLC0415

    files = plane_files(path)
    if not files:
        raise ImageFormatError(f"{path}: holds neither TIFF files nor an OME-Zarr image", _USE)
    check_sequence(path, files)
    return PlaneFolder(files, stored_numbers, max_bytes)


def _open_npy(path: Path, max_bytes: int) -> FlatSource:
    with path.open("rb") as file:
        shape, fortran, dtype = npy_header(path, file)
        offset = file.tell()
    if fortran:
        raise ImageFormatError(
            f"{path}: has its columns first (Fortran's order)", "save it with numpy: numpy.ascontiguousarray(volume)"
        )
    volume: Shape = (shape[0] if len(shape) == 3 else 1, shape[-2], shape[-1])
    check_volume(path, volume, dtype, (1, *volume[1:]), None, max_bytes)
    return FlatSource(path, offset, volume, dtype, None)
