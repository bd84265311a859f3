"""One image through command lines: what they may say, the files between them, and what is checked of these."""

import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from compdistort.codecs.external_image import Image, check_decoded, stored_bytes
from compdistort.codecs.external_process import run_program
from compdistort.errors import CodecRangeError, ConfigError, InputError
from compdistort.io.files import resource_errors, sha256_file
from compdistort.io.images import read_image, write_tiff

SUFFIXES = {"tiff": ".tif", "npy": ".npy"}
"""Ending of the files of an image and of the decoded image, by format."""
PLACES = {
    "command": ("in", "out", "encoded", "level"),
    "encode": ("in", "out", "level"),
    "decode": ("in", "out", "level"),
}
"""What stands in braces in each command line; ``{in}`` and ``{out}`` must be there."""
_PLACE = re.compile(r"\{(\w+)\}")
_MOST_TIMES, _SPARE_BYTES = 16, 64 * 2**20
"""A program may fill its folder with so many times the bytes of the image, and so many more, before it is ended."""


def check_line(name: str, line: Any) -> tuple[str, ...]:
    """Return a command line as its words.

    Parameters
    ----------
    name : str
        One of `PLACES`.
    line : object
        What the user gave.

    Returns
    -------
    tuple of str

    Raises
    ------
    ConfigError
        If it is no list of words, lacks ``{in}`` or ``{out}``, or has another place than those of `PLACES`.

    Examples
    --------
    >>> check_line("encode", ["pack", "-q{level}", "{in}", "{out}"])
    ('pack', '-q{level}', '{in}', '{out}')
    """
    where = f"codec 'external': {name}"
    if not isinstance(line, list | tuple) or not line or not all(isinstance(word, str) and word for word in line):
        raise ConfigError(
            f"{where} = {line!r} is no list of words", 'write the program and its arguments: ["tool", "{in}", "{out}"]'
        )
    if _PLACE.search(line[0]):
        raise ConfigError(f"{where}: {line[0]} is no program", "begin with its name or path")
    found = {place for word in line for place in _PLACE.findall(word)}
    for place in sorted(found - set(PLACES[name])):
        known = ", ".join(f"{{{each}}}" for each in PLACES[name])
        raise ConfigError(f"{where}: {{{place}}} means nothing there", f"use {known}")
    for place in ("in", "out"):
        if place not in found:
            raise ConfigError(
                f"{where} has no {{{place}}}", "say where the program finds its input and puts its output"
            )
    return tuple(line)


def find_program(word: str) -> str:
    """Return the path of a program, named as the shell would find it.

    Raises
    ------
    ConfigError
        If there is none.
    """
    found = shutil.which(word)
    if found is None:
        raise ConfigError(f"codec 'external': program '{word}' does not exist", "install it, or give its path")
    return str(Path(found).absolute())


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Command lines, and the files that they work on.

    Attributes
    ----------
    lines : mapping of str to tuple of str
        By name: ``command``, or ``encode`` and ``decode``.
    encoded : str
        Name of the compressed file.
    format : str
        One of `SUFFIXES`.
    timeout : float
        Most seconds of a run.
    level : str
        What ``{level}`` stands for.
    """

    lines: Mapping[str, Sequence[str]]
    encoded: str
    format: str
    timeout: float
    level: str

    def size(self, image: Image) -> int:
        """Return the bytes that an image takes; it is not decoded where that is a command of its own."""
        with resource_errors("temporary folder"), TemporaryDirectory(prefix="compdistort-") as name:
            return self._compress(image, Path(name).resolve())[0]

    def run(self, image: Image) -> tuple[Image, int]:
        """Take an image through the programs.

        Parameters
        ----------
        image : ndarray of shape (rows, columns) or (planes, rows, columns), uint16
            Image, DN.

        Returns
        -------
        decoded : ndarray of the image's shape, uint16 or float32
            Decoded image, DN.
        size : int
            Bytes of the compressed file.

        Raises
        ------
        CompdistortError
            As `ExternalCommand.apply`.
        """
        with resource_errors("temporary folder"), TemporaryDirectory(prefix="compdistort-") as name:
            folder = Path(name).resolve()
            size, said = self._compress(image, folder)
            if "decode" in self.lines:
                # Another folder: the second program knows nothing but what the first one wrote.
                second = folder / "decode"
                second.mkdir()
                coded = (folder / "encode" / self.encoded).rename(second / self.encoded)
                made = second / self._file("decoded")
                said = self._call("decode", second, image.nbytes, {"in": coded, "out": made})
            else:
                made = folder / "encode" / self._file("decoded")
            return _read(made, image, said, _limit(image.nbytes)), size

    def _compress(self, image: Image, folder: Path) -> tuple[int, str]:
        """Run the first command line; return the bytes of the compressed file, and the end of what was said."""
        first = folder / "encode"
        first.mkdir()
        given, coded = first / self._file("raw"), first / self.encoded
        _write(given, image)
        before = sha256_file(given)
        if "encode" in self.lines:
            said = self._call("encode", first, image.nbytes, {"in": given, "out": coded})
        else:
            places = {"in": given, "out": first / self._file("decoded"), "encoded": coded}
            said = self._call("command", first, image.nbytes, places)
        if not given.is_file() or sha256_file(given) != before:
            raise InputError("codec 'external': the program changed its input", "let it work on a copy")
        if coded.is_symlink() or not coded.exists():
            raise InputError(f"codec 'external': no compressed file {self.encoded} was written{said}", _WRITE)
        return stored_bytes(coded), said

    def _call(self, name: str, folder: Path, n_bytes: int, places: Mapping[str, Path]) -> str:
        """Run a command line with its places filled in; return the end of what it said."""
        values = {**{place: str(path) for place, path in places.items()}, "level": self.level}
        program, *words = self.lines[name]
        filled = [_PLACE.sub(lambda found: values[found[1]], word) for word in words]
        return run_program([find_program(program), *filled], folder, timeout=self.timeout, max_bytes=_limit(n_bytes))

    def _file(self, stem: str) -> str:
        return stem + SUFFIXES[self.format]


_WRITE = "let the command write what stands for {out} or {encoded}"


def _limit(n_bytes: int) -> int:
    return _MOST_TIMES * n_bytes + _SPARE_BYTES


def _write(path: Path, image: Image) -> None:
    if path.suffix == ".npy":
        np.save(path, np.ascontiguousarray(image))
    else:
        write_tiff(path, image)


def _read(path: Path, image: Image, said: str, max_bytes: int) -> Image:
    """Return the decoded image, checked against the one that was given."""
    if path.is_symlink() or not path.exists():
        raise InputError(f"codec 'external': no decoded image {path.name} was written{said}", _WRITE)
    decoded = read_image(path, kind="any", max_bytes=max_bytes)
    plane = image.shape[1:] if image.ndim == 3 and image.shape[0] == 1 else image.shape
    if decoded.shape != plane:
        raise CodecRangeError(
            f"codec 'external': the decoded image has shape {decoded.shape}, not {image.shape}{said}",
            "let the command keep planes, rows and columns",
        )
    return check_decoded("the decoded image", decoded).reshape(image.shape)
