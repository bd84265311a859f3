"""What a study file may say, as frozen pydantic models; `compdistort.study_file` reads one.

The models are frozen, so that what a study was asked to do cannot change while it runs.
"""

from pathlib import Path
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    PrivateAttr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from compdistort.backend import DeviceRequest, check_forest
from compdistort.config_measure import MatchSection, MeasureSection
from compdistort.config_section import OperatorsSection, Section
from compdistort.config_steps import StepSection
from compdistort.config_sweep import SweepSection
from compdistort.errors import ConfigError

SCHEMA_VERSION = 1
_BYTES = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40, "kB": 10**3, "MB": 10**6, "GB": 10**9}


class InputSection(Section):
    """Which raw image."""

    raw: Path
    page: int | None = Field(None, ge=0, description="one plane of a volume, studied as an image")
    truth: Path | None = Field(None, description="true objects of the same field (label image or mask), where known")
    crop: str | None = Field(
        None, pattern=r"^(\d+:\d+,)?\d+:\d+,\d+:\d+$", description='"y0:y1,x0:x1", of a volume also "z0:z1,y0:y1,x0:x1"'
    )
    dataset: str | None = Field(None, description="path inside an HDF5 file")
    voxel_um: tuple[PositiveFloat, PositiveFloat, PositiveFloat] | None = Field(
        None, description="size of a voxel in micrometres: plane, row, column; default: what the file says"
    )


class CalibrationSection(Section):
    """The sensor: a file, an estimate from the raw image, or typed numbers."""

    sensor: Path | None = None
    estimate: bool = False
    offset_dn: float | None = None
    gain_e_per_dn: float | None = Field(None, gt=0)
    read_noise_e: float | None = Field(None, ge=0)
    saturation_dn: float | None = Field(None, gt=0)
    bits: int | None = Field(None, ge=9, le=16, description="default: 16, or seen where the image clips")

    @model_validator(mode="after")
    def _one_source(self) -> "CalibrationSection":
        typed = self.gain_e_per_dn is not None
        if typed + self.estimate + (self.sensor is not None) != 1:
            raise ValueError(
                "give exactly one of: sensor = FILE, estimate = true, or gain_e_per_dn with offset_dn and read_noise_e"
            )
        if typed and (self.offset_dn is None or self.read_noise_e is None):
            raise ValueError("gain_e_per_dn needs offset_dn and read_noise_e beside it")
        self._refuse_unused()
        return self

    def _refuse_unused(self) -> None:
        """Refuse a value that the chosen source would not look at: it must not pass in silence."""
        if self.sensor is not None:
            unused = ["offset_dn", "read_noise_e", "saturation_dn", "bits"]
            reason = "is part of the sensor file already; remove one of the two"
        elif self.estimate and self.offset_dn is None:
            unused, reason = ["saturation_dn", "read_noise_e"], "is not used by an estimate without offset_dn"
        else:
            unused, reason = ["saturation_dn"] if self.estimate else [], "is not used by estimate = true"
        for name in unused:
            if getattr(self, name) is not None:
                raise ValueError(f"{name} {reason}")


class NoiseSection(Section):
    """The replicates."""

    law: Literal["poisson-gaussian", "gaussian"] = "poisson-gaussian"
    replicates: int = Field(100, ge=2, le=100_000)
    seed: int = Field(1, ge=0, lt=2**64)


class ThresholdAnnotation(Section):
    """Annotations made from the raw image itself by two grey levels: no ground truth, and called so."""

    background_below_dn: float
    foreground_above_dn: float
    smooth_px: float = Field(0.0, ge=0, le=100, description="Gaussian applied before the levels, standard deviation")
    local_background_px: float = Field(
        0.0, ge=0, le=1000, description="Gaussian subtracted as local background; 0 = none"
    )
    dark_objects: bool = Field(
        False, description="objects are darker: levels count downwards from the local background"
    )
    pixels_per_class: int = Field(2000, ge=10)

    @model_validator(mode="after")
    def _ordered(self) -> "ThresholdAnnotation":
        if self.dark_objects and not self.local_background_px:
            raise ValueError("dark_objects needs local_background_px, from which its levels count downwards")
        if self.background_below_dn > self.foreground_above_dn:
            raise ValueError("background_below_dn must not exceed foreground_above_dn")
        return self


_SOURCES = ("model", "labels", "mask", "threshold_annotation")
_FEATURES = ("set", "sigma", "planar", "pairs")
_TRAINING = (*_FEATURES, "held_out", "label_source", "preset", "balanced", "bins", "seed", "foreground")
"""Settings of the segmenter that a trained model has behind it."""


class SegmenterSection(Section):
    """The pixel classifier: a model file, or annotations to train one from."""

    model: Path | None = None
    labels: Path | None = None
    mask: Path | None = Field(None, description="every object of the raw image, from which annotations are drawn")
    samples: int = Field(20_000, ge=2, description="pixels drawn of the mask")
    prior: Literal["natural", "balanced"] = Field("natural", description="evenly over the image, or as many of each")
    held_out: Path | None = None
    threshold_annotation: ThresholdAnnotation | None = None
    label_source: str = "manual annotations"
    set: Literal["weka", "ilastik", "vigra", "plain", "fast"] | None = None
    sigma: tuple[float, ...] = ()
    planar: tuple[float, ...] = Field((), description="those of sigma that are computed plane by plane in a volume")
    pairs: tuple[str, ...] = Field((), description="columns OPERATOR:SIGMA, instead of the set's own")
    preset: Literal["weka", "ilastik"] = "weka"
    balanced: bool | None = Field(None, description="classes weigh the same; default: unless drawn by natural prior")
    bins: Literal["none", "uint16", "uint8"] = Field("none", description="features rounded to codes: faster, not exact")
    seed: int = Field(0, ge=0, lt=2**32)
    foreground: int | None = Field(
        None, ge=1, le=255, description="annotation value of the objects; default: the highest"
    )
    threshold: float | None = Field(None, ge=0, le=1, description="default: as tuned in training, else 0.5")
    strict: bool = False
    smoothing_px: float = Field(0.0, ge=0)

    @model_validator(mode="after")
    def _one_source(self) -> "SegmenterSection":
        given = [name for name in _SOURCES if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of {', '.join(_SOURCES)} (given: {', '.join(given) or 'none'})")
        if self.model is not None and (unused := self._changed(_TRAINING)):
            raise ValueError(f"{unused} belongs to training and does nothing beside model; remove one of the two")
        if self.mask is None and (unused := self._changed(("samples", "prior"))):
            raise ValueError(f"{unused} says how pixels of a mask are drawn; give mask = FILE, or remove it")
        return self

    def _changed(self, names: tuple[str, ...]) -> str | None:
        """Return the first of some settings that is not its default."""
        fields = type(self).model_fields
        return next((name for name in names if getattr(self, name) != fields[name].default), None)

    @property
    def weighs_classes(self) -> bool:
        """Whether every class weighs the same in training."""
        return self.balanced if self.balanced is not None else self.mask is None or self.prior == "balanced"


class CodecSection(BaseModel):
    """One codec: its id and name here, its own settings checked by the codec itself."""

    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False)

    id: str
    name: str = Field("", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$|^$")

    def settings(self) -> dict[str, Any]:
        """Return the codec's own settings, `id` included."""
        return {"id": self.id, **(self.model_extra or {})}


class StatisticsSection(Section):
    """Decisions."""

    margin: float = Field(1.0, gt=0)
    level: float = Field(0.95, gt=0.5, lt=1)
    alpha: float = Field(0.05, gt=0, lt=0.5)
    min_matched: float = Field(0.9, ge=0, le=1)


class ComputeSection(Section):
    """Resources. Results do not depend on them."""

    device: str = Field("auto", description="auto, cpu, numba, numpy, cuda or cuda:0,1")
    forest: Literal["device", "cpu"] = Field("device", description="where the forest votes when the device is a GPU")
    threads: int = Field(0, ge=0, description="0 = all processors that this process may use")
    block: int = Field(0, ge=0, le=1024, description="replicates per committed block; 0 = chosen from their number")
    max_memory: str = "8GiB"
    slab: int = Field(0, ge=0, description="planes decided together of a volume read from disk; 0 = as memory allows")
    _device_source: str = PrivateAttr("")

    @property
    def request(self) -> DeviceRequest:
        """The device and who asks for it."""
        return DeviceRequest(self.device, self._device_source)

    def asking(self, request: DeviceRequest, **others: Any) -> "ComputeSection":
        """Return the section with another device, and with those of the other settings that are not None.

        Raises
        ------
        ConfigError
            If the device, or the place of the forest, does not exist.
        """
        request.parse()
        given = {name: value for name, value in others.items() if value is not None}
        section = self.model_copy(update={"device": request.name, **given})
        check_forest(section.forest)
        section._device_source = request.source
        return section

    @field_validator("max_memory")
    @classmethod
    def _parse(cls, text: str) -> str:
        parse_bytes(text)
        return text


class OutputSection(Section):
    """Where results go."""

    folder: Path | None = None


class StudyConfig(Section):
    """A whole study file."""

    schema_version: Literal[1]
    title: str = "compdistort study"
    input: InputSection
    calibration: CalibrationSection
    noise: NoiseSection = NoiseSection()
    step: tuple[StepSection, ...] = ()
    segmenter: SegmenterSection
    measure: MeasureSection = MeasureSection()
    match: MatchSection = MatchSection()
    sweep: SweepSection | None = None
    codec: tuple[CodecSection, ...] = Field((), validate_default=True)
    statistics: StatisticsSection = StatisticsSection()
    operators: OperatorsSection = OperatorsSection()
    compute: ComputeSection = ComputeSection()
    output: OutputSection = OutputSection()

    @field_validator("codec")
    @classmethod
    def _name_codecs(cls, codecs: tuple[CodecSection, ...], info: ValidationInfo) -> tuple[CodecSection, ...]:
        if not codecs and info.data.get("sweep") is None:
            raise ValueError("give at least one [[codec]], or what is swept by `compdistort sweep` as [sweep]")
        named = tuple(codec.model_copy(update={"name": codec.name or _default_name(codec)}) for codec in codecs)
        names = [codec.name for codec in named]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two codecs are called '{twice[0]}': give each a name of its own")
        return named


def _default_name(codec: CodecSection) -> str:
    """Return e.g. ``jpeg-10`` for a codec without a name."""
    ratio = (codec.model_extra or {}).get("ratio")
    return f"{codec.id}-{ratio:g}" if isinstance(ratio, int | float) else codec.id


def parse_bytes(text: str) -> int:
    """Return the number of bytes that e.g. ``"8GiB"`` means.

    Raises
    ------
    ConfigError
        If it is no size.

    Examples
    --------
    >>> parse_bytes("1.5KiB")
    1536
    """
    number = text.rstrip("BKMGTikb").strip()
    unit = text[len(number) :].strip() or "B"
    try:
        value = float(number) * _BYTES[unit]
    except (KeyError, ValueError):
        raise ConfigError(f"'{text}' is no size", "write a number and a unit, such as 8GiB or 500MB") from None
    if not 0 < value < 2**60:
        raise ConfigError(f"'{text}' is no usable size", "write a number and a unit, such as 8GiB or 500MB")
    return int(value)
