"""What every image of a study goes through between the camera and the classifier: the steps of the study file.

What a step takes from the data once (a centre of rotation, limits of a stretch) it takes from the raw image; it is
recorded with the study, so that a study that goes on takes nothing a second time.
"""

import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from compdistort.backend.base import Backend
from compdistort.config import StudyConfig
from compdistort.config_section import Section
from compdistort.errors import ConfigError, InputError
from compdistort.io.files import naming
from compdistort.measurands import Voxel
from compdistort.pipeline.step_kinds import Found, Image, StepKind


class Seen(NamedTuple):
    """What steps made of an image: on the host, and what each of them found on it."""

    image: Image
    found: tuple[Found, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """The steps of a study; false where there are none.

    Attributes
    ----------
    kinds : tuple of StepKind
        The steps, in their order.
    fixed : tuple of dict
        What each of them took from the raw image once; JSON's types.
    shapes : tuple of tuple of int
        Shape of the recorded image, then of what each step makes of it.
    dtypes : tuple of str
        Type of what each step makes of the raw image.
    found : tuple of dict
        What each found on the raw image; JSON's types.
    seconds : float
        What they took for the raw image, without what was taken from it once.
    """

    kinds: tuple[StepKind[Any], ...] = ()
    fixed: tuple[Found, ...] = ()
    shapes: tuple[tuple[int, ...], ...] = ()
    dtypes: tuple[str, ...] = ()
    found: tuple[Found, ...] = ()
    seconds: float = 0.0

    def __bool__(self) -> bool:
        return bool(self.kinds)

    @property
    def keeps_voxels(self) -> bool:
        """Whether a voxel of what is seen is a voxel of what was recorded."""
        return all(kind.keeps_voxels for kind in self.kinds)

    def voxel_um(self, config: StudyConfig, recorded: Voxel | None) -> Voxel | None:
        """Return the size of a voxel of what is seen; `recorded` is that of the recorded image.

        Raises
        ------
        ConfigError
            If the study names one, and the steps end in a plane.
        """
        if not self:
            return recorded
        if len(self.shapes[-1]) == 3:
            return recorded if self.keeps_voxels else config.input.voxel_um
        if config.input.voxel_um is not None:
            raise ConfigError("input.voxel_um: the steps end in a plane, not a volume", "remove it")
        return None

    def prepare(self, raw: Image, backend: Backend[Any], fixed: Sequence[Found] = ()) -> tuple["Steps", Image]:
        """Run the steps on the raw image and fix what they take from it.

        Parameters
        ----------
        raw : ndarray of shape ([planes,] rows, columns), uint16
            Recorded image, DN.
        backend : Backend
            What projects back.
        fixed : sequence of dict, optional
            What was fixed before (see `record`): nothing is taken from the image then.

        Returns
        -------
        Steps
            With everything fixed.
        ndarray of shape ([planes,] rows, columns), uint16 or float32
            What is seen of the raw image; the raw image itself where there are no steps.

        Raises
        ------
        ConfigError, InputError
            If a step cannot work on the image; the message names its number and id.
        """
        if not self:
            return self, raw
        image, seconds = raw, 0.0
        taken, images, found = [], [(raw.shape, "")], []
        for number, kind in enumerate(self.kinds):
            with naming(place(number, kind.section)):
                if fixed:
                    kind.require(fixed[number])
                taken.append(fixed[number] if fixed else kind.fix(image, backend))
                began = time.monotonic()
                image, entry = kind.apply(image, taken[-1], backend)
                seconds += time.monotonic() - began
            images.append((image.shape, str(image.dtype)))
            found.append(entry)
        if image.ndim == 3 and len(image) == 1:
            raise ConfigError(
                f"step {len(self.kinds)} leaves a volume of one plane", "leave more, or an image of two axes"
            )
        made = replace(
            self,
            fixed=tuple(taken),
            shapes=tuple(shape for shape, _ in images),
            dtypes=tuple(dtype for _, dtype in images[1:]),
            found=tuple(found),
            seconds=seconds,
        )
        return made, image

    def see(self, image: Image, backend: Backend[Any]) -> Seen:
        """Run the prepared steps on an image.

        Parameters
        ----------
        image : ndarray of the shape of the raw image, uint16 or float32
            A recorded image, a replicate or a decoded one, DN, on the host.
        backend : Backend
            What projects back.

        Returns
        -------
        Seen

        Raises
        ------
        InputError
            If a step cannot work on it, or makes another shape of it than of the raw image.
        """
        entries = []
        for number, kind in enumerate(self.kinds):
            with naming(place(number, kind.section)):
                image, entry = kind.apply(image, self.fixed[number], backend)
                if image.shape != self.shapes[number + 1]:
                    raise InputError(
                        f"makes an image of shape {image.shape}, and {self.shapes[number + 1]} of the raw image",
                        "the shape must be the same for every image",
                    )
            entries.append(entry)
        return Seen(image, tuple(entries))

    def describe(self) -> list[str]:
        """Return every step in one sentence, with what was fixed; of prepared steps."""
        return [kind.describe(fixed) for kind, fixed in zip(self.kinds, self.fixed, strict=True)]

    def record(self) -> list[dict[str, Any]]:
        """Return the prepared steps as JSON's types, without paths of this machine.

        Returns
        -------
        list of dict
            Of every step ``number`` (from 1), ``id``, ``words``, ``settings``, ``fixed`` (taken from the raw image
            once), ``raw`` (found on the raw image), ``shape`` and ``dtype`` of what it makes.
        """
        sections = portable_steps(kind.section for kind in self.kinds)
        rows = zip(sections, self.describe(), self.fixed, self.found, self.shapes[1:], self.dtypes, strict=True)
        return [
            {
                "number": number,
                "id": settings["id"],
                "words": words,
                "settings": settings,
                "fixed": fixed,
                "raw": found,
                "shape": list(shape),
                "dtype": dtype,
            }
            for number, (settings, words, fixed, found, shape, dtype) in enumerate(rows, start=1)
        ]

    def working_bytes(self) -> int:
        """Return the most host memory that `see` takes, beside its image and its result; of prepared steps."""
        if not self:
            return 0
        sizes = [4 * math.prod(shape) for shape in self.shapes]
        # The recorded image and the last result are counted by whoever keeps them.
        sizes[0] = sizes[-1] = 0
        return max(
            sum(sizes[number : number + 2]) + kind.working_bytes(self.shapes[number], self.fixed[number])
            for number, kind in enumerate(self.kinds)
        )


NO_STEPS = Steps()


def place(number: int, section: Any) -> str:
    """Return what errors call a step."""
    return f"step {number + 1} ({section.id})"


def of_seen(config: StudyConfig) -> StudyConfig:
    """Return the study of what is seen as if it were recorded: annotations and truth belong to it, a crop does not."""
    if not config.step:
        return config
    return config.model_copy(update={"input": config.input.model_copy(update={"crop": None, "page": None})})


def portable_steps(sections: Iterable[Section]) -> list[dict[str, Any]]:
    """Return steps of a study file as JSON's types, with names in place of paths."""
    return [
        section.model_dump(mode="json", exclude_none=True)
        | {name: value.name for name, value in section if isinstance(value, Path)}
        for section in sections
    ]


def step_files(sections: Iterable[Section]) -> dict[str, Path]:
    """Return the files that steps read, by their role."""
    return {
        f"step {number} {name}": value
        for number, section in enumerate(sections, start=1)
        for name, value in section
        if isinstance(value, Path)
    }
