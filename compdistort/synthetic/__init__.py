"""Simulated microscopes and cameras with known truth, for the demo and for validation."""

from compdistort.synthetic.brush import PlaneAnnotations, plane_annotations
from compdistort.synthetic.camera import FlatSeries, SimulatedCamera, expose, flat_series
from compdistort.synthetic.frames import expose_frames
from compdistort.synthetic.lightsheet import LightSheet, LightSheetScene, light_sheet
from compdistort.synthetic.nuclei import NucleiLaw
from compdistort.synthetic.phantom import PlaqueLaw
from compdistort.synthetic.scenes import KINDS, Scene, scene
from compdistort.synthetic.strokes import Annotations, annotations
from compdistort.synthetic.tomography import OptScan, TomographyScene, opt_phantom

__all__ = [
    "KINDS",
    "Annotations",
    "FlatSeries",
    "LightSheet",
    "LightSheetScene",
    "NucleiLaw",
    "OptScan",
    "PlaneAnnotations",
    "PlaqueLaw",
    "Scene",
    "SimulatedCamera",
    "TomographyScene",
    "annotations",
    "expose",
    "expose_frames",
    "flat_series",
    "light_sheet",
    "opt_phantom",
    "plane_annotations",
    "scene",
]
