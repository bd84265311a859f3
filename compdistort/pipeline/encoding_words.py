"""What `encode` and `decode` tell people."""

from collections.abc import Mapping
from typing import Any

_LIMITS = {
    "step": "the step has no setting nearer",
    "range": "the step can go no farther",
    "planes": "the whole file is farther from it than the planes it was searched on",
}
"""By the ``limit`` of a search; see `compdistort.codecs.ratio_search`."""


def describe_encoding(result: Mapping[str, Any]) -> str:
    """Return what was written, for people.

    Parameters
    ----------
    result : mapping
        Of `compdistort.pipeline.encoding.encode_file`.

    Returns
    -------
    str
    """
    header, measured = result["header"], result["measured"]
    size = " x ".join(map(str, header["shape"]))
    lines = [f"{result['output']}: {size} pixels in {result['bytes']} bytes, {result['ratio']:.2f}:1"]
    if "reached" in result:
        told = "reached" if result["reached"] else f"not reached: {_LIMITS[result['limit']]}"
        lines.append(f"wanted ratio {result['target_ratio']:g}:1: {told}")
    if measured["added_db"] is not None:
        lines.append(
            f"measured over all pixels: {measured['added_db']:.3f} dB of noise added, "
            f"bias {measured['bias_sigma']:+.5f} standard deviations"
        )
    lines += _settings(header)
    lines.append("every chunk was decoded and compared")
    return "\n".join([*lines, *(f"notice: {text}" for text in result["notices"])])


def describe_header(result: Mapping[str, Any]) -> str:
    """Return what a file says of itself, and what of it is damaged where that was looked at, for people.

    Parameters
    ----------
    result : mapping
        Of `compdistort.pipeline.decoding.inspect_file` or `check_file`.

    Returns
    -------
    str
    """
    header = result["header"]
    size = " x ".join(map(str, header["shape"]))
    lines = [f"{result['file']}: {size} pixels ({header['axes']}) in {result['bytes']} bytes, {header['software']}"]
    if header["voxel_um"]:
        lines.append(f"voxel {' x '.join(f'{each:g}' for each in header['voxel_um'])} um")
    lines += _settings(header)
    calibration = header["calibration"]
    if calibration:
        lines.append("calibration: " + ", ".join(f"{key} {value}" for key, value in calibration.items()))
    if "damaged" in result:
        lines += [f"damaged: {each}" for each in result["damaged"]] or ["all chunks hold"]
    return "\n".join(lines)


def describe_decoding(result: Mapping[str, Any]) -> str:
    """Return what was decoded, for people.

    Parameters
    ----------
    result : mapping
        Of `compdistort.pipeline.decoding.decode_file`.

    Returns
    -------
    str
    """
    size = " x ".join(map(str, result["shape"]))
    lines = [f"{result['output']}: {size} pixels, {result['dtype']}, decoded from {result['file']}"]
    lines += [f"lost, written as 0: {each}" for each in result["damaged"]]
    return "\n".join(lines)


def _settings(header: Mapping[str, Any]) -> list[str]:
    law, quantiser, added = header["law"], header["quantiser"], header["added_db"]
    most = "" if added["guaranteed"] is None else f", at most {added['guaranteed']:.3f} dB at any grey level"
    mark = ", ESTIMATED from a single image, not calibrated" if law["estimated"] else ""
    maps = " (medians of per-pixel maps)" if "maps" in law else ""
    chunks = f"chunks of {header['tile']}, coder {header['backend']}" if "tile" in header else "a page a plane"
    return [
        f"step {quantiser['step']:.4g} standard deviations, dither {quantiser['dither']}: "
        f"{added['nominal']:.3f} dB of noise added nominally{most}",
        f"noise law{maps}: offset {law['offset_dn']:.2f} DN, {law['gain_dn_per_e']:.4f} DN/e-, read noise "
        f"{law['read_noise_dn']:.2f} DN{mark}",
        f"lattice {quantiser['lattice']}, seed {header['seed']}, {chunks}",
    ]
