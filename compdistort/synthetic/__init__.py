"""A simulated microscope and camera with known truth, for the demo and for validation."""

from compdistort.synthetic.camera import FlatSeries, SimulatedCamera, expose, flat_series
from compdistort.synthetic.scenes import KINDS, Scene, scene
from compdistort.synthetic.strokes import Annotations, annotations

__all__ = [
    "KINDS",
    "Annotations",
    "FlatSeries",
    "Scene",
    "SimulatedCamera",
    "annotations",
    "expose",
    "flat_series",
    "scene",
]
