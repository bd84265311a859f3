"""The steps that a study file can name, but for `compdistort.pipeline.step_call`: what each does to one image."""

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.base import Backend, Float64
from compdistort.config_section import Section
from compdistort.config_steps import (
    AttenuationStep,
    BackProjectionStep,
    ContrastStretchStep,
    CropStep,
    DivideByMedianStep,
)
from compdistort.errors import ConfigError, InputError, ResourceError
from compdistort.reconstruct import (
    ParallelBeam,
    StretchLimits,
    attenuation,
    find_centre,
    reconstruct,
    reconstruction_bytes,
    stretch_between,
    stretch_limits,
)

Image = NDArray[Any]
Found = dict[str, Any]
S = TypeVar("S", bound=Section)

FIXED_BYTES = 1 << 20
"""What a step takes beside its images."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepKind(ABC, Generic[S]):
    """One step, its files read.

    Attributes
    ----------
    section : Section
        What the study file says.
    """

    section: S
    keeps_voxels: ClassVar[bool] = True
    """Whether a voxel of the result is a voxel of the image."""

    def fix(self, image: Image, backend: Backend[Any]) -> Found:
        """Return what is taken from the raw image once, as JSON's types; `image` is what the step is given of it."""
        del image, backend
        return {}

    def require(self, fixed: Found) -> None:
        """Raise InputError unless what was fixed before can still be used."""
        del fixed

    @abstractmethod
    def apply(self, image: Image, fixed: Found, backend: Backend[Any]) -> tuple[Image, Found]:
        """Return what the step makes of an image, and what it found on it, as JSON's types."""

    @abstractmethod
    def describe(self, fixed: Found) -> str:
        """Return the step in words, without a full stop."""

    def working_bytes(self, shape: tuple[int, ...], fixed: Found) -> int:
        """Return the memory that it takes for an image of this shape, beside image and result."""
        del shape, fixed
        return FIXED_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class Attenuation(StepKind[AttenuationStep]):
    """Raw projections to line integrals.

    Attributes
    ----------
    dark, flat : ndarray of shape (rows, columns), float64, or None
        Means of the frames.
    """

    dark: Float64 | None
    flat: Float64 | None

    def apply(self, image: Image, fixed: Found, backend: Backend[Any]) -> tuple[Image, Found]:
        """Return the line integrals, float32, and how many transmissions were raised."""
        del fixed, backend
        section = self.section
        made = attenuation(
            image,
            dark=self.dark,
            flat=self.flat,
            logarithm=section.logarithm,
            least_transmission=section.least_transmission,
        )
        return made.values, {"clipped": made.clipped}

    def describe(self, fixed: Found) -> str:
        """Return the step in words."""
        del fixed
        done = [] if self.dark is None else ["the dark level taken off"]
        done += [] if self.flat is None else ["divided by the flat field"]
        if self.section.logarithm:
            done.append(f"minus the logarithm (transmissions below {self.section.least_transmission:g} raised to it)")
        return f"projections: {', '.join(done) or 'as recorded, in float32'}"

    def working_bytes(self, shape: tuple[int, ...], fixed: Found) -> int:
        """Return the memory that it takes: planes in float64."""
        del fixed
        return FIXED_BYTES + 8 * 8 * int(np.prod(shape[-2:]))


_CONVENTIONS = {"scikit-image": "scikit-image", "matlab": "MATLAB"}


@dataclass(frozen=True, slots=True, kw_only=True)
class BackProjection(StepKind[BackProjectionStep]):
    """Projections to volume.

    Attributes
    ----------
    angles_deg : tuple of float, or None
        Of the file of angles.
    max_bytes : int
        Memory limit of the study.
    """

    angles_deg: tuple[float, ...] | None
    max_bytes: int
    keeps_voxels: ClassVar[bool] = False

    def beam(self, n: int, columns: int, centre_px: float | None) -> ParallelBeam:
        """Return the geometry of `n` projections of so many columns."""
        section = self.section
        arc = section.arc_deg or 0.0
        angles = self.angles_deg or tuple(k * arc / n for k in range(n))
        options: dict[str, Any] = {
            "filter": section.filter,
            "interpolation": section.interpolation,
            "frequency_scaling": section.frequency_scaling,
        }
        if section.output_size is not None:
            options["output_size"] = section.output_size
        if section.convention == "matlab":
            beam = ParallelBeam.matlab(angles, columns, **options)
            return beam if centre_px is None else beam.changed(centre_px=centre_px)
        options |= {"circle": section.circle, "axis_px": section.axis_px, "centre_px": centre_px}
        return ParallelBeam(angles_deg=angles, **options)

    def fix(self, image: Image, backend: Backend[Any]) -> Found:
        """Return the number of projections, the centre of rotation and where it is from."""
        _require_volume(image)
        self._require_memory(image)
        (n, _, columns), given = image.shape, self.section.centre_px
        if given == "search":
            found = find_centre(image, self.beam(n, columns, None), backend, bracket_px=self.section.bracket_px)
            return {
                "projections": n,
                "centre_px": found.centre_px,
                "centre": f"found on the raw image by {found.method}",
            }
        centre = self.beam(n, columns, given).centre(columns)
        return {"projections": n, "centre_px": centre, "centre": "middle of the detector" if given is None else "given"}

    def apply(self, image: Image, fixed: Found, backend: Backend[Any]) -> tuple[Image, Found]:
        """Return the volume, float32."""
        self._require_memory(image)
        return reconstruct(image, self.beam(fixed["projections"], image.shape[2], fixed["centre_px"]), backend), {}

    def _require_memory(self, image: Image) -> None:
        """Refuse a volume that is above the memory limit by itself, before anything of its size is made."""
        n, planes, columns = image.shape
        side = self.beam(n, columns, None).size(columns)
        # float32, and the plan of one plane in float64
        needed = (4 * planes + 8) * side**2
        if needed > self.max_bytes:
            raise ResourceError(
                f"the volume, {planes} x {side} x {side}, needs {needed / 2**30:.1f} GiB, and compute.max_memory is "
                f"{self.max_bytes / 2**30:.1f} GiB",
                "raise it, choose a smaller output_size, or crop the projections (input.crop)",
            )

    def describe(self, fixed: Found) -> str:
        """Return the step in words."""
        section, n = self.section, fixed["projections"]
        angles = "at given angles" if self.angles_deg else f"evenly over {section.arc_deg:g} degrees"
        scaled = "" if section.frequency_scaling == 1 else f", frequencies scaled by {section.frequency_scaling:g}"
        return (
            f"filtered back-projection of {n} projections {angles}: filter {section.filter}{scaled}, interpolation "
            f"{section.interpolation}, in the conventions of {_CONVENTIONS[section.convention]}, centre of rotation at "
            f"{fixed['centre_px']:.2f} px ({fixed['centre']})"
        )

    def working_bytes(self, shape: tuple[int, ...], fixed: Found) -> int:
        """Return the memory that it takes."""
        return reconstruction_bytes(self.beam(fixed["projections"], shape[-1], fixed["centre_px"]), shape[-1])


@dataclass(frozen=True, slots=True, kw_only=True)
class CropBox(StepKind[CropStep]):
    """A part of the image."""

    def apply(self, image: Image, fixed: Found, backend: Backend[Any]) -> tuple[Image, Found]:
        """Return the part."""
        del fixed, backend
        box = self.section.box
        spans = [tuple(map(int, part.split(":"))) for part in box.split(",")]
        if len(spans) > image.ndim:
            raise ConfigError(f'box = "{box}" crops planes, and the image is one', "crop rows and columns alone")
        for (start, stop), n in zip(spans, image.shape[-len(spans) :], strict=True):
            if not start < stop <= n:
                raise ConfigError(
                    f'box = "{box}" does not lie inside the image of shape {image.shape}: {start}:{stop} of {n}',
                    "give the first and one past the last, from 0",
                )
        index: tuple[Any, ...] = (..., *(slice(*span) for span in spans))
        return np.ascontiguousarray(image[index]), {}

    def describe(self, fixed: Found) -> str:
        """Return the step in words."""
        del fixed
        return f"cropped to {self.section.box}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch(StepKind[ContrastStretchStep]):
    """To 16 bit, stretched."""

    def fix(self, image: Image, backend: Backend[Any]) -> Found:
        """Return the limits of the raw image where all images share them."""
        del backend
        if self.section.limits == "each":
            return {}
        return asdict(stretch_limits(image, self.section.saturated_percent))

    def apply(self, image: Image, fixed: Found, backend: Backend[Any]) -> tuple[Image, Found]:
        """Return the codes, uint16, and the limits."""
        del backend
        percent = self.section.saturated_percent
        limits = StretchLimits(**fixed) if fixed else stretch_limits(image, percent)
        made = stretch_between(image, limits, percent)
        return made.volume, {"low": made.low, "high": made.high, "below": made.below, "above": made.above}

    def describe(self, fixed: Found) -> str:
        """Return the step in words."""
        whose = "of the raw image for all" if fixed else "of each image by itself"
        percent = self.section.saturated_percent
        return f"stretched to 16 bit until {percent:g} % of the voxels saturate (limits {whose})"

    def working_bytes(self, shape: tuple[int, ...], fixed: Found) -> int:
        """Return the memory that it takes: planes in float64 and int64."""
        del fixed
        return FIXED_BYTES + 6 * 8 * int(np.prod(shape[-2:]))


@dataclass(frozen=True, slots=True, kw_only=True)
class ByMedian(StepKind[DivideByMedianStep]):
    """Every value by the median."""

    def apply(self, image: Image, fixed: Found, backend: Backend[Any]) -> tuple[Image, Found]:
        """Return the quotients, float32, and the median: the mean of the two middle values where they are two."""
        del fixed, backend
        middle = sorted({(image.size - 1) // 2, image.size // 2})
        values = np.partition(image, middle, axis=None)[middle]
        median = float(values.mean(dtype=np.float64))
        if not median > 0:
            raise InputError(f"the median of the image is {median:g}", "it must be above 0 to divide by it")
        out = np.empty(image.shape, np.float32)
        with np.errstate(over="ignore"):
            np.divide(image, median, out=out, dtype=np.float64, casting="same_kind")
        if not np.isfinite(out).all():
            raise InputError(f"a value divided by the median, {median:g}, does not fit into float32", "scale the image")
        return out, {"median": median}

    def describe(self, fixed: Found) -> str:
        """Return the step in words."""
        del fixed
        return "divided by the median of the image"

    def working_bytes(self, shape: tuple[int, ...], fixed: Found) -> int:
        """Return the memory that it takes: a copy that is put in order."""
        del fixed
        return FIXED_BYTES + 4 * int(np.prod(shape))


def _require_volume(image: Image) -> None:
    if image.ndim != 3:
        raise InputError(
            f"the image is a plane of shape {image.shape}",
            "projections need the axes (angle, detector row, detector column), and two are the fewest",
        )
