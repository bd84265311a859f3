"""A Python function as a step: run only where the command line allows it, and what it gives is checked."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from compdistort.backend.base import Backend
from compdistort.config import StudyConfig
from compdistort.config_codec import codec_program
from compdistort.config_steps import CallStep
from compdistort.errors import ConfigError, InputError
from compdistort.io.files import sha256_file
from compdistort.pipeline.step_kinds import Found, Image, StepKind


def refuse_code(config: StudyConfig, *, allow_code: bool) -> None:
    """Refuse a study that runs code of the user's, unless that was allowed in so many words.

    Raises
    ------
    ConfigError
        If a step is a call, or a codec runs a program, and `allow_code` is false; the message names flag and code.
    """
    for number, section in enumerate(config.step, start=1):
        if isinstance(section, CallStep) and not allow_code:
            raise ConfigError(
                f"step {number} (call): {section.function} is code that the study would run",
                "read it, then allow it with --allow-code on the command line",
            )
    for codec in config.codec:
        program = codec_program(codec.settings())
        if program and not allow_code:
            raise ConfigError(
                f"codec '{codec.name}' ({codec.id}): {program} is a program that the study would run",
                "read its command, then allow it with --allow-code on the command line",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(StepKind[CallStep]):
    """A function from image to image; use `load`.

    It is given a copy of the image, and the settings as keyword arguments. It must depend on these alone and may run in
    several threads at a time.

    Attributes
    ----------
    function : callable
        The function.
    source_sha256 : str or None
        Of the file of the module that the study file names; None of a module without one.
    """

    function: Callable[..., Any]
    source_sha256: str | None
    keeps_voxels: ClassVar[bool] = False

    @classmethod
    def load(cls, section: CallStep) -> Self:
        """Import the function.

        Raises
        ------
        ConfigError
            If it cannot be imported, or cannot be called.
        """
        name, _, path = section.function.partition(":")
        try:
            module = importlib.import_module(name)
            found: Any = module
            for part in path.split("."):
                found = getattr(found, part)
        except (Exception, SystemExit) as error:  # whatever the code of a module may raise
            raise ConfigError(
                f"function {section.function} cannot be imported ({type(error).__name__}: {error})",
                "install its module, or put its folder into PYTHONPATH",
            ) from error
        if not callable(found):
            raise ConfigError(f"{section.function} is no function", "give package.module:name of one")
        file = getattr(module, "__file__", None)
        digest = None if file is None else sha256_file(Path(file))
        return cls(section=section, function=found, source_sha256=digest)

    def __reduce__(self) -> tuple[Any, ...]:
        """Return how another process, which was allowed it by this one, imports the function."""
        return (type(self).load, (self.section,))

    def fix(self, image: Image, backend: Backend[Any]) -> Found:
        """Return the digest of the code; refuse a function that gives two results for one image."""
        del backend
        if not np.array_equal(self._made(image), self._made(image)):
            raise InputError(
                f"{self.section.function} gives another result for the same image",
                "let it depend on image and settings alone: random numbers need a fixed seed",
            )
        return {"source_sha256": self.source_sha256}

    def require(self, fixed: Found) -> None:
        """Raise InputError if the code is not what it was."""
        if fixed["source_sha256"] != self.source_sha256:
            raise InputError(
                f"the file of {self.section.function} is not the one that the study was started with",
                "put the old file back, or start a new study",
            )

    def apply(self, image: Image, fixed: Found, backend: Backend[Any]) -> tuple[Image, Found]:
        """Return what the function gives."""
        del fixed, backend
        return self._made(image), {}

    def describe(self, fixed: Found) -> str:
        """Return the step in words."""
        del fixed
        settings = ", ".join(f"{name} = {value!r}" for name, value in self.section.settings.items())
        return f"the function {self.section.function}" + (f" with {settings}" if settings else "")

    def working_bytes(self, shape: tuple[int, ...], fixed: Found) -> int:
        """Return a guess of the memory that it takes: a copy of the image, and two in float64."""
        del fixed
        return (4 + 2 * 8) * int(np.prod(shape))

    def _made(self, image: Image) -> Image:
        """Return what the function makes of a copy of the image, checked."""
        name = self.section.function
        try:
            made = self.function(image.copy(), **self.section.settings)
        except (Exception, SystemExit) as error:  # whatever code that is not ours may raise
            raise InputError(f"{name} raised {type(error).__name__}: {error}", "mend the function") from error
        return checked(made, name)


def checked(made: Any, name: str) -> Image:
    """Return what a function gave, C-contiguous, where it is an image.

    Raises
    ------
    InputError
        If it is no plain NumPy array of two or three axes, uint16 or float32, with pixels, all of them finite.
    """
    if type(made) is not np.ndarray:
        raise InputError(f"{name} gave {type(made).__name__}", "return a plain NumPy array")
    if made.dtype not in (np.dtype(np.uint16), np.dtype(np.float32)):
        raise InputError(f"{name} gave {made.dtype}", "return uint16 or float32: result.astype(np.float32)")
    if made.ndim not in (2, 3) or not made.size:
        raise InputError(f"{name} gave an array of shape {made.shape}", "return ([planes,] rows, columns), not empty")
    if not np.isfinite(made).all():
        raise InputError(f"{name} gave values that are not finite", "return finite numbers")
    return np.ascontiguousarray(made)
