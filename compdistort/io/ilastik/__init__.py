"""Projects of ilastik's pixel classification (``.ilp``): images, strokes, ticked features, and the forest of vigra."""

from compdistort.io.ilastik.axes import parse_version
from compdistort.io.ilastik.labels import dense_labels, times
from compdistort.io.ilastik.project import read_internal_image, read_project
from compdistort.io.ilastik.records import FeatureSelection, ImageReference, Lane, Project, StrokeBlock, VigraForest
from compdistort.io.ilastik.selection import axes_by_names, check_names, ilastik_names, select
from compdistort.io.ilastik.write import NewLane, write_project

__all__ = [
    "FeatureSelection",
    "ImageReference",
    "Lane",
    "NewLane",
    "Project",
    "StrokeBlock",
    "VigraForest",
    "axes_by_names",
    "check_names",
    "dense_labels",
    "ilastik_names",
    "parse_version",
    "read_internal_image",
    "read_project",
    "select",
    "times",
    "write_project",
]
