"""What is swept: the section ``[sweep]`` of a study file and its codecs, frozen as all sections are."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from compdistort.config_section import Section

RATIOS = (5.0, 10.0, 20.0, 50.0, 100.0)
"""Compression ratios that a codec is tried at unless its entry says otherwise."""

_BETWEEN, _POINTS = (2.0, 200.0), 8
_WAYS = ("ratios", "levels", "boundary")

Ratio = Annotated[float, Field(gt=1)]


class SweepCodec(BaseModel):
    """One curve of a sweep: a codec, and where it is tried. Its own settings are checked by the codec itself.

    Without `ratios`, `levels` and `boundary` a codec that takes a ratio is tried at those of the section, another one
    once.
    """

    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False)

    id: str
    name: str = Field("", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$|^$")
    ratios: tuple[Ratio, ...] = Field((), description="compression ratios")
    levels: dict[str, tuple[float | int | str, ...]] = Field({}, description="values of one setting of the codec")
    boundary: bool = Field(False, description="search the largest tolerable ratio by bisection in log ratio")
    between: tuple[Ratio, Ratio] = Field(_BETWEEN, description="ends of that search")
    points: int = Field(_POINTS, ge=3, le=64, description="most ratios that it tries, the ends included")

    @model_validator(mode="after")
    def _one_way(self) -> "SweepCodec":
        given = [name for name in _WAYS if getattr(self, name)]
        if len(given) > 1:
            raise ValueError(f"give at most one of {', '.join(_WAYS)} (given: {', '.join(given)})")
        for name, default in (("between", _BETWEEN), ("points", _POINTS)):
            if not self.boundary and getattr(self, name) != default:
                raise ValueError(f"{name} does nothing without boundary = true; remove it")
        if self.between[0] >= self.between[1]:
            raise ValueError(f"between = [{self.between[0]:g}, {self.between[1]:g}] must rise")
        return self

    @field_validator("levels")
    @classmethod
    def _one_setting(cls, levels: dict[str, tuple[float | int | str, ...]]) -> dict[str, tuple[float | int | str, ...]]:
        if len(levels) > 1 or any(not values for values in levels.values()):
            raise ValueError("write one setting with its values, e.g. levels = { step = [0.5, 1, 2] }")
        return levels

    @property
    def label(self) -> str:
        """Name of the curve."""
        return self.name or self.id

    def settings(self) -> dict[str, Any]:
        """Return the codec's own settings, `id` included."""
        return {"id": self.id, **(self.model_extra or {})}


class SweepSection(Section):
    """Codecs and ratios of ``compdistort sweep``; without codecs a set of those in reach."""

    ratios: tuple[Ratio, ...] = Field(RATIOS, min_length=1)
    codec: tuple[SweepCodec, ...] = ()

    @field_validator("codec")
    @classmethod
    def _distinct(cls, codecs: tuple[SweepCodec, ...]) -> tuple[SweepCodec, ...]:
        names = [codec.label for codec in codecs]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two codecs of the sweep are called '{twice[0]}': give each a name of its own")
        return codecs
