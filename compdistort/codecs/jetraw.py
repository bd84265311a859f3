"""Jetraw of Dotphoton, where its two libraries and a licence for compression are installed on this machine.

The first library, dpcore, replaces the noise of a plane by its own, which its calibration file (``.dat``) of the camera
and an identifier (serial number and readout settings) describe; the second one, jetraw, codes what comes out without
loss. So the prepared plane is the decoded image, and its codestream the size. Nothing of either library is part of this
program: it calls what is installed, as the public C headers describe it, and was never tried with the real libraries.

References
----------
.. [1] https://github.com/Jetraw/Jetraw: C headers jetraw.h, dpcore.h, dp_status.h.
"""

import ctypes
import ctypes.util
import math
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np

from compdistort.backend.planes import PlaneReader
from compdistort.codecs.base import Image, Levels, check_image
from compdistort.codecs.plane_coder import CodedPlane, PlaneCoder
from compdistort.codecs.planewise import PlanewiseCodec
from compdistort.errors import CodecRangeError, ConfigError, ResourceError

_LIBRARIES = ("jetraw", "dpcore")
_REPORT = "report it to the library's maker, with the image"
_MOST_PIXELS = 2**31 - 1
_SPARE_BYTES = 4096
"""Room for a codestream beyond 2 bytes a pixel: pixels that cannot be compressed still take a header."""
_CALLS = threading.Lock()
"""The libraries keep parameters for the whole process, and do not promise to be called by several threads."""


class Libraries(NamedTuple):
    """The two libraries, loaded."""

    jetraw: Any
    dpcore: Any


def available() -> bool:
    """Return whether both libraries are installed.

    Examples
    --------
    >>> available() in (True, False)
    True
    """
    return all(ctypes.util.find_library(name) for name in _LIBRARIES)


def load_libraries() -> Libraries:
    """Load both libraries, and say what their functions take.

    Raises
    ------
    ResourceError
        If one is not installed, or cannot be loaded.
    """
    found = {name: ctypes.util.find_library(name) for name in _LIBRARIES}
    for name, path in found.items():
        if path is None:
            raise ResourceError(
                f"codec 'jetraw': the library {name} is not installed",
                "install Jetraw of Dotphoton so that the system's loader finds it; or decode elsewhere, and use the "
                "codec 'external'",
            )
    try:
        return declare(Libraries(*(ctypes.CDLL(found[name]) for name in _LIBRARIES)))
    except OSError as error:
        raise ResourceError(f"codec 'jetraw': a library cannot be loaded ({error})", "mend the installation") from error


def declare(libraries: Libraries) -> Libraries:
    """Give the functions the types of their arguments and results, as the C headers have them."""
    pixels, size, text = ctypes.POINTER(ctypes.c_uint16), ctypes.c_int32, ctypes.c_char_p
    path = ctypes.c_wchar_p if os.name == "nt" else text
    jetraw, dpcore = libraries
    signatures = {
        (jetraw, "dp_status_description"): ([ctypes.c_int], text),
        (jetraw, "jetraw_version"): ([], text),
        (jetraw, "jetraw_encode"): (
            [pixels, ctypes.c_uint32, ctypes.c_uint32, text, ctypes.POINTER(size)],
            ctypes.c_int,
        ),
        (jetraw, "jetraw_decode"): ([text, size, pixels, size], ctypes.c_int),
        (dpcore, "dpcore_init"): ([], ctypes.c_int),
        (dpcore, "dpcore_load_parameters"): ([path], ctypes.c_int),
        (dpcore, "dpcore_prepare_image"): ([pixels, size, text, ctypes.c_float], ctypes.c_int),
    }
    for (library, name), (arguments, result) in signatures.items():
        function = getattr(library, name)
        function.argtypes, function.restype = arguments, result
    return libraries


@dataclass(frozen=True, kw_only=True)
class Jetraw(PlanewiseCodec):
    """Noise replacement and lossless coding by the installed libraries, plane by plane.

    Attributes
    ----------
    identifier : str
        Serial number of the camera and its readout settings, as the calibration file names them.
    dat : str
        Calibration file of the camera.
    error_bound : float
        Largest change of a pixel in units of its noise, above 0; 1 is the library's default.

    Examples
    --------
    >>> Jetraw(identifier="0001-fast", dat="cameras/0001.dat").describe()
    'noise replaced by dpcore (0001-fast of 0001.dat, error bound 1), coded by jetraw'
    """

    codec_id: ClassVar[str] = "jetraw"

    identifier: str
    dat: str
    error_bound: float = 1.0

    def __post_init__(self) -> None:
        for name in ("identifier", "dat"):
            if not (isinstance(getattr(self, name), str) and getattr(self, name)):
                raise ConfigError(f"codec 'jetraw': {name} = {getattr(self, name)!r} is empty or no text", "give it")
        good = isinstance(self.error_bound, int | float) and not isinstance(self.error_bound, bool)
        if not (good and math.isfinite(self.error_bound) and self.error_bound > 0):
            raise ConfigError(
                f"codec 'jetraw': error_bound = {self.error_bound!r} is not possible", "use a number above 0, e.g. 1"
            )

    @classmethod
    def missing(cls) -> str:
        """Return what to install so that the codec works, or nothing."""
        return "" if available() else f"the libraries {' and '.join(_LIBRARIES)} of Dotphoton"

    def prepare_planes(self, planes: PlaneReader, levels: Levels) -> Self:
        """Return the codec itself, after it has looked for libraries and calibration file.

        Raises
        ------
        ResourceError
            If a library is missing.
        CodecRangeError
            If the image cannot be carried, or the calibration file is refused.
        """
        self.plane_coder(planes, levels)
        return self

    def plane_coder(self, planes: PlaneReader, levels: Levels) -> PlaneCoder:
        """Return the way of the planes: prepared, coded, and decoded for proof.

        Raises
        ------
        ResourceError, CodecRangeError
            As `prepare_planes`.
        """
        check_image(self.codec_id, planes)
        rows, columns = planes.shape[-2:]
        if rows * columns > _MOST_PIXELS:
            raise CodecRangeError(
                f"codec 'jetraw' takes planes of at most {_MOST_PIXELS} pixels, not {rows} x {columns}",
                "crop the image",
            )
        engine = _Engine(load_libraries(), self.identifier, float(self.error_bound))
        engine.open(Path(self.dat))
        record = {"codec": self.codec_id, "version": engine.version()}
        return PlaneCoder(dtype=np.dtype(np.uint16), code=engine.code, side_bytes=0, record=lambda _counts: record)

    def describe(self) -> str:
        """Return the chain in words."""
        camera = f"{self.identifier} of {Path(self.dat).name}, error bound {self.error_bound:g}"
        return f"noise replaced by dpcore ({camera}), coded by jetraw"


class _Engine:
    """The calls of both libraries, one at a time."""

    def __init__(self, libraries: Libraries, identifier: str, error_bound: float) -> None:
        self._libraries, self._identifier, self._error_bound = libraries, identifier.encode(), error_bound

    def open(self, dat: Path) -> None:
        """Start dpcore, and load the calibration file."""
        dpcore = self._libraries.dpcore
        with _CALLS:
            dpcore.dpcore_init()  # counts calibration files in its own folders; here the one that is named matters
            path = str(dat) if os.name == "nt" else os.fsencode(dat)
            self._require(dpcore.dpcore_load_parameters(path), f"calibration file {dat.name}", "correct dat")

    def version(self) -> str:
        """Return the version of jetraw."""
        with _CALLS:
            found: bytes = self._libraries.jetraw.jetraw_version()
        return found.decode("utf-8", "replace")

    def code(self, plane: Image, _number: int) -> CodedPlane:
        """Return a plane after noise replacement, and the bytes that jetraw codes it in."""
        prepared = np.array(plane, np.uint16, order="C")  # a copy: it is changed in place
        jetraw, dpcore = self._libraries
        rows, columns = prepared.shape
        what = f"plane of {rows} x {columns} pixels"
        buffer = ctypes.create_string_buffer(min(2 * prepared.size + _SPARE_BYTES, _MOST_PIXELS))
        length, back = ctypes.c_int32(len(buffer)), np.empty_like(prepared)
        with _CALLS:
            status = dpcore.dpcore_prepare_image(_pointer(prepared), prepared.size, self._identifier, self._error_bound)
            self._require(
                status, what, "check identifier and dat; a plane must be large enough to hold its own parameters"
            )
            status = jetraw.jetraw_encode(_pointer(prepared), columns, rows, buffer, ctypes.byref(length))
            self._require(status, what, "check the licence")
            if not 0 < length.value <= len(buffer):
                raise CodecRangeError(f"codec 'jetraw' coded a {what} in {length.value} bytes", _REPORT)
            status = jetraw.jetraw_decode(buffer, length.value, _pointer(back), back.size)
            self._require(status, f"codestream of a {what}", _REPORT)
        if not np.array_equal(back, prepared):
            raise CodecRangeError(f"codec 'jetraw' did not give a {what} back as it was prepared", _REPORT)
        return CodedPlane(decoded=prepared, encoded_bytes=length.value)

    def _require(self, status: int, what: str, remedy: str) -> None:
        """Raise CodecRangeError with the library's own words unless a call succeeded."""
        if status:
            words: bytes = self._libraries.jetraw.dp_status_description(status)
            raise CodecRangeError(
                f"codec 'jetraw': {words.decode('utf-8', 'replace')} (status {status}) at {what}", remedy
            )


def _pointer(pixels: Image) -> Any:
    return pixels.ctypes.data_as(ctypes.POINTER(ctypes.c_uint16))
