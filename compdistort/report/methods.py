"""The texts that a reader may take along: the methods paragraph and the citation."""

from typing import Any

import compdistort
from compdistort.features.half_grid import COARSE_PX
from compdistort.forest.tuned import decide
from compdistort.measurands.further import ORGAN_LEVEL
from compdistort.report.formatting import listing, number, plain, plural, ratio
from compdistort.report.inputs import ReportInput
from compdistort.report.steps import methods_words
from compdistort.report.words import from_threshold, raw_alone, value_words

CITATION = (
    "Pomarico, E. et al. Statistical distortion of supervised learning predictions in optical microscopy induced by "
    "image compression. Scientific Reports 12, 3464 (2022)."
)
DOI = "10.1038/s41598-022-07445-4"

CONNECTIVITY = {2: 8, 3: 6}
"""That of a study that asks for none, by the number of axes."""

_LAWS = {"poisson-gaussian": "a Poisson-Gaussian law", "gaussian": "a Gaussian law"}


def _setting(config: dict[str, Any], path: str, default: Any) -> Any:
    """Return a setting of the resolved study file, or of a classifier's report, by its dotted name."""
    value: Any = config
    for part in path.split("."):
        if not isinstance(value, dict) or value.get(part) is None:
            return default
        value = value[part]
    return value


def methods_paragraph(report: ReportInput) -> str:
    """Return the methods of this study in words that can be pasted into a paper."""
    return " ".join(
        [
            _replicates(report),
            *([] if report.recorded is None else [methods_words(report.recorded)]),
            _chain(report),
            _codecs(report),
            _scores(report),
            f"The method follows Pomarico et al. (2022), doi:{DOI}.",
        ]
    )


def _replicates(report: ReportInput) -> str:
    sensor = report.sensor
    source = "with noise estimated from the raw image itself" if sensor.get("estimated") else "of the sensor model"
    regions = sensor.get("regions", [])
    numbers = ""
    if len(regions) == 1 and sensor.get("kind") != "pixel":
        one = regions[0]
        numbers = (
            f" (conversion gain {number(1 / one['gain_e_per_dn'], 4)} DN/e-, offset {number(one['offset_dn'], 4)} DN, "
            f"read noise {number(one['read_noise_e'])} e-)"
        )
    law = _LAWS.get(_setting(report.config, "noise.law", "poisson-gaussian"), "the sensor's noise law")
    shape = report.recorded_shape
    element = "voxel" if len(shape) == 3 and report.recorded is None else "pixel"
    image = "raw image" if report.recorded is None else "recorded image"
    return (
        f"Raw-equivalent replicates ({report.scores.n_replicates}) of the {' x '.join(map(str, shape))} {element} "
        f"{image} were "
        f"drawn from {law} {source}{numbers}; random numbers were Philox4x32-10, seed "
        f"{_setting(report.config, 'noise.seed', 'as recorded')}, computed with compdistort {compdistort.__version__}."
    )


def _chain(report: ReportInput) -> str:
    kind = _setting(report.config, "segmenter.preset", None) or report.classifier.get("preset")
    preset = f" (preset {value_words(kind)})" if kind else ""
    truth = " from a grey-level threshold (no ground truth)" if from_threshold(report.classifier) else ""
    bins = report.classifier.get("bins")
    rounded = f", its features rounded to {bins['kind']} codes" if bins else ""
    approximated = (
        f" on Gaussian filters, of which those of {plain(COARSE_PX)} px and more were approximated on a grid of half "
        "the size (feature set fast),"
        if _setting(report.classifier, "features.set", None) == "fast"
        else ""
    )
    decided = decide(
        report.classifier,
        _setting(report.config, "segmenter.threshold", None),
        _setting(report.config, "measure.min_size", None),
    )
    return (
        f"Raw image, replicates and compressed versions went through the same pixel classifier, a random forest"
        f"{preset}{approximated} trained on sparse annotations{truth}{rounded}, a probability threshold of "
        f"{plain(decided.threshold)}, labelling with "
        f"{_setting(report.config, 'measure.connectivity', CONNECTIVITY[report.measurands.ndim])}-connectivity, and "
        f"the measurement of {_parameters(report)}. Objects were paired {_matched(report)}.{_further(report)}"
    )


def _further(report: ReportInput) -> str:
    """Return what else was measured, and how an organ was told."""
    further = report.measurands.further
    words = ""
    if further.thresholds:
        levels = "thresholds" if len(further.thresholds) > 1 else "threshold"
        words += f" Totals were taken at the {levels} {listing([plain(one) for one in further.thresholds])} too."
    if further.organ_excludes is not None:
        element = "voxel" if report.measurands.ndim == 3 else "pixel"
        words += (
            f" The organ was every {element} whose probability of class {further.organ_excludes} stayed below "
            f"{plain(ORGAN_LEVEL)}, and the load the size of all objects over its size."
        )
    return words


def _matched(report: ReportInput) -> str:
    how = "one to one by" if _setting(report.config, "match.one_to_one", True) else "with the nearest one by"
    radius = _setting(report.config, "match.radius_px", 3.0)
    voxel = None if report.volume is None else report.volume.voxel_um
    within = f"{plain(radius)} px" if voxel is None else f"{plain(radius * voxel[2])} µm"
    return f"{how} their centres within {within}"


def _parameters(report: ReportInput) -> str:
    n = len(report.measurands.parameters)
    if report.measurands.ndim == 2:
        return f"{n} parameters an object as ImageJ defines them"
    return f"{n} parameters an object, its surface that of marching cubes at 0.5 of its mask"


def _totals(report: ReportInput) -> str:
    return listing([f"the {total.meaning}" for total in report.measurands.totals if total.decides])


def _codecs(report: ReportInput) -> str:
    if not report.codecs:
        return "No codec was applied."
    named = "; ".join(f"{c.codec}: {c.description}, {ratio(c.ratio)}" for c in report.codecs)
    return f"Codecs (ratio against 2 bytes a pixel): {named}."


def _scores(report: ReportInput) -> str:
    scores = report.scores
    matched = plain(100 * _setting(report.config, "statistics.min_matched", 0.9))
    return (
        f"The uncertainty s of a quantity is its standard deviation over the replicates (Bonett interval). A codec's "
        f"expected standard score is the mean paired difference between replicate and compressed replicate over s "
        f"(jackknife interval, {plain(100 * scores.level)} % level). A codec is called tolerable if the expected "
        f"scores of {_totals(report)} and all {len(report.measurands.parameters)} object means "
        f"({plural(scores.n_objects, 'object')}) pass two one-sided tests against a margin of {plain(scores.margin)}, "
        f"intolerable if any lies beyond the margin after Holm's correction, and undecided otherwise; where less "
        f"than {matched} % of the objects are matched the object means decide nothing.{_raw_alone(report)}"
    )


def _raw_alone(report: ReportInput) -> str:
    """Return what the verdict on decoded files rests on."""
    names = [codec.codec for codec in report.scores.codecs if raw_alone(codec)]
    if not names:
        return ""
    return (
        f" No replicate could go through {listing(names)}: there the difference of raw and compressed image over s "
        "took the place of the expected score, and had to pass the chi-square bound of s too."
    )
