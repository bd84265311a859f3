"""Sections of a study file: from mask to objects, the further totals of an image, and the pairing of objects."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from compdistort.config_section import Section

MOST_THRESHOLDS = 8
"""Further thresholds of a study: each segments and measures every image once more."""


class MeasureSection(Section):
    """From mask to objects, and what is predicted of an image beside the usual totals."""

    connectivity: Literal[4, 8, 6, 18, 26] | None = Field(
        None, description="4 or 8 in a plane (default 8, as ImageJ), 6, 18 or 26 in a volume (default 6)"
    )
    include_holes: bool = False
    min_size: int | None = Field(None, ge=1, description="default: as tuned in training, else 1")
    max_size: int = Field(0, ge=0)
    exclude_border: bool = False
    more_thresholds: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field(
        (), max_length=MOST_THRESHOLDS, description="totals of the objects at these thresholds too, e.g. [0.7]"
    )
    organ_excludes: int | None = Field(
        None, ge=1, le=255, description="annotation value of what is not the organ: gives the organ's size and the load"
    )

    @field_validator("more_thresholds")
    @classmethod
    def _distinct(cls, thresholds: tuple[float, ...]) -> tuple[float, ...]:
        twice = sorted({f"{one:g}" for one in thresholds if [f"{each:g}" for each in thresholds].count(f"{one:g}") > 1})
        if twice:
            raise ValueError(f"threshold {twice[0]} is given twice (six digits count); remove one")
        return thresholds


class MatchSection(Section):
    """Pairing of objects."""

    radius_px: float = Field(3.0, gt=0, description="in pixels; of a volume with a voxel size, in columns of a plane")
    one_to_one: bool = Field(True, description="false: the paper's rule, several objects may share a partner")
