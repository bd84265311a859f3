"""A codec that is another program: every image goes through it as a file, in a folder of its own."""

import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

from compdistort.codecs.base import RAW_BYTES_PER_PIXEL, CodecResult, ConfigCodec, Image, check_image
from compdistort.codecs.external_job import PLACES, SUFFIXES, Job, check_line, find_program
from compdistort.codecs.ratio_search import RatioSearch, refuse_both, search_ratio, with_search
from compdistort.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class ExternalCommand(ConfigCodec):
    """Programs that compress and decompress an image, run without a shell.

    Attributes
    ----------
    encode, decode : tuple of str or None
        Command lines from image file ``{in}`` to compressed file ``{out}``, and from that to the decoded image: uint16
        or float32, DN. They run in different folders, so all that the second one knows is what the first one wrote.
    command : tuple of str or None
        Instead of them one command line from ``{in}`` to the decoded image ``{out}``, which leaves the compressed file
        ``{encoded}`` behind.
    encoded : str
        Name of the compressed file or folder, with the ending that the program wants; needed beside `command`.
    format : str
        ``tiff`` or ``npy``: the files of image and decoded image. A stack is one file.
    timeout : float
        Most seconds a run.
    level : float or None
        What ``{level}`` stands for in the command lines; with `ratio`, the one that `prepare` found.
    ratio : float or None
        Wanted compression ratio: `prepare` finds the level on the raw image.
    low, high : float or None
        Ends of the level, for `ratio`.
    log, integer : bool
        Whether the level is searched on a logarithmic scale, and takes whole numbers alone.
    search : RatioSearch or None
        How the level was found; set by `prepare`.

    Examples
    --------
    >>> ExternalCommand(encode=["pack", "{in}", "{out}"], decode=["unpack", "{in}", "{out}"]).describe()
    'encoded by: pack {in} {out}; decoded by: unpack {in} {out}'
    """

    codec_id: ClassVar[str] = "external"

    command: tuple[str, ...] | None = None
    encode: tuple[str, ...] | None = None
    decode: tuple[str, ...] | None = None
    encoded: str = ""
    format: str = "tiff"
    timeout: float = 60.0
    level: float | None = None
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    log: bool = False
    integer: bool = False
    search: RatioSearch | None = None

    def __post_init__(self) -> None:
        if (self.command is None) == (self.encode is None) or (self.encode is None) != (self.decode is None):
            raise ConfigError(
                "codec 'external' has no decoded image",
                "give decoded = FILE with its size, or encode = [...] and decode = [...], or command = [...] alone",
            )
        for name in self.lines:
            object.__setattr__(self, name, check_line(name, getattr(self, name)))
        if self.encode is not None and not self.encoded:
            object.__setattr__(self, "encoded", "encoded")
        self._check_files()
        self._check_level()

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Build the codec from its JSON data; see `ConfigCodec.from_config`."""
        return super().from_config(with_search(cls.codec_id, config))

    @property
    def lines(self) -> dict[str, tuple[str, ...]]:
        """The command lines by name, in the order in which they run."""
        return {name: line for name in PLACES if (line := getattr(self, name)) is not None}

    def prepare(self, raw: Image) -> Self:
        """Return the codec with the level that comes nearest to the wanted ratio on the raw image.

        Parameters
        ----------
        raw : ndarray of shape (rows, columns) or (planes, rows, columns), uint16
            Raw image, DN.

        Returns
        -------
        ExternalCommand
            With `level` and `search` set; itself where nothing is searched.

        Raises
        ------
        ConfigError
            If a program does not exist.
        InputError, ResourceError
            As `apply`.
        """
        check_image(self.codec_id, raw)
        for line in self.lines.values():
            find_program(line[0])
        if self.level is not None or self.ratio is None:
            return self
        assert self.low is not None
        assert self.high is not None
        ratios: dict[float, float] = {}

        def ratio_at(level: float) -> float:
            if level not in ratios:
                ratios[level] = RAW_BYTES_PER_PIXEL * raw.size / self._job(level).size(raw)
            return ratios[level]

        rising = ratio_at(self.high) > ratio_at(self.low)
        found = search_ratio(
            ratio_at, self.low, self.high, self.ratio, rising=rising, integer=self.integer, log=self.log
        )
        return replace(self, level=found.knob, search=replace(found, encodes=len(ratios)))

    def apply(self, image: Image) -> CodecResult:
        """Encode and decode an image by the programs, and check what comes back.

        Parameters
        ----------
        image : ndarray of shape (rows, columns) or (planes, rows, columns), uint16
            Image, DN.

        Returns
        -------
        CodecResult

        Raises
        ------
        CodecRangeError
            If what comes back has another shape or type, or values out of range.
        InputError
            If a program fails, writes nothing or too much, or changes its input.
        ResourceError
            If a program takes too long, or the disk refuses.
        ConfigError
            If a program cannot be started, or no level is found yet.
        """
        check_image(self.codec_id, image)
        if self.ratio is not None and self.level is None:
            raise ConfigError("codec 'external' has no level yet", "call prepare(raw) first")
        decoded, size = self._job(self.level).run(image)
        return CodecResult(
            decoded=decoded,
            encoded_bytes=size,
            ratio=RAW_BYTES_PER_PIXEL * image.size / size,
            record=self._record(),
        )

    def describe(self) -> str:
        """Return the chain in words."""
        verbs = {"command": "through", "encode": "encoded by", "decode": "decoded by"}
        words = [f"{verbs[name]}: {_shown(line)}" for name, line in self.lines.items()]
        goal = f"level {self._level_text(self.level)}" if self.level is not None else ""
        if self.ratio is not None:
            found = f", {self.search.ratio:.2f}:1 on the raw image" if self.search else ""
            goal += f"{' for ' if goal else ''}{self.ratio:g}:1{found}"
        return "; ".join([*words, *([goal] if goal else [])])

    def _job(self, level: float | None) -> Job:
        return Job(
            lines=self.lines,
            encoded=self.encoded,
            format=self.format,
            timeout=self.timeout,
            level=self._level_text(level),
        )

    def _level_text(self, level: float | None) -> str:
        if level is None:
            return ""
        return str(int(level)) if self.integer else repr(float(level))

    def _record(self) -> dict[str, Any]:
        record: dict[str, Any] = {"codec": self.codec_id, "level": self.level}
        if self.search is None:
            return record
        found = self.search
        return record | {
            "target_ratio": found.target,
            "raw_ratio": found.ratio,
            "reached": found.reached,
            "limit": found.limit,
            "encodes": found.encodes,
        }

    def _check_files(self) -> None:
        if not isinstance(self.format, str) or self.format not in SUFFIXES:
            raise ConfigError(f"codec 'external': format = {self.format!r} is unknown", "use tiff or npy")
        if not (_is_number(self.timeout) and self.timeout > 0):
            raise ConfigError(f"codec 'external': timeout = {self.timeout!r} is not possible", "give seconds above 0")
        if self.encoded == "":
            raise ConfigError(
                "codec 'external': nothing tells how large the compressed image is",
                'let the command write {encoded} too, and name it: encoded = "image.jxl"',
            )
        if not isinstance(self.encoded, str) or Path(self.encoded).name != self.encoded or self.encoded == "..":
            raise ConfigError(f"codec 'external': encoded = {self.encoded!r} is no plain name", "give one, no folder")
        if self.encoded in (f"{stem}{SUFFIXES[self.format]}" for stem in ("raw", "decoded")):
            raise ConfigError(f"codec 'external': encoded = {self.encoded!r} is another file's name", "give another")

    def _check_level(self) -> None:
        wanted = any("{level}" in word for line in self.lines.values() for word in line)
        if wanted != (self.level is not None or self.ratio is not None):
            what = "no level is given for {level}" if wanted else "level and ratio do nothing without {level}"
            raise ConfigError(f"codec 'external': {what}", "put {level} into a command line, and give level or ratio")
        refuse_both("external", "level", self.ratio, self.level, self.search)
        self._check_kinds()
        if self.level is not None and not _is_number(self.level):
            raise ConfigError(f"codec 'external': level = {self.level!r} is no number", "give one")
        if self.ratio is None:
            if self.low is not None or self.high is not None:
                raise ConfigError("codec 'external': low and high do nothing without ratio", "remove them")
            return
        if not (_is_number(self.ratio) and self.ratio > 1):
            raise ConfigError(f"codec 'external': ratio = {self.ratio!r} is not possible", "use a number above 1")
        good = _is_number(self.low) and _is_number(self.high)
        if not (good and float(self.low or 0) < float(self.high or 0) and (float(self.low or 0) > 0 or not self.log)):
            raise ConfigError(
                f"codec 'external': low = {self.low!r}, high = {self.high!r} are no ends of a level",
                "give two numbers, low < high, above 0 where log = true",
            )

    def _check_kinds(self) -> None:
        for name in ("log", "integer"):
            if not isinstance(getattr(self, name), bool):
                raise ConfigError(f"codec 'external': {name} = {getattr(self, name)!r} is no truth", "true or false")
        for name in ("level", "low", "high"):
            value = getattr(self, name)
            if self.integer and _is_number(value) and value != int(value):
                raise ConfigError(
                    f"codec 'external': {name} = {value!r} is no whole number", "give one, or leave integer out"
                )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _shown(line: tuple[str, ...]) -> str:
    """Return a command line as it would be typed, its places left as they are."""
    return " ".join(word if "{" in word and " " not in word else shlex.quote(word) for word in line)
