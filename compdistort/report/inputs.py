"""What a report is made of: plain data that the pipeline fills in from a study folder."""

import math
from dataclasses import dataclass, field
from typing import Any

from compdistort.backend.base import Float64, Int32, UInt16
from compdistort.measurands import Measurands
from compdistort.score.operators import OperatorScores
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
class OperatorView:
    """Scores of the features themselves, over a part of the image.

    Attributes
    ----------
    names : tuple of str
        The features.
    rows, columns : (int, int)
        First and one past the last row and column of the part.
    n_replicates : int
        Replicates that the features' standard deviations are taken over.
    codecs : tuple of OperatorScores
        In the study's order.
    """

    names: tuple[str, ...]
    rows: tuple[int, int]
    columns: tuple[int, int]
    n_replicates: int
    codecs: tuple[OperatorScores, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportInput:
    """Everything that one report shows; of a volume, images are one plane of it.

    Attributes
    ----------
    title : str
        Name of the study.
    raw : ndarray of shape (rows, columns), uint16
        Raw image, DN.
    labels : ndarray of shape (rows, columns), int32
        Objects of the raw image.
    probability : ndarray of shape (rows, columns), float64, or None
        Foreground probability of the raw image.
    raw_values : ndarray of shape (n_objects, n_parameters), float64
        Parameters of the raw objects.
    measurands : Measurands
        What they are.
    sigma_dn : ndarray of shape (rows, columns), float64
        Standard deviation over replicates of every pixel, DN (from the exact sums).
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
    truth : dict or None
        For simulated scenes: what is known (e.g. number of objects, pixel Dice against truth).
    """

    title: str
    raw: UInt16
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

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the whole image."""
        return self.raw.shape if self.volume is None else self.volume.shape

    @property
    def raw_bytes(self) -> int:
        """Bytes of the whole image, 2 a pixel."""
        return 2 * math.prod(self.shape)
