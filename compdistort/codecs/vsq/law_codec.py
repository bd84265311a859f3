"""Codecs that take the noise law of the sensor: where it comes from, and how it is kept with the codec."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from compdistort.codecs.base import ConfigCodec
from compdistort.codecs.planewise import PlanewiseCodec
from compdistort.codecs.ratio_search import with_search
from compdistort.codecs.vsq.noise import NoiseLaw
from compdistort.errors import CalibrationError, ConfigError
from compdistort.sensor.model import SensorModel


@dataclass(frozen=True, kw_only=True)
class LawCodec(PlanewiseCodec):
    """A codec with a noise law, which stands in its configuration: it decodes without the calibration.

    Attributes
    ----------
    frames : int
        The image is the mean of so many frames of the calibrated sensor.
    allow_estimated : bool
        Take a sensor model that was estimated from the image itself; the record then says so.
    law : NoiseLaw, dict or None
        Noise of the image; None: that of the sensor, by `with_sensor`. A dict names per-pixel maps by their hash, and
        `with_sensor` brings them.
    """

    frames: int = 1
    allow_estimated: bool = False
    law: NoiseLaw | Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if not (type(self.frames) is int and self.frames >= 1):
            raise self.refused("frames", "a whole number, 1 or more")
        if not isinstance(self.allow_estimated, bool):
            raise self.refused("allow_estimated", "true or false")
        law = self.law
        if isinstance(law, Mapping) and "maps" not in law:
            law = NoiseLaw.from_config(law)
            object.__setattr__(self, "law", law)
        if isinstance(law, NoiseLaw) and law.estimated and not self.allow_estimated:
            raise CalibrationError(
                f"codec '{self.codec_id}': its noise law is an estimate, and nothing can be promised about added noise",
                "give a calibrated one, or set allow_estimated = true; the record is then marked",
            )

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Build the codec from its JSON data; see `ConfigCodec.from_config`."""
        return super().from_config(with_search(cls.codec_id, config))

    def get_config(self) -> dict[str, Any]:
        """Return the codec as JSON data; maps of a noise law are named by their hash alone, and the sensor has them."""
        config = ConfigCodec.get_config(replace(self, law=None))
        law = self.law.to_config() if isinstance(self.law, NoiseLaw) else self.law
        return config if law is None else config | {"law": dict(law)}

    def with_sensor(self, sensor: SensorModel) -> Self:
        """Return the codec with the noise law of the sensor, or its own where it has one already.

        Raises
        ------
        CalibrationError
            If the sensor is an estimate and `allow_estimated` is not set.
        ConfigError
            If the codec was prepared with the maps of another sensor.
        """
        if isinstance(self.law, NoiseLaw):
            return self
        law = NoiseLaw.from_sensor(sensor, frames=self.frames, allow_estimated=self.allow_estimated)
        if self.law is not None and law.to_config() != dict(self.law):
            raise ConfigError(
                f"codec '{self.codec_id}' was prepared with per-pixel noise maps of another sensor",
                "give the sensor model that the study was made with",
            )
        return replace(self, law=law)

    @property
    def noise_law(self) -> NoiseLaw:
        """The noise law.

        Raises
        ------
        ConfigError
            If there is none yet.
        """
        if not isinstance(self.law, NoiseLaw):
            raise ConfigError(f"codec '{self.codec_id}' knows no noise law yet", "call with_sensor(sensor) first")
        return self.law

    def refused(self, name: str, wanted: str) -> ConfigError:
        """Return the error that refuses a setting."""
        return ConfigError(
            f"codec '{self.codec_id}': {name} = {getattr(self, name)!r} is not possible", f"it must be {wanted}"
        )
