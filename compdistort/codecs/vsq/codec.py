"""The study codec of VSQ: any image through quantiser and lossless coder, chunk by chunk, as `compdistort encode` does.

VSQ adds a known noise and no bias: every pixel is quantised in steps of its own noise with subtractive dither, and the
indices are coded without loss. It is textbook quantisation [1]_ on a square-root scale, with its parameters in a
header; it takes no noise out of an image, draws none anew, and hides nothing in pixels. Before it is published as a
product, the patents on noise replacement should be read by a person who can judge them (US 11,356,579 and relatives;
US 8,804,824). Studies that compare codecs need none of this.

References
----------
.. [1] Schuchman (1964), Dither signals and their effect on quantization noise, IEEE Trans. Commun. Technol. 12.
"""

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np

from compdistort.backend.planes import PlaneReader
from compdistort.codecs.base import RAW_BYTES_PER_PIXEL, Levels, check_image
from compdistort.codecs.library_codec import Knob
from compdistort.codecs.plane_coder import PlaneCoder
from compdistort.codecs.ratio_search import RatioSearch, refuse_both, search_ratio
from compdistort.codecs.vsq.added_noise import step_of_db
from compdistort.codecs.vsq.container_header import VsqSettings
from compdistort.codecs.vsq.law_codec import LawCodec
from compdistort.codecs.vsq.limits import (
    KNEE,
    MAX_DB,
    MAX_LATTICE,
    MAX_STEP,
    MIN_STEP,
    is_knee,
    is_power_of_two,
    is_real,
    largest_step,
)
from compdistort.codecs.vsq.plane_chunks import code_chunks, restore_chunks, side_bytes
from compdistort.codecs.vsq.quantiser import Quantiser
from compdistort.codecs.vsq.tiles import CONTENT, DEFAULT_TILE
from compdistort.codecs.word_link import WordLink
from compdistort.errors import ConfigError

_SEARCH_PLANES = 8
"""A stack is searched on at most this many planes, evenly spaced; the ratio reported is that of all planes."""
_LEAST_LEVELS = 512
"""A lattice leaves so many grey levels at least: no camera has fewer than 9 bits."""
_GOALS = {"step": (0.0, MAX_STEP), "added_db": (0.0, MAX_DB), "max_db": (0.0, MAX_DB), "ratio": (1.0, math.inf)}
_OUTPUTS = ("uint16", "float32")


@dataclass(frozen=True, kw_only=True)
class Vsq(LawCodec):
    """Noise-stabilised quantisation with subtractive dither, then a lossless coder: known added noise, no bias.

    Attributes
    ----------
    step : float or None
        Width of a cell in standard deviations of the noise, 0.05 to 16; 2 adds 1.25 dB, 1 adds 0.35 dB.
    added_db : float or None
        Wanted added noise, dB, instead of `step`.
    max_db : float or None
        Added noise that no grey level may exceed, dB: cells are smaller where rounding to whole levels adds to it.
    ratio : float or None
        Wanted compression ratio; `prepare` finds the step on the raw image.
    backend, effort
        Lossless coder of the indices and its effort; see `compdistort.codecs.vsq.index_coder`.
    tile : int
        Edge of the chunks that are coded by themselves, pixels.
    seed : int or "content"
        Of the dither; see `compdistort.codecs.vsq.container_header.VsqSettings`.
    dither : {"subtractive", "none"}
        ``"none"`` is plain rounding, for steps up to 1.5.
    output : {"uint16", "float32"}
        Whole grey levels, or fractions.
    lattice : int or None
        Power of two that all grey levels are multiples of; None: found in each image.
    knee : float
        See `compdistort.codecs.vsq.quantiser.Quantiser`.
    frames, allow_estimated, law
        Noise of the image, see `compdistort.codecs.vsq.law_codec.LawCodec`.
    search : RatioSearch or None
        How the step was found; set by `prepare`.

    Examples
    --------
    >>> law = {"offset_dn": 100, "gain_dn_per_e": 2.0, "read_noise_dn": 3.0}
    >>> image = np.full((40, 50), 900, np.uint16)
    >>> record = Vsq(step=2, law=law).apply(image).record
    >>> record["step"], round(record["nominal_db"], 2), record["estimated"]
    (2.0, 1.25, False)
    """

    codec_id: ClassVar[str] = "vsq"
    knob: ClassVar[Knob] = Knob(name="step", low=MIN_STEP, high=MAX_STEP, rising=True, example=2, log=True)
    dithers: ClassVar[tuple[str, ...]] = ("subtractive", "none")
    moment: ClassVar[int] = 12
    """One over the variance of the error of a cell."""

    step: float | None = None
    added_db: float | None = None
    max_db: float | None = None
    ratio: float | None = None
    backend: str = "jxl"
    effort: int = 7
    tile: int = DEFAULT_TILE
    seed: int | str = CONTENT
    dither: str = "subtractive"
    output: str = "uint16"
    lattice: int | None = None
    knee: float = KNEE
    search: RatioSearch | None = None

    def __post_init__(self) -> None:
        given = [name for name in _GOALS if getattr(self, name) is not None]
        if len(given) != 1 and given != ["step", "ratio"]:
            names = " and ".join(given) or "no goal"
            raise ConfigError(
                f"codec '{self.codec_id}' has {names}", "give one of step, added_db, max_db or ratio, e.g. step = 2"
            )
        refuse_both(self.codec_id, "step", self.ratio, self.step, self.search)
        span = f"such that the step is {MIN_STEP:g} to {largest_step(self.dither):g}"
        for name, good, wanted in (
            *((goal, *_between(getattr(self, goal), *_GOALS[goal])) for goal in given),
            ("dither", self.dither in self.dithers, " or ".join(self.dithers)),
            ("output", self.output in _OUTPUTS, " or ".join(_OUTPUTS)),
            ("lattice", self.lattice is None or is_power_of_two(self.lattice), f"a power of two up to {MAX_LATTICE}"),
            ("knee", is_knee(self.knee), "0 to 10"),
        ):
            if not good:
                raise self.refused(name, wanted)
        if self._step is not None and not MIN_STEP <= self._step <= largest_step(self.dither):
            raise self.refused(given[0], span)
        for name in given:
            object.__setattr__(self, name, float(getattr(self, name)))
        object.__setattr__(self, "backend", self.chunks.backend)
        super().__post_init__()

    @property
    def chunks(self) -> VsqSettings:
        """How planes are cut, seeded and coded."""
        return VsqSettings(tile=self.tile, seed=self.seed, backend=self.backend, effort=self.effort)

    def quantiser(self, levels: Levels) -> Quantiser:
        """Return the quantiser of an image.

        Parameters
        ----------
        levels : callable
            Counts the grey levels of the image; called only where the lattice is to be found.

        Raises
        ------
        ConfigError
            If no step or no noise law is fixed yet.
        """
        if self._step is None:
            raise ConfigError(f"codec '{self.codec_id}' has no step yet", "call prepare(raw) first")
        return self._quantiser(self._step, self._lattice_of(levels))

    def prepare_planes(self, planes: PlaneReader, levels: Levels) -> Self:
        """Return the codec with the step that comes nearest to the wanted ratio on the raw image.

        Parameters
        ----------
        planes : PlaneReader
            Raw image of shape (planes, rows, columns), uint16, DN; a few planes are read.
        levels : callable
            Counts its grey levels.

        Returns
        -------
        Vsq
            With `step` and `search` set; itself where the step is already fixed.

        Raises
        ------
        CodecRangeError
            If the image cannot be carried.
        ConfigError
            If the noise law is not known yet.
        """
        check_image(self.codec_id, planes)
        if self._step is not None or self.ratio is None:
            return self
        n, lattice = planes.shape[0], self._lattice_of(levels)
        sample = [(z, planes.read_planes(z, z + 1)[0]) for z in range(0, n, math.ceil(n / _SEARCH_PLANES))]
        size = RAW_BYTES_PER_PIXEL * sum(plane.size for _, plane in sample)
        shape = _file_shape(len(sample), planes)

        def ratio_at(step: float) -> float:
            q = self._quantiser(step, lattice)
            coded = [code_chunks(q, self.chunks, plane, z, np.uint16).encoded_bytes for z, plane in sample]
            return float(size / (sum(coded) + side_bytes(q, self.chunks, shape)))

        found = search_ratio(ratio_at, MIN_STEP, largest_step(self.dither), self.ratio, rising=True, log=True)
        return replace(self, step=found.knob, search=found)

    def plane_coder(self, planes: PlaneReader, levels: Levels) -> PlaneCoder:
        """Return the way of the planes: quantised, coded, decoded and restored, chunk by chunk.

        Raises
        ------
        CodecRangeError
            If the image cannot be carried.
        ConfigError
            If no step or no noise law is fixed yet.
        """
        check_image(self.codec_id, planes)
        quantiser, settings = self.quantiser(levels), self.chunks
        side = side_bytes(quantiser, settings, _file_shape(planes.shape[0], planes))
        head = self._settings(quantiser)
        return PlaneCoder(
            dtype=np.dtype(self.output),
            code=lambda plane, number: code_chunks(quantiser, settings, plane, number, self.output),
            side_bytes=side,
            record=lambda counts: {**head, "saturated": counts.get("saturated", 0), "side_bytes": side},
            restore=lambda plane, number: restore_chunks(quantiser, settings, plane, number, self.output),
        )

    def describe(self) -> str:
        """Return the chain in words."""
        goal = "" if self._step is None else f"cells of {self._step:.4g} sigma"
        if self.ratio is not None:
            found = f", {self.search.ratio:.2f}:1 on the raw image" if self.search else ""
            goal += f"{' for ' if goal else 'cells for '}{self.ratio:g}:1{found}"
        back = "fractional" if self.output == "float32" else "whole"
        return f"{goal} {self.way()}; indices by {self.backend}, effort {self.effort}; back to {back} grey levels"

    def way(self) -> str:
        """Return in words what happens in a cell."""
        return "with subtractive dither" if self.dither == "subtractive" else "without dither"

    def _settings(self, quantiser: Quantiser) -> dict[str, Any]:
        """Return what is known before the first plane."""
        whole = self.output == "uint16"
        record: dict[str, Any] = {
            "codec": self.codec_id,
            **quantiser.to_config(),
            "nominal_db": quantiser.nominal_db,
            "guaranteed_db": quantiser.guaranteed_db if whole else quantiser.guaranteed_db_float,
            "estimated": quantiser.law.estimated,
            "output": self.output,
            **{name: getattr(self, name) for name in ("backend", "effort", "tile", "seed")},
        }
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

    @property
    def _step(self) -> float | None:
        wanted = self.added_db if self.added_db is not None else self.max_db
        return self.step if wanted is None else step_of_db(wanted, self.moment)

    def _quantiser(self, step: float, lattice: int) -> Quantiser:
        return Quantiser(
            self.noise_law, step=step, lattice=lattice, knee=self.knee, dither=self.dither, max_db=self.max_db
        )

    def _lattice_of(self, levels: Levels) -> int:
        if self.lattice is not None:
            return self.lattice
        shift = WordLink(lattice="remove").scale(levels).shift
        return min(1 << shift, max(1, (self.noise_law.max_dn + 1) // _LEAST_LEVELS))


def _file_shape(n: int, planes: PlaneReader) -> tuple[int, ...]:
    """Return the shape in the header of a file of `n` planes."""
    return (*((n,) if n > 1 else ()), *planes.shape[1:])


def _between(value: Any, least: float, most: float) -> tuple[bool, str]:
    """Return whether a value is a number in a span, and the span in words."""
    words = f"a number above {least:g}" + (f", up to {most:g}" if most < math.inf else "")
    return is_real(value) and least < value <= most, words
