"""Tables of the noise law, made once on the host from a sensor model; every engine draws from the same ones."""

import hashlib
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.base import Float32, NoiseTables, PixelMaps, UInt16, UInt32
from compdistort.errors import CalibrationError, ConfigError
from compdistort.replicate.law import exact_cdf, quantile_cubics, skewness_sixth
from compdistort.sensor.model import SensorModel, SensorRegion

LAWS = ("poisson-gaussian", "gaussian")
"""Names of the noise laws."""

EXACT_BELOW_E = 100.0
"""Electrons up to which the law is inverted exactly."""

MAX_CDF_ENTRIES = 1 << 22
"""Size of one region's exact tables (16 MiB); a sensor of many DN per electron keeps fewer exact levels."""

_UNITS = 2.0**32
_SENTINEL = 0xFFFFFFFF
_GUIDE_CELLS = 64


def noise_tables(
    sensor: SensorModel, law: str = "poisson-gaussian", shape: tuple[int, ...] | None = None
) -> NoiseTables:
    """Return the noise law of a sensor as tables.

    Read noise excludes the converter's 1/12 DN^2, so nothing is subtracted: rounding adds it. Grey levels below the
    offset keep their value as mean and are Gaussian with ``v = max(0, K^2 sigma_d^2 + K (y - offset))``: the total
    variance is clipped, never the signal.

    Parameters
    ----------
    sensor : SensorModel
        Scalar, per region or per pixel.
    law : {"poisson-gaussian", "gaussian"}
        Exact law up to `EXACT_BELOW_E` electrons and skew-corrected normal above, or normal throughout. Per-pixel maps
        take the (skew-corrected) normal throughout; `law_distance` says how far that is from the exact law.
    shape : tuple of int, optional
        Shape of the image, ([planes,] rows, columns), checked against the sensor's frame.

    Returns
    -------
    NoiseTables

    Raises
    ------
    ConfigError
        If the law is unknown.
    CalibrationError
        If the sensor belongs to a frame of another shape.

    Examples
    --------
    >>> sensor = SensorModel.scalar(offset_dn=100, gain_e_per_dn=0.5, read_noise_e=2.0, bits=12)
    >>> tables = noise_tables(sensor)
    >>> tables.level.shape, tables.top
    ((1, 4096, 4), 4095)
    >>> [round(float(x), 2) for x in tables.level[0, 1000, :2]]  # mean and standard deviation at 1000 DN, 450 e-
    [1000.0, 42.61]
    """
    if law not in LAWS:
        raise ConfigError(f"noise law '{law}' is unknown", f"use one of {', '.join(LAWS)}")
    if shape is not None and sensor.frame_shape is not None and tuple(shape[-2:]) != sensor.frame_shape:
        raise CalibrationError(
            f"the sensor belongs to a frame of {sensor.frame_shape}, the image has {tuple(shape[-2:])} (rows, columns)",
            "crop the sensor as the image was cropped",
        )
    quantile = quantile_cubics()
    if sensor.maps is not None:
        empty = np.zeros((0, 0, 4), np.float32)
        cdf, guide = np.zeros(0, np.uint32), np.zeros(0, np.uint16)
        return NoiseTables(
            law=law, level=empty, cdf=cdf, guide=guide, quantile=quantile, top=sensor.max_dn, maps=_pixel_maps(sensor)
        )
    builder = _TableBuilder(law, sensor.max_dn)
    level = np.stack([builder.add(region) for region in sensor.regions])
    cdf, guide = builder.finish()
    return NoiseTables(
        law=law, level=level, cdf=cdf, guide=guide, quantile=quantile, top=sensor.max_dn, region=sensor.region_map()
    )


def tables_sha256(tables: NoiseTables) -> str:
    """Return the SHA-256 over all entries of the tables, in hexadecimal, for the provenance.

    Another version of SciPy may move an entry by one unit: equal hashes promise equal replicates.
    """
    digest = hashlib.sha256(f"{tables.law} {tables.top}".encode())
    arrays = {name: getattr(tables, name) for name in ("level", "cdf", "guide", "quantile", "region")}
    if tables.maps is not None:
        arrays |= {f"maps.{f.name}": getattr(tables.maps, f.name) for f in fields(tables.maps)}
    for name, array in arrays.items():
        if array is not None:
            little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
            digest.update(f"|{name} {little.dtype.str} {little.shape}|".encode())
            digest.update(little.tobytes())
    return digest.hexdigest()


def _pixel_maps(sensor: SensorModel) -> PixelMaps:
    gain, offset, read_variance = (np.ascontiguousarray(p, np.float32) for p in sensor.parameters())
    return PixelMaps(gain=gain, offset=offset, read_variance=read_variance)


class _TableBuilder:
    """Collects the levels of one region after another; exact rows are numbered through."""

    def __init__(self, law: str, top: int) -> None:
        self.law, self.top = law, top
        self._cdf: list[UInt32] = []
        self._guide: list[UInt16] = []
        self._size = 0

    def add(self, region: SensorRegion) -> Float32:
        """Return the records of one region: float32 of shape (top + 1, 4)."""
        level = self._quantile_records(region)
        if self.law == "gaussian":
            return level
        start = max(0, int(np.ceil(region.offset_dn)))
        stop = int(np.floor(region.offset_dn + exact_limit_e(region) * region.gain_dn_per_e)) + 1
        bits = level.view(np.int32)
        for y in range(start, min(stop, self.top + 1)):
            bits[y] = self._exact_record(y, region)
        return level

    def finish(self) -> tuple[UInt32, UInt16]:
        """Return `cdf` and `guide`."""
        cdf = np.concatenate(self._cdf) if self._cdf else np.zeros(0, np.uint32)
        guide = np.concatenate(self._guide) if self._guide else np.zeros(0, np.uint16)
        return cdf, guide

    def _quantile_records(self, region: SensorRegion) -> Float32:
        gain, y = region.gain_dn_per_e, np.arange(self.top + 1, dtype=np.float64)
        signal = y - region.offset_dn
        variance = np.maximum(0.0, region.read_variance_dn2 + gain * signal)
        skew = np.zeros_like(y)
        if self.law == "poisson-gaussian":
            skew = np.where(signal >= 0, skewness_sixth(np.maximum(signal, 0) / gain, variance / gain**2), 0.0)
        level = np.empty((self.top + 1, 4), np.float32)
        level[:, 0] = y
        level[:, 1] = np.sqrt(variance / (1 + 2 * skew**2))
        level[:, 2] = skew
        level[:, 3] = np.array(-1, np.int32).view(np.float32)
        return level

    def _exact_record(self, y: int, region: SensorRegion) -> NDArray[Any]:
        """Append the exact law of one grey level; return its record as int32."""
        gain = region.gain_dn_per_e
        first, cdf = exact_cdf((y - region.offset_dn) / gain, region.offset_dn, gain, region.read_noise_e, self.top)
        first, thresholds = integer_cdf(first, cdf)
        record = np.array([first, self._size, 0, len(self._guide)], np.int32)
        self._cdf.append(thresholds)
        self._guide.append(search_guide(thresholds))
        self._size += thresholds.size
        return record


def exact_limit_e(region: SensorRegion) -> float:
    """Return the electrons up to which a region's law is inverted exactly.

    `EXACT_BELOW_E`, unless the tables would pass `MAX_CDF_ENTRIES`: a level of sd `K sqrt(mu + sigma_d^2)` DN takes
    about 13 sd entries, and there are K levels per electron.
    """
    gain, variance = region.gain_dn_per_e, region.read_noise_e**2
    most = (MAX_CDF_ENTRIES / (13 * gain**2) * 1.5 + variance**1.5) ** (2 / 3) - variance
    return float(min(EXACT_BELOW_E, most))


def integer_cdf(first: int, cdf: NDArray[np.float64]) -> tuple[int, UInt32]:
    """Return the law in units of 2**-32, without the values that no 32-bit word can reach.

    A word u draws ``first + (number of thresholds <= u)``; the last threshold is 0xFFFFFFFF and ends the search.
    """
    units = np.maximum.accumulate(np.minimum(np.rint(cdf * _UNITS), _SENTINEL)).astype(np.uint32)
    begin, end = int(np.argmax(units > 0)), int(np.argmax(units == _SENTINEL))
    return first + begin, units[begin : end + 1]


def search_guide(thresholds: UInt32) -> NDArray[np.uint16]:
    """Return a safe start of the search for each value of a word's top six bits: shape (64,), uint16."""
    cells = np.arange(_GUIDE_CELLS, dtype=np.uint64) << np.uint64(26)
    at = np.searchsorted(thresholds, cells, side="right")
    return np.minimum(at, min(thresholds.size - 1, 0xFFFF)).astype(np.uint16)
