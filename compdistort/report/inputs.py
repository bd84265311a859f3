"""What a report is made of: plain data that the pipeline fills in from a study folder."""

import math
from dataclasses import dataclass, field
from typing import Any

from compdistort.backend.base import Float64, Int32, UInt16
from compdistort.measurands import Measurands
from compdistort.score.operators import OperatorScores
from compdistort.score.pixel_results import PixelStatistics
from compdistort.score.results import StudyScores


@dataclass(frozen=True, slots=True, kw_only=True)
class CodecImage:
    """One codec of the study: how it was driven and what it did to the raw image.

    Attributes
    ----------
    codec : str
        Id in the study, e.g. ``jpeg-10``.
    config : dict
        The codec as data (its JSON form).
    description : str
        The chain in words: depth link, coder, inverse link.
    ratio : float
        Compression ratio reached, against 2 bytes a pixel.
    target_ratio : float or None
        Ratio asked for; None where the codec has none.
    reached : bool
        Whether the target was reached (True where there is none).
    encoded_bytes : int
        Size of what would be stored.
    image : ndarray of shape (rows, columns), uint16 or float32
        The decoded image on the raw scale.
    labels : ndarray of shape (rows, columns), int32
        Its objects.
    values : ndarray of shape (n_raw_objects, n_parameters), float64
        Parameters aligned to the raw objects; NaN where unmatched.
    projected_labels : ndarray of shape (rows, columns), int32, or None
        Of a volume, the maximum of its label volume.
    recorded : ndarray of shape (rows, columns), uint16 or float32, or None
        Where images go through steps, the decoded frame of `RecordedView`; `image` is then what the steps make.
    pixels : PixelStatistics or None
        What it did to all pixels of what was recorded; None where that was not recorded.
    """

    codec: str
    config: dict[str, Any]
    description: str
    ratio: float
    target_ratio: float | None
    reached: bool
    encoded_bytes: int
    image: Any
    labels: Int32
    values: Float64
    projected_labels: Int32 | None = None
    recorded: Any | None = None
    pixels: PixelStatistics | None = None

    @property
    def frame(self) -> Any:
        """The decoded pixels of what was recorded, as they are compared with the noise."""
        return self.image if self.recorded is None else self.recorded


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeView:
    """What a report tells of a volume beside the plane that it shows.

    Attributes
    ----------
    shape : tuple of three int
        Planes, rows, columns.
    plane : int
        The plane that stands for the volume wherever pixels are shown, from 0.
    voxel_um : (plane, row, column), or None
        Size of a voxel in micrometres, where it is known.
    projection : ndarray of shape (rows, columns), uint16
        Maximum of the raw volume over its planes, DN.
    labels : ndarray of shape (rows, columns), int32
        Maximum of its label volume.
    """

    shape: tuple[int, ...]
    plane: int
    voxel_um: tuple[float, float, float] | None
    projection: UInt16
    labels: Int32


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step between what was recorded and what the classifier sees.

    Attributes
    ----------
    name : str
        Its id in the study file.
    words : str
        What it does, without a full stop.
    found : dict
        What it found on the raw image, as data.
    shape : tuple of int
        Shape of what it makes.
    """

    name: str
    words: str
    found: dict[str, Any]
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedView:
    """What was recorded, where images go through steps before they are seen: noise and codecs are of it.

    Attributes
    ----------
    shape : tuple of int
        Shape of what was recorded, ([frames,] rows, columns).
    frame : int or None
        The frame that stands for it wherever its pixels are shown, from 0; None of a single one.
    raw : ndarray of shape (rows, columns), uint16
        That frame, DN.
    steps : tuple of Step
        In their order.
    """

    shape: tuple[int, ...]
    frame: int | None
    raw: UInt16
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorView:
    """Scores of the features themselves, over a part of the image.

    Attributes
    ----------
    names : tuple of str
        The features.
    plane : int or None
        Plane, or recorded frame, that the part lies in; None of a plane itself.
    rows, columns : (int, int)
        First and one past the last row and column of the part.
    n_replicates : int
        Replicates that the features' standard deviations are taken over.
    codecs : tuple of OperatorScores
        In the study's order.
    """

    names: tuple[str, ...]
    plane: int | None
    rows: tuple[int, int]
    columns: tuple[int, int]
    n_replicates: int
    codecs: tuple[OperatorScores, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportInput:
    """Everything that one report shows; of a volume, images are one plane of it.

    Where images go through steps, "raw image" is what the steps make of the recorded one.

    Attributes
    ----------
    title : str
        Name of the study.
    raw : ndarray of shape (rows, columns), uint16 or float32
        Raw image: DN, or the unit that the last step gives.
    labels : ndarray of shape (rows, columns), int32
        Objects of the raw image.
    probability : ndarray of shape (rows, columns), float64, or None
        Foreground probability of the raw image.
    raw_values : ndarray of shape (n_objects, n_parameters), float64
        Parameters of the raw objects.
    measurands : Measurands
        What they are.
    sigma_dn : ndarray of shape (rows, columns), float64
        Standard deviation over replicates of every pixel of `frame`, DN (from the exact sums).
    sensor : dict
        The sensor model as data; ``estimated`` is True where it comes from a single image.
    classifier : dict
        Feature set, forest preset, number of trees, out-of-bag error, held-out accuracy and Dice, label source.
    codecs : tuple of CodecImage
        In the study's order.
    scores : StudyScores
        All scores.
    delta_replicate : tuple of float
        sigma of the size difference replicate - raw over matched objects: (mean, low, high), own unit.
    config : dict
        The resolved study file.
    provenance : dict
        Versions, hashes of the inputs, command lines, sessions.
    warnings : tuple of str
        Messages of calibration, training and codecs.
    volume : VolumeView or None
        Where the image is a volume.
    operators : OperatorView or None
        Where the study asks for scores of the features.
    operators_recorded : OperatorView or None
        The same before the steps.
    recorded : RecordedView or None
        Where images go through steps.
    truth : dict or None
        For simulated scenes: what is known (e.g. number of objects, pixel Dice against truth).
    """

    title: str
    raw: Any
    labels: Int32
    probability: Float64 | None
    raw_values: Float64
    measurands: Measurands
    sigma_dn: Float64
    sensor: dict[str, Any]
    classifier: dict[str, Any]
    codecs: tuple[CodecImage, ...]
    scores: StudyScores
    delta_replicate: tuple[float, float, float]
    config: dict[str, Any]
    provenance: dict[str, Any]
    warnings: tuple[str, ...] = field(default=())
    truth: dict[str, Any] | None = None
    volume: VolumeView | None = None
    operators: OperatorView | None = None
    operators_recorded: OperatorView | None = None
    recorded: RecordedView | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the whole image that the classifier sees."""
        shape: tuple[int, ...] = self.raw.shape if self.volume is None else self.volume.shape
        return shape

    @property
    def recorded_shape(self) -> tuple[int, ...]:
        """Shape of the whole image that was recorded."""
        return self.shape if self.recorded is None else self.recorded.shape

    @property
    def frame(self) -> Any:
        """The pixels that noise and codecs are shown on: the recorded frame, or the raw image."""
        return self.raw if self.recorded is None else self.recorded.raw

    @property
    def raw_bytes(self) -> int:
        """Bytes of the whole image that was recorded, 2 a pixel."""
        return 2 * math.prod(self.recorded_shape)
