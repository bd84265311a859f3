"""compdistort: how far may a micrograph be compressed before its numbers change by more than sensor noise changes them.

The public names are loaded when they are first used, so that ``import compdistort`` stays light.

Examples
--------
>>> import compdistort
>>> compdistort.get_backend("numpy").name
'numpy'
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0.dev0"

_HOMES = {
    "Classifier": "compdistort.forest",
    "FeatureSpec": "compdistort.features",
    "SegmentRule": "compdistort.backend.base",
    "SensorModel": "compdistort.sensor.model",
    "build_bank": "compdistort.features",
    "build_codec": "compdistort.codecs",
    "get_backend": "compdistort.backend",
    "load_classifier": "compdistort.forest",
    "load_config": "compdistort.study_file",
    "load_sensor": "compdistort.sensor.model",
    "match_objects": "compdistort.match",
    "noise_tables": "compdistort.replicate",
    "read_image": "compdistort.io.images",
    "run_study": "compdistort.pipeline.study",
    "score_study": "compdistort.score",
    "segment": "compdistort.segment",
    "train_classifier": "compdistort.forest",
}

__all__ = [*sorted(_HOMES), "__version__"]  # noqa: PLE0604 - the names are literal strings above


def __getattr__(name: str) -> Any:
    """Load a public name on first use."""
    if name not in _HOMES:
        raise AttributeError(f"module 'compdistort' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
