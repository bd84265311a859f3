"""The pixel classifier: trained with scikit-learn on sparse annotations, run from plain arrays, saved as such."""

from compdistort.forest.bin_effect import BinsReport, MaskEffect, describe_bins
from compdistort.forest.classifier import Classifier, from_sklearn
from compdistort.forest.flatten import flatten
from compdistort.forest.model_file import load_classifier, save_classifier
from compdistort.forest.presets import PRESETS, Preset, default_spec
from compdistort.forest.report import HeldOut, TrainingReport
from compdistort.forest.train import train_classifier
from compdistort.forest.tuned import Decision, decide

__all__ = [
    "PRESETS",
    "BinsReport",
    "Classifier",
    "Decision",
    "HeldOut",
    "MaskEffect",
    "Preset",
    "TrainingReport",
    "decide",
    "default_spec",
    "describe_bins",
    "flatten",
    "from_sklearn",
    "load_classifier",
    "save_classifier",
    "train_classifier",
]
