"""What a benchmark runs: the grid of pipelines, the codecs, and how the words of the command line say them."""

from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from compdistort.codecs import Codec, build_codec
from compdistort.errors import ConfigError
from compdistort.features import FEATURE_SETS, FeatureSpec
from compdistort.forest.bins import check_kind
from compdistort.forest.presets import find_preset
from compdistort.score.checks import check_settings
from compdistort.synthetic import KINDS as SCENES

OWN = "own"
"""Word for the scales that belong to a feature set."""

ESTIMATE = "estimate"
"""Word for a sensor that is estimated from the image."""


SCENE, SIZE = "spheres", 288
"""What is simulated where nothing else is said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """One way from pixels to probabilities.

    Attributes
    ----------
    set_name : str
        Feature set.
    sigmas : tuple of float
        Scales; () takes the set's own.
    preset : str
        Forest preset.
    trees, leaves : int
        Number of trees, and the most leaves of each; 0 takes the preset's own.
    bins : str
        ``none``, ``uint16`` or ``uint8``.
    """

    set_name: str
    sigmas: tuple[float, ...] = ()
    preset: str = "weka"
    trees: int = 0
    leaves: int = 0
    bins: str = "none"

    @property
    def name(self) -> str:
        """Name in tables and of the model file.

        Examples
        --------
        >>> Pipeline(set_name="plain", sigmas=(1.0, 3.5), preset="ilastik", trees=50, bins="uint8").name
        'plain-s1_3.5-ilastik-t50-uint8'
        """
        parts = [
            self.set_name,
            "s" + "_".join(repr(sigma).removesuffix(".0") for sigma in self.sigmas) if self.sigmas else "",
            self.preset,
        ]
        parts += [f"t{self.trees}" if self.trees else "", f"l{self.leaves}" if self.leaves else ""]
        parts += [self.bins if self.bins != "none" else "float"]
        return "-".join(part for part in parts if part)

    def spec(self) -> FeatureSpec:
        """Return the features; ConfigError where the set cannot have these sigmas."""
        return FeatureSpec(set=self.set_name, sigmas=self.sigmas)


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchOptions:
    """What is compared on which image.

    Attributes
    ----------
    image, labels, held_out : Path or None
        Raw image, its annotations, and annotations for judging only; without an image a scene is simulated.
    page : int or None
        Plane of a file with several.
    scene : str or None
        Which scene is simulated, one of `SCENES`; None takes `SCENE`.
    size : int or None
        Its rows and columns; None takes `SIZE`.
    sensor : str or None
        Sensor file, or ``estimate``; a simulated scene brings its own.
    sets, sigmas, presets, trees, leaves, bins : tuple
        The grid: every combination is a pipeline. A word of `sigmas` is ``own`` or numbers joined by commas.
    codecs : tuple of str
        Words that `parse_codec` reads.
    replicates : int
        Replicates that every pipeline measures.
    rounds : int
        Turns under the clock.
    seed : int
        Of scene, replicates, forests and held-out squares.
    min_size : int or None
        Smallest object, pixels; None takes 20 in a simulated scene, else 1.
    foreground : int or None
        Annotation value of the objects; None takes the highest.
    tolerance : float
        Largest difference of score that counts as none.
    margin : float
        Largest tolerated expected score E3, units of s.
    threads : int or None
        Threads on which replicates are measured; times are of one thread.
    """

    image: Path | None = None
    labels: Path | None = None
    held_out: Path | None = None
    page: int | None = None
    scene: str | None = None
    size: int | None = None
    sensor: str | None = None
    sets: tuple[str, ...] = tuple(FEATURE_SETS)
    sigmas: tuple[str, ...] = (OWN,)
    presets: tuple[str, ...] = ("ilastik",)
    trees: tuple[int, ...] = (0,)
    leaves: tuple[int, ...] = (0,)
    bins: tuple[str, ...] = ("none", "uint8")
    codecs: tuple[str, ...] = ("bit-depth", "jpeg:10")
    replicates: int = 20
    rounds: int = 5
    seed: int = 1
    min_size: int | None = None
    foreground: int | None = None
    tolerance: float = 0.005
    margin: float = 1.0
    threads: int | None = None

    def __post_init__(self) -> None:
        if self.scene not in (None, *SCENES):
            raise ConfigError(f"--scene {self.scene} is unknown", f"use one of {', '.join(SCENES)}")
        given = {"--labels": self.labels, "--held-out": self.held_out, "--page": self.page, "--sensor": self.sensor}
        for flag, value in given.items() if self.image is None else ():
            if value is not None:
                raise ConfigError(f"{flag} {value} belongs to an image, and none is named", "put the image first")
        for flag, word in {"--scene": self.scene, "--size": self.size}.items() if self.image is not None else ():
            if word is not None:
                raise ConfigError(
                    f"{flag} {word} belongs to a simulated scene, and {self.image} is named", "leave one of them out"
                )
        if self.image is not None and (self.labels is None or self.sensor is None):
            raise ConfigError(
                f"{self.image}: a benchmark needs annotations and the sensor's noise",
                f"give --labels FILE, and --sensor FILE or --sensor {ESTIMATE}",
            )
        if 1 in self.leaves:
            raise ConfigError("--leaves 1 leaves nothing to decide", "use 2 or more, or 0 for no limit")
        check_settings(margin=self.margin, level=0.95, alpha=0.05, min_matched=0.9)
        if not 0 <= self.tolerance < 1:
            raise ConfigError(f"--tolerance {self.tolerance} is no difference of scores", "use 0 to 1, such as 0.005")

    @property
    def simulated(self) -> tuple[str, int]:
        """Scene and size that are simulated without an image."""
        return self.scene or SCENE, self.size or SIZE

    def grid(self) -> tuple[Pipeline, ...]:
        """Return every pipeline in the order of the options, the set outermost.

        Raises
        ------
        UnknownFeatureError, ConfigError
            If a set, preset, kind of bins or list of sigmas does not exist.
        """
        for name in self.sets:
            FeatureSpec(set=name)
        for preset in self.presets:
            find_preset(preset)
        for kind in self.bins:
            check_kind(kind)
        sigmas = [parse_sigmas(word) for word in self.sigmas]
        made = [
            Pipeline(set_name=name, sigmas=scales, preset=preset, trees=trees, leaves=leaves, bins=bins)
            for name, scales, preset, trees, leaves, bins in product(
                self.sets, sigmas, self.presets, self.trees, self.leaves, self.bins
            )
        ]
        return tuple({pipeline.name: pipeline for pipeline in made}.values())

    def named_codecs(self) -> dict[str, Codec]:
        """Return the codecs by name, unprepared.

        Raises
        ------
        UnknownCodecError, ConfigError
            If an id or setting does not exist, or a codec is named twice.
        """
        named: dict[str, Codec] = {}
        for word in self.codecs:
            name = word.replace(":", "-").replace("=", "").replace(",", "-")
            if name in named:
                raise ConfigError(f"--codec {word} is given twice", "name each codec once")
            named[name] = build_codec(parse_codec(word))
        return named


def parse_sigmas(word: str) -> tuple[float, ...]:
    """Return the scales that a word says, () for a set's own.

    Raises
    ------
    ConfigError
        If it is neither ``own`` nor numbers joined by commas.

    Examples
    --------
    >>> parse_sigmas("own"), parse_sigmas("1,3.5")
    ((), (1.0, 3.5))
    """
    if word == OWN:
        return ()
    try:
        return tuple(float(part) for part in word.split(","))
    except ValueError:
        raise ConfigError(f"--sigma {word} is no list of scales", f"write {OWN}, or numbers as in 1,1.6,3.5") from None


def parse_codec(word: str) -> dict[str, Any]:
    """Return the table of a study file that a word says.

    Raises
    ------
    ConfigError
        If a setting is not ``key=value``.

    Examples
    --------
    >>> parse_codec("jpeg:10"), parse_codec("bit-depth:bits=8,inverse=naive255")
    ({'id': 'jpeg', 'ratio': 10}, {'id': 'bit-depth', 'bits': 8, 'inverse': 'naive255'})
    """
    codec_id, _, rest = word.partition(":")
    table: dict[str, Any] = {"id": codec_id}
    for part in rest.split(",") if rest else ():
        key, equals, value = part.partition("=")
        if not equals and not isinstance(_value(part), str):
            key, value = "ratio", part
        elif not (key and value):
            raise ConfigError(
                f"--codec {word}: '{part}' is no setting", "write for example jpeg:10 or bit-depth:bits=8"
            )
        table[key] = _value(value)
    return table


def _value(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text
