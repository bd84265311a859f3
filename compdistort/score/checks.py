"""Refuse samples and settings that cannot be scored, naming the value and the remedy."""

from collections.abc import Sequence

from compdistort.errors import ConfigError, InputError
from compdistort.score.results import CodecSamples, RawSamples


def check_settings(*, margin: float, level: float, alpha: float, min_matched: float) -> None:
    """Raise ConfigError for a setting out of range."""
    ranges = (
        ("margin", margin, 0.0 < margin < float("inf"), "above 0, such as 1 (the paper's), 0.458 or 0.32"),
        ("level", level, 0.5 < level < 1.0, "between 0.5 and 1, such as 0.95"),
        ("alpha", alpha, 0.0 < alpha < 0.5, "between 0 and 0.5, such as 0.05"),
        ("min_matched", min_matched, 0.0 <= min_matched <= 1.0, "from 0 to 1, such as 0.9"),
    )
    for name, value, good, remedy in ranges:
        if not good:
            raise ConfigError(f"statistics setting {name} is {value}", f"give a number {remedy}")


def check_samples(raw: RawSamples, codecs: Sequence[CodecSamples]) -> None:
    """Raise if the samples are too few (ConfigError) or do not fit together (InputError)."""
    n_replicates, n_objects = len(raw.replicate_totals), len(raw.values)
    if n_replicates < 2:
        raise ConfigError(
            f"the study has {n_replicates} replicate{'' if n_replicates == 1 else 's'}, so there is no spread",
            "ask for 100 (at least 2) in [noise] replicates",
        )
    objects, totals = (n_objects, len(raw.measurands.names)), (len(raw.measurands.totals),)
    replicates = (n_replicates, *objects)
    wanted = [
        ("values of the raw image", raw.values.shape, objects),
        ("totals of the raw image", raw.totals.shape, totals),
        ("values of the replicates", raw.replicate_values.shape, replicates),
        ("totals of the replicates", raw.replicate_totals.shape, (n_replicates, *totals)),
    ]
    for codec in codecs:
        wanted += [
            (f"values of codec {codec.codec}", codec.values.shape, objects),
            (f"totals of codec {codec.codec}", codec.totals.shape, totals),
            (f"replicate values of codec {codec.codec}", codec.paired_values.shape, replicates),
            (f"replicate totals of codec {codec.codec}", codec.paired_totals.shape, (n_replicates, *totals)),
        ]
        if codec.values_without_offset is not None and codec.totals_without_offset is not None:
            wanted += [
                (f"values of codec {codec.codec} without its offset", codec.values_without_offset.shape, objects),
                (f"totals of codec {codec.codec} without its offset", codec.totals_without_offset.shape, totals),
            ]
    for name, shape, needed in wanted:
        if shape != needed:
            raise InputError(
                f"the {name} have shape {shape} instead of {needed}", "score samples of one and the same study"
            )
