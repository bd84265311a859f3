"""How a classifier is trained, and on what: images with annotations, or with masks that annotations are drawn of."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.base import UInt8
from compdistort.errors import ConfigError
from compdistort.features import FeatureSpec, parse_spec
from compdistort.forest import default_spec
from compdistort.forest.from_masks import DEFAULT_SAMPLES, annotations_from_mask
from compdistort.forest.grow import Recipe
from compdistort.io.annotations import read_annotations
from compdistort.io.files import naming
from compdistort.io.images import read_image


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainOptions:
    """How a classifier is trained.

    Attributes
    ----------
    preset : str
        Forest preset.
    set_name : str or None
        Feature set; None takes that of the preset.
    sigmas : tuple of float
        Scales; () takes the set's own.
    planar : tuple of float
        Those of the scales that are computed plane by plane in a volume; () for none.
    pairs : tuple of str
        Columns such as ``HE1:3.5``, instead of the set's own; () for none.
    foreground : int or None
        Annotation value of the objects; None takes the highest.
    seed : int
        Seed of the forest, 0 to 2^32 - 1.
    balanced : bool or None
        Every class weighs the same, however many pixels were drawn of it; None: unless drawn by natural prior.
    bins : str
        ``none``, ``uint16`` or ``uint8``: features rounded to codes before training.
    samples, prior : int, str
        How many pixels of a mask are annotated, and which; see `annotations_from_mask`.
    tune : bool
        Choose threshold and smallest size too; see `compdistort.pipeline.tuning`.
    radius_px : float
        Largest distance of the centres of a found and a true object there.
    """

    preset: str = "weka"
    set_name: str | None = None
    sigmas: tuple[float, ...] = ()
    planar: tuple[float, ...] = ()
    pairs: tuple[str, ...] = ()
    foreground: int | None = None
    seed: int = 0
    balanced: bool | None = None
    bins: str = "none"
    samples: int = DEFAULT_SAMPLES
    prior: str = "natural"
    tune: bool = False
    radius_px: float = 3.0

    def recipe(self, *, drawn: bool) -> Recipe:
        """Return how a forest is grown; `drawn` says whether annotations are drawn of masks."""
        balanced = self.balanced if self.balanced is not None else not drawn or self.prior == "balanced"
        return Recipe(preset=self.preset, seed=self.seed, balanced=balanced)

    def spec(self) -> FeatureSpec:
        """Return the features."""
        return parse_spec(self.set_name or default_spec(self.preset).set, self.sigmas, self.pairs, self.planar)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingFiles:
    """The files, one of each kind an image.

    Attributes
    ----------
    raws : sequence of Path
        Raw images, 16 bit.
    labels, masks : sequence of Path
        Sparse annotations, or masks of every object; one of the two is empty.
    held_out : sequence of Path
        Annotations for judging only; may be empty.
    """

    raws: Sequence[Path]
    labels: Sequence[Path] = ()
    masks: Sequence[Path] = ()
    held_out: Sequence[Path] = ()

    def __post_init__(self) -> None:
        if bool(self.labels) == bool(self.masks):
            raise ConfigError(
                "annotations and masks are given together" if self.masks else "neither annotations nor masks are given",
                "give --labels or --masks",
            )
        for files, what in ((self.labels, "label files"), (self.masks, "masks"), (self.held_out, "held-out files")):
            if files and len(files) != len(self.raws):
                raise ConfigError(
                    f"{len(files)} {what} for {len(self.raws)} images", "give one for each image, in order"
                )

    @property
    def all(self) -> tuple[Path, ...]:
        """Every file."""
        return (*self.raws, *self.labels, *self.masks, *self.held_out)

    @property
    def taught(self) -> str:
        """Names of the files that say what is an object."""
        return ", ".join(map(str, self.labels or self.masks))


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingInputs:
    """What those files hold.

    Attributes
    ----------
    images : list of ndarray, each of shape ([planes,] rows, columns), uint16
        Raw images, DN.
    annotations : list of ndarray of the shapes of the images, uint8
        0 = not annotated.
    masks : list of ndarray of the shapes of the images, bool
        Empty where annotations were given.
    held_out : list of ndarray of the shapes of the images, uint8
        Empty where none were given.
    """

    images: list[NDArray[Any]]
    annotations: list[UInt8]
    masks: list[NDArray[np.bool_]]
    held_out: list[UInt8]


def read_training(files: TrainingFiles, options: TrainOptions) -> TrainingInputs:
    """Read images and what is known of them.

    Parameters
    ----------
    files : TrainingFiles
        Which.
    options : TrainOptions
        How annotations are drawn of masks.

    Returns
    -------
    TrainingInputs

    Raises
    ------
    ImageFormatError, AnnotationError
        If a file cannot be used.
    ConfigError
        If the prior or the number of pixels cannot be.
    """
    images = [read_image(path, kind="raw") for path in files.raws]
    shapes = [image.shape for image in images]
    masks = [read_image(path, kind="mask") for path in files.masks]
    drawn = [read_annotations(path, shape) for path, shape in zip(files.labels, shapes, strict=not masks)]
    for k, (path, mask) in enumerate(zip(files.masks, masks, strict=True)):
        with naming(path):
            drawn.append(
                annotations_from_mask(
                    mask, shapes[k], options.seed, samples=options.samples, prior=options.prior, image=k
                )
            )
    judged = [read_annotations(path, shape) for path, shape in zip(files.held_out, shapes, strict=bool(files.held_out))]
    return TrainingInputs(images=images, annotations=drawn, masks=masks, held_out=judged)
