"""``report.json``: what the page says, for programs. The same for any number of threads, restarts or machine paths.

Numbers that are not defined are null. Values of single objects are in ``tables/objects.csv`` and
``tables/object_scores.csv``.
"""

import json
import math
import re
from dataclasses import asdict
from pathlib import PurePath
from typing import Any

import numpy as np

from compdistort.report.geometry import Geometry
from compdistort.report.inputs import CodecImage, ReportInput
from compdistort.report.methods import CITATION, DOI, methods_paragraph
from compdistort.report.operators import operators_dict
from compdistort.report.pictures import Residual
from compdistort.report.steps import steps_dict
from compdistort.report.words import headline, problems, size_words
from compdistort.score.serialise import scores_to_dict

FORMAT = "compdistort-report"
VERSION = 1
_OF_THE_RUN = ("sessions", "compute", "output")
_ABSOLUTE = re.compile(r"(?<![\w/.:-])(?:/(?:[^\s/:;,'\"]+/)+|[A-Za-z]:\\(?:[^\\:;,'\"]+\\)*)([^\s/\\:;,'\"]+)")


def report_dict(report: ReportInput, residuals: dict[str, Residual], shape: Geometry) -> dict[str, Any]:
    """Return the report as JSON-safe data.

    Parameters
    ----------
    report : ReportInput
        The study.
    residuals : dict of str to Residual
        Pixel residuals by codec.
    shape : Geometry
        Shape of the scene.
    """
    scores, unit = scores_to_dict(report.scores, objects=False), size_words(report.measurands)[1]
    scores["codecs"] = [
        {
            **one,
            "compression": _compression(image),
            "residual": _residual(residuals[image.codec]),
            "pixels": None if image.pixels is None else image.pixels.to_dict(),
        }
        for image, one in zip(report.codecs, scores["codecs"], strict=True)
    ]
    data = {
        "format": FORMAT,
        "version": VERSION,
        "title": report.title,
        "headline": headline(report),
        "problems": problems(report),
        "verdicts": {codec.codec: codec.verdict for codec in report.scores.codecs},
        "image": _image(report),
        **scores,
        f"delta_replicate{unit}": dict(zip(("value", "low", "high"), report.delta_replicate, strict=True)),
        "scene": asdict(shape),
        "sensor": report.sensor,
        "classifier": report.classifier,
        "truth": report.truth,
        "config": report.config,
        "provenance": report.provenance,
        "methods": methods_paragraph(report),
        "citation": f"{CITATION} doi:{DOI}",
    }
    if report.operators is not None:
        data["operators"] = operators_dict(report.operators)
    if report.operators_recorded is not None:
        data["operators_recorded"] = operators_dict(report.operators_recorded)
    if report.recorded is not None:
        data["recorded"] = steps_dict(report.recorded)
    plain: dict[str, Any] = _plain(data)
    return plain


def report_json(data: dict[str, Any]) -> str:
    """Return the text of ``report.json``."""
    return json.dumps(data, indent=1, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n"


def _image(report: ReportInput) -> dict[str, Any]:
    *planes, rows, columns = report.shape
    image: dict[str, Any] = {"rows": rows, "columns": columns, "raw_bytes": report.raw_bytes}
    if report.volume is not None:
        image |= {"planes": planes[0], "plane_shown": report.volume.plane, "voxel_um": report.volume.voxel_um}
    return image


def _compression(codec: CodecImage) -> dict[str, Any]:
    names = ("config", "description", "ratio", "target_ratio", "reached", "encoded_bytes")
    return {name: getattr(codec, name) for name in names}


def _residual(one: Residual) -> dict[str, Any]:
    names = ("mean", "spread", "rms", "beyond_1", "beyond_3", "unscored")
    return {name: getattr(one, name) for name in names}


def _plain(value: Any) -> Any:
    """Return JSON-safe data without what belongs to one run or to one machine."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items() if k not in _OF_THE_RUN}
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return _plain_leaf(value)


def _plain_leaf(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, PurePath):
        return value.name
    return _ABSOLUTE.sub(r"\1", value) if isinstance(value, str) else value
