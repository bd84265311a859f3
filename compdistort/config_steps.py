"""Steps of a study file between the recorded image and what the classifier sees, in the order of the file."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, StrictInt, field_validator, model_validator

from compdistort.config_section import Section


class AttenuationStep(Section):
    """Raw projections to line integrals: dark level off, divided by the flat field, and the logarithm."""

    id: Literal["attenuation"]
    dark: Path | None = Field(None, description="frames without light; several are averaged; default: a level of 0")
    flat: Path | None = Field(None, description="frames of the light without an object; several are averaged")
    logarithm: bool = Field(True, description="absorption, which needs a flat field; false: emitted light")
    least_transmission: float = Field(1e-4, gt=0, lt=1, description="transmissions below it are raised to it")

    @model_validator(mode="after")
    def _light(self) -> "AttenuationStep":
        if self.logarithm and self.flat is None:
            raise ValueError("the logarithm needs flat = FILE; of emitted light take none: logarithm = false")
        if not self.logarithm and self.least_transmission != type(self).model_fields["least_transmission"].default:
            raise ValueError("least_transmission does nothing without the logarithm; remove it")
        return self


class BackProjectionStep(Section):
    """Projections to volume by filtered back-projection; see `compdistort.reconstruct.ParallelBeam`."""

    id: Literal["back-projection"]
    angles: Path | None = Field(None, description="file of the angle of every projection, degrees, one a line")
    arc_deg: float | None = Field(None, description="evenly over this arc: angle k of n is k arc_deg / n")
    filter: str = "ramp"
    interpolation: str = "linear"
    frequency_scaling: float = 1.0
    convention: Literal["scikit-image", "matlab"] = Field(
        "scikit-image",
        description="whose iradon decides about output_size, circle and the middle of image and detector",
    )
    output_size: StrictInt | str | None = Field(None, description="default: that of the convention")
    circle: bool = True
    axis_px: float | None = None
    centre_px: float | Literal["search"] | None = Field(
        None, description='where the axis of rotation is seen; "search": found on the raw image once; default: n // 2'
    )
    bracket_px: float = Field(16.0, ge=1, description="how far from the middle of the detector a search looks")

    @model_validator(mode="after")
    def _one_source(self) -> "BackProjectionStep":
        if (self.angles is None) == (self.arc_deg is None):
            raise ValueError("give exactly one of angles = FILE or arc_deg = DEGREES")
        if self.convention == "matlab" and (not self.circle or self.axis_px is not None):
            raise ValueError('convention = "matlab" says what circle and axis_px are; remove them')
        if self.centre_px != "search" and self.bracket_px != type(self).model_fields["bracket_px"].default:
            raise ValueError('bracket_px does nothing without centre_px = "search"; remove it')
        return self

    @field_validator("centre_px", mode="before")
    @classmethod
    def _number_or_search(cls, centre: Any) -> Any:
        if isinstance(centre, str) and centre != "search":
            raise ValueError('it must be a number of pixels or "search"')
        return centre

    @field_validator("arc_deg")
    @classmethod
    def _turns(cls, arc: float | None) -> float | None:
        if arc is not None and not 0 < abs(arc) <= 360:
            raise ValueError("the arc must be above 0 and at most 360 degrees, negative the other way round")
        return arc


class CropStep(Section):
    """A part of the image."""

    id: Literal["crop"]
    box: str = Field(pattern=r"^(\d+:\d+,)?\d+:\d+,\d+:\d+$", description='"y0:y1,x0:x1" or "z0:z1,y0:y1,x0:x1"')


class ContrastStretchStep(Section):
    """To 16 bit, stretched until some voxels saturate, as Fiji does it with the histogram of the stack."""

    id: Literal["contrast-stretch"]
    saturated_percent: float = Field(0.35, ge=0, lt=100)
    limits: Literal["each", "raw"] = Field(
        "each", description="each: limits of every image by itself, as Fiji; raw: those of the raw image for all"
    )


class DivideByMedianStep(Section):
    """Every value by the median of the whole image."""

    id: Literal["divide-by-median"]


class CallStep(Section):
    """A Python function from image to image; it runs only where the command line says ``--allow-code``."""

    id: Literal["call"]
    function: str = Field(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$")
    settings: dict[str, Any] = Field(default={}, description="keyword arguments of the function")

    @field_validator("settings")
    @classmethod
    def _plain(cls, settings: dict[str, Any]) -> dict[str, Any]:
        try:
            json.dumps(settings, allow_nan=False)
        except (TypeError, ValueError):
            raise ValueError("settings may hold text, finite numbers, true, false, lists and tables alone") from None
        return settings


STEP_SECTIONS: dict[str, type[Section]] = {
    "attenuation": AttenuationStep,
    "back-projection": BackProjectionStep,
    "crop": CropStep,
    "contrast-stretch": ContrastStretchStep,
    "divide-by-median": DivideByMedianStep,
    "call": CallStep,
}
"""The sections by the id of their step."""

StepSection = Annotated[
    AttenuationStep | BackProjectionStep | CropStep | ContrastStretchStep | DivideByMedianStep | CallStep,
    Field(discriminator="id"),
]
"""One ``[[step]]``."""
