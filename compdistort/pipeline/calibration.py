"""The commands that make a sensor file: from calibration frames, or estimated from one image."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import compdistort
from compdistort.backend.base import Backend, Float64
from compdistort.errors import ConfigError
from compdistort.io.files import require_output
from compdistort.io.images import read_image, sha256_file
from compdistort.replicate import draw, noise_tables
from compdistort.report.calibration_page import write_calibration_page
from compdistort.sensor.frames import read_frames
from compdistort.sensor.layout import Box, parse_roi, parse_taps
from compdistort.sensor.model import SensorModel, SensorRegion
from compdistort.sensor.ptc import Calibration, fit_photon_transfer_curve
from compdistort.sensor.sensor_file import save_sensor
from compdistort.sensor.single_image import estimate_noise

__all__ = [
    "CalibrateOptions",
    "calibrate_files",
    "describe_calibration",
    "describe_estimate",
    "estimate_file",
    "page_data",
    "parse_roi",
    "parse_taps",
    "single_pixel_error",
]

FIGURE_REPLICATES = 1000
FIGURE_LEVELS = 64
FIGURE_REGIONS = 8
FIGURE_SEED = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrateOptions:
    """How frames are used.

    Attributes
    ----------
    taps : tuple of int
        Rows and columns of equal taps.
    roi : tuple or None
        ``((y0, y1), (x0, x1))`` inside each tap.
    per_pixel : bool
        Make per-pixel maps.
    bits : int
        Bit depth of the camera, 9 to 16.
    exposures : tuple of float or None
        Relative exposure of each flat pair.
    """

    taps: tuple[int, int] = (1, 1)
    roi: Box | None = None
    per_pixel: bool = False
    bits: int = 16
    exposures: tuple[float, ...] | None = None


def calibrate_files(
    flat: Sequence[Path], dark: Sequence[Path], out: Path, options: CalibrateOptions, backend: Backend[Any]
) -> dict[str, Any]:
    """Calibrate a sensor; write the sensor file and, beside it, the calibration page and its JSON twin.

    Parameters
    ----------
    flat, dark : sequence of two paths
        Frame i of the first file pairs with frame i of the second.
    out : Path
        Sensor file to write, ending in ``.json``; the page is ``<stem>.calibration.html``.
    options : CalibrateOptions
        How.
    backend : Backend
        Draws the replicates of the single-pixel figure.

    Returns
    -------
    dict
        JSON-safe result: the files written, one measurement a region, warnings.

    Raises
    ------
    CalibrationError, ImageFormatError
        Frames that cannot be read or cannot calibrate.
    ConfigError
        If `out` does not end in ``.json``, or the bit depth is outside 9 to 16.
    ResourceError
        If the files cannot be written.
    """
    page, twin_path = _beside(out)
    if not 9 <= options.bits <= 16:
        raise ConfigError(f"--bits {options.bits} is outside 9 to 16", "give the bit depth of the camera's converter")
    require_output(out, [*flat, *dark])
    frames = read_frames(flat, dark, options.bits)
    files = [
        {"role": role, "name": path.name, "sha256": sha256_file(path)}
        for role, paths in (("flat", flat), ("dark", dark))
        for path in paths
    ]
    calibration = fit_photon_transfer_curve(
        frames,
        taps=options.taps,
        roi=options.roi,
        per_pixel=options.per_pixel,
        exposures=options.exposures,
        source={"files": files, "software": f"compdistort {compdistort.__version__}"},
    )
    shown = page_data(calibration, files, backend)
    save_sensor(out, calibration.model)
    write_calibration_page(shown, page, twin_path)
    return {
        "sensor": str(out),
        "page": str(page),
        "page_json": str(twin_path),
        "kind": calibration.model.kind,
        "regions": [
            {key: value for key, value in region.to_dict().items() if key not in {"levels", "residuals"}}
            for region in calibration.regions
        ],
        "maps": None if calibration.maps is None else calibration.maps.to_dict(),
        "warnings": list(calibration.warnings),
    }


def page_data(calibration: Calibration, files: list[dict[str, str]], backend: Backend[Any]) -> dict[str, Any]:
    """Return everything that the calibration page shows, JSON-safe."""
    model = calibration.model.to_dict()
    flats = [file["name"] for file in files if file["role"] == "flat"]
    return {
        "format": "compdistort-calibration",
        "version": 1,
        "title": " and ".join(flats),
        "software": compdistort.__version__,
        "files": files,
        "sensor": {key: value for key, value in model.items() if key != "source"},
        "regions": [region.to_dict() for region in calibration.regions],
        "maps": None if calibration.maps is None else calibration.maps.to_dict(),
        "warnings": list(calibration.warnings),
        "single_pixel": single_pixel_error(calibration, backend),
    }


def single_pixel_error(calibration: Calibration, backend: Backend[Any]) -> dict[str, Any]:
    """Return mean and standard deviation of single pixels over 1,000 replicates, for grey levels of every region.

    References
    ----------
    .. [1] Pomarico et al. (2022), Sci. Rep. 12, Fig. 1a.
    """
    curves: list[dict[str, Any]] = []
    for measured, region in zip(calibration.regions, calibration.model.regions, strict=True):
        if len(curves) == FIGURE_REGIONS:
            break
        curves.append(_curve(region, float(measured.levels.signal.max()), calibration.model.bits, backend))
    return {"replicates": FIGURE_REPLICATES, "law": "poisson-gaussian", "curves": curves}


def _curve(region: SensorRegion, top_signal: float, bits: int, backend: Backend[Any]) -> dict[str, Any]:
    model = SensorModel(regions=(region.everywhere(),), bits=bits)
    signal = np.geomspace(1.0, max(top_signal, 2.0), FIGURE_LEVELS)
    levels = np.unique(np.clip(np.rint(region.offset_dn + signal), 0, model.max_dn)).astype(np.uint16)[None]
    tables = noise_tables(model, shape=levels.shape)
    drawn = draw(levels, tables, backend, seed=FIGURE_SEED, replicates=range(FIGURE_REPLICATES))
    values: Float64 = np.asarray(drawn, np.float64)[:, 0]
    return {
        "name": region.name,
        "offset_dn": region.offset_dn,
        "grey_level_dn": levels[0].tolist(),
        "mean_dn": values.mean(axis=0).tolist(),
        "sd_dn": values.std(axis=0, ddof=1).tolist(),
        "law_sd_dn": np.sqrt(model.variance_dn2(levels[0]) + 1 / 12).tolist(),
    }


def describe_calibration(result: dict[str, Any]) -> str:
    """Return the result of `calibrate_files` for people."""
    lines = []
    for region in result["regions"]:
        low, high = region["gain_interval_95"]
        saturation = region["saturation_dn"]
        full = saturation if isinstance(saturation, str) else f"at {saturation:.0f} DN"
        lines.append(
            f"{region['name']}: {region['gain_dn_per_e']:.4f} DN/e- (95 % {low:.4f} to {high:.4f})"
            f" = {region['gain_e_per_dn']:.4f} e-/DN; EMVA {region['emva1288']['gain_dn_per_e']:.4f} DN/e-;"
            f" offset {region['offset_dn']:.1f} DN; dark noise {region['dark_noise_dn']:.2f} DN with 1/12 DN^2,"
            f" {region['dark_noise_without_rounding_dn']:.2f} without = {region['read_noise_e']:.2f} e-;"
            f" saturation {full}"
        )
    lines += [f"notice: {text}" for text in result["warnings"]]
    lines += [f"sensor: {result['sensor']}", f"page: {result['page']}"]
    return "\n".join(lines)


def estimate_file(
    image: Path,
    out: Path,
    *,
    offset_dn: float | None = None,
    read_noise_e: float = 0.0,
    bits: int | None = None,
    page: int | None = None,
    crop: Box | None = None,
) -> dict[str, Any]:
    """Estimate a sensor from a single image and write the sensor file, marked as estimated.

    Parameters
    ----------
    image : Path
        Raw image or stack.
    out : Path
        Sensor file to write, ending in ``.json``.
    offset_dn, read_noise_e, bits
        As in `estimate_noise`.
    page, crop
        Plane of a stack, and ``((y0, y1), (x0, x1))`` of it.

    Returns
    -------
    dict
        JSON-safe result.

    Raises
    ------
    CalibrationError, ImageFormatError
        If the image cannot be read or cannot tell.
    """
    _beside(out)
    require_output(out, [image])
    raw = np.asarray(read_image(image, kind="raw", page=page, crop=crop))
    model = estimate_noise(raw, offset_dn=offset_dn, read_noise_e=read_noise_e, bits=bits, name=str(image))
    save_sensor(out, model)
    region = model.regions[0]
    error = region.gain_dn_per_e_standard_error or 0.0
    return {
        "sensor": str(out),
        "estimated": True,
        "gain_dn_per_e": region.gain_dn_per_e,
        "gain_standard_error": error,
        "gain_interval_95": [region.gain_dn_per_e - 1.96 * error, region.gain_dn_per_e + 1.96 * error],
        "gain_e_per_dn": region.gain_e_per_dn,
        "offset_dn": region.offset_dn,
        "read_noise_e": region.read_noise_e,
        "saturation_dn": region.saturation_dn,
        "zero_variance_level_dn": model.source["free_line"]["zero_variance_level_dn"],
        "whiteness": model.source["whiteness"],
        "warnings": model.source["warnings"],
        "text": model.describe(),
    }


def describe_estimate(result: dict[str, Any]) -> str:
    """Return the result of `estimate_file` for people."""
    lines = [
        result["text"],
        f"zero-variance level of the free line: {result['zero_variance_level_dn']:.1f} DN",
        *(f"notice: {text}" for text in result["warnings"]),
        f"sensor: {result['sensor']}",
    ]
    return "\n".join(lines)


def _beside(out: Path) -> tuple[Path, Path]:
    """Return the names of the page and of its JSON twin."""
    if out.suffix.lower() != ".json":
        raise ConfigError(f"{out}: a sensor file is JSON", "end its name in .json")
    return out.with_name(f"{out.stem}.calibration.html"), out.with_name(f"{out.stem}.calibration.json")
