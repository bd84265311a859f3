"""A small study for the report's tests: simulated pixels, real outlines and areas, scores by plain formulas."""

import numpy as np
from scipy import ndimage, special

from compdistort.backend.base import PARAMETERS
from compdistort.match import MatchCounts
from compdistort.measurands import PLANAR
from compdistort.report.inputs import CodecImage, ReportInput
from compdistort.score.results import (
    CodecSamples,
    CodecScores,
    ConvergencePoint,
    DeltaSize,
    Estimate,
    Precision,
    QuantityScore,
    RawSamples,
    StudyScores,
)

GAIN_E_PER_DN, OFFSET_DN, READ_NOISE_E = 2.5, 100.0, 4.0
NAN = float("nan")
TOTALS = PLANAR.total_names


def scene(side, n_spheres, seed=3):
    """Return a noisy image of bright discs, uint16, and the standard deviation of its pixels."""
    draw = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    mean = np.full((side, side), 400.0)
    for _ in range(n_spheres):
        row, column = draw.uniform(8, side - 8, 2)
        radius = draw.uniform(3, 6.5)
        mean += draw.uniform(300, 900) * special.expit((radius - np.hypot(y - row, x - column)) / 0.7)
    sigma = np.sqrt((READ_NOISE_E / GAIN_E_PER_DN) ** 2 + (mean - OFFSET_DN) / GAIN_E_PER_DN)
    return np.rint(draw.normal(mean, sigma)).astype(np.uint16), sigma


def objects(image, threshold):
    """Return a label image and a table with true areas and centres; the other columns follow from the area."""
    labels, n = ndimage.label(ndimage.gaussian_filter(np.asarray(image, float), 1.0) >= threshold, np.ones((3, 3)))
    labels = labels.astype(np.int32)
    values = np.empty((n, len(PARAMETERS)))
    if n:
        area = np.bincount(labels.ravel(), minlength=n + 1)[1:]
        values[:] = np.sqrt(area)[:, None] * np.linspace(0.5, 2.0, len(PARAMETERS))
        centres = np.array(ndimage.center_of_mass(labels > 0, labels, np.arange(1, n + 1)))
        values[:, 0], values[:, 1], values[:, 2] = area, centres[:, 1] + 0.5, centres[:, 0] + 0.5
    return labels, values


def aligned(raw_labels, labels, values, n_raw):
    """Return the codec's table in the order of the raw objects, by largest overlap; NaN without overlap."""
    out = np.full((n_raw, len(PARAMETERS)), NAN)
    for index in range(n_raw):
        inside = labels[raw_labels == index + 1]
        inside = inside[inside > 0]
        if inside.size:
            out[index] = values[np.bincount(inside).argmax() - 1]
    return out


def estimate(value, half, flags=()):
    return Estimate(value=float(value), low=float(value - half), high=float(value + half), flags=flags)


def quantity(name, kind, raw, compressed, score, n_objects, spread=NAN, flags=()):
    """Return a quantity whose expected score is `score`; the decision follows from its interval."""
    half = 0.12 + 0.05 * abs(score)
    inside, outside = abs(score) + half < 1, abs(score) - half > 1
    return QuantityScore(
        name=name,
        kind=kind,
        raw=raw,
        compressed=compressed,
        uncertainty=estimate(abs(raw) / 40 + 0.1, abs(raw) / 280 + 0.02),
        paper=estimate(score * 1.1, 1.5 * half),
        paper_spread=spread,
        paper_rms=abs(score) * 1.3,
        expected=estimate(score, half),
        p_tolerable=0.0004 if inside else 0.7,
        p_intolerable=0.0004 if outside else 0.6,
        decision="tolerable" if inside else "intolerable" if outside else "undecided",
        shift=estimate(0.2, 0.2),
        n_objects=n_objects,
        flags=flags,
    )


def codec_scores(name, raw_values, values, labels, level_of_damage):
    """Return scores whose size grows with `level_of_damage`."""
    known = np.isfinite(values[:, 0])
    n, matched = len(raw_values), int(known.sum())
    draw = np.random.default_rng(len(name))
    damage = level_of_damage * draw.uniform(-1, 1, len(PARAMETERS) + len(TOTALS))
    with np.errstate(invalid="ignore"):
        columns = np.array([np.nanmean(values[:, j]) if matched else NAN for j in range(len(PARAMETERS))])
    raw_totals = (n, raw_values[:, 0].sum(), raw_values[:, 0].mean() if n else NAN)
    new_totals = (int(labels.max()), float((labels > 0).sum()), float((labels > 0).sum()) / max(1, labels.max()))
    quantities = [
        quantity(t, "total", float(a), float(b), d if n else NAN, n)
        for t, a, b, d in zip(TOTALS, raw_totals, new_totals, damage, strict=False)
    ]
    quantities += [
        quantity(
            parameter, "object mean", float(raw_values[:, j].mean()) if n else NAN, float(columns[j]),
            damage[3 + j] if n else NAN, matched, spread=0.6 + 0.2 * level_of_damage,
            flags=("axial",) if "Angle" in parameter else (),
        )
        for j, parameter in enumerate(PARAMETERS)
    ]  # fmt: skip
    delta = (raw_values[:, 0] - values[:, 0])[known]
    edges = np.arange(-60.5, 61.5)
    counts = np.histogram(delta, edges)[0]
    spread = float(delta.std()) if matched else NAN
    decisions = {q.decision for q in quantities if q.name != "mean_area"} if n else {"undecided"}
    verdict = next(word for word in ("intolerable", "undecided", "tolerable") if word in decisions)
    worst = max((q for q in quantities if q.name != "mean_area"), key=lambda q: abs(q.expected.value))
    lost = n - matched
    share = {kind: estimate(NAN, NAN) for kind in ("matched", "lost", "new", "split", "merged")}
    if n:
        share = {k: estimate(v / n, 0.01) for k, v in (("matched", matched), ("lost", lost), ("new", 1), ("split", 0))}
        share["merged"] = estimate(0.0, 0.01)
    return CodecScores(
        codec=name,
        verdict=verdict,
        reasons=() if verdict == "tolerable" else (f"{worst.name} moves by {worst.expected.value:.2f} s",),
        quantities=tuple(quantities),
        counts=MatchCounts(
            n_raw=n, n_other=int(labels.max()), matched=matched, lost=lost, new=1 if n else 0, split=0, merged=0
        ),
        rates=share,
        null_rates={k: estimate(0.01, 0.01) for k in ("matched", "lost", "new", "split", "merged")},
        delta_size=DeltaSize(
            edges=tuple(map(float, edges)),
            counts=tuple(map(int, counts)),
            mean=estimate(delta.mean() if matched else NAN, 0.4),
            spread=estimate(spread, 0.3),
        ),
        object_scores=(raw_values - values) / 3.0,
        object_low=(raw_values - values) / 3.5,
        object_high=(raw_values - values) / 2.6,
    )


def decoders(raw):
    """Return the decoded images of three codecs: nothing changed, 8 bit, blocks of 4 x 4."""
    side = raw.shape[0] // 4 * 4
    blocks = raw[:side, :side].reshape(side // 4, 4, side // 4, 4).mean(axis=(1, 3))
    coarse = raw.astype(np.float32)
    coarse[:side, :side] = np.kron(blocks, np.ones((4, 4), np.float32))
    return {
        "identity": (raw.copy(), 1.0, None, 0.0),
        "8-bit": ((raw // 16 * 16 + 8).astype(np.uint16), 2.0, None, 0.6),
        "blocks-16": (coarse, 15.7, 16.0, 6.0),
    }


def make_report(side=192, n_spheres=24, threshold=600.0, title="Simulated spheres", rename=str, damage=1.0, **changes):
    """Return a report of the three codecs.

    `rename` changes their names, `damage` scales their scores, `changes` replace fields of the input.
    """
    raw, sigma = scene(side, n_spheres)
    labels, raw_values = objects(raw, threshold)
    n = len(raw_values)
    codecs, scores = [], []
    for plain, (image, ratio, target, harm) in decoders(raw).items():
        name = rename(plain)
        codec_labels, own = objects(image, threshold)
        values = aligned(labels, codec_labels, own, n)
        codecs.append(
            CodecImage(
                codec=name,
                config={"id": plain},
                description=f"16 bit to {plain} and back",
                ratio=ratio,
                target_ratio=target,
                reached=target is None or abs(ratio - target) < 0.1,
                encoded_bytes=int(2 * raw.size / ratio),
                image=image,
                labels=codec_labels,
                values=values,
            )
        )
        scores.append(codec_scores(name, raw_values, values, codec_labels, damage * harm))
    fields = {
        "title": title,
        "raw": raw,
        "labels": labels,
        "probability": (labels > 0).astype(float),
        "raw_values": raw_values,
        "measurands": PLANAR,
        "sigma_dn": sigma,
        "sensor": sensor(),
        "classifier": {
            "features": "weka", "preset": "weka", "n_trees": 200, "oob_error": 0.013,
            "held_out": {"accuracy": 0.991, "dice": 0.962}, "label_source": "manual annotations",
        },
        "codecs": tuple(codecs),
        "scores": study_scores(tuple(scores), n),
        "delta_replicate": (1.6, 1.4, 1.9),
        "config": {
            "noise": {"law": "poisson-gaussian", "replicates": 100, "seed": 1},
            "input": {"raw": "spheres.tif"},
            "match": {"radius_px": 3.0},
        },
        "provenance": provenance(),
        "truth": {"scene": "spheres", "n_objects": n_spheres, "pixel_dice": 0.95},
    }  # fmt: skip
    return ReportInput(**{**fields, **changes})


def sensor(**changes):
    region = {
        "name": "frame", "rows": [0, 0], "columns": [0, 0], "offset_dn": OFFSET_DN, "gain_e_per_dn": GAIN_E_PER_DN,
        "gain_dn_per_e": 1 / GAIN_E_PER_DN, "gain_dn_per_e_standard_error": 0.001, "read_noise_e": READ_NOISE_E,
        "saturation_dn": None, "covariance": None,
    }  # fmt: skip
    return {
        "kind": "scalar",
        "estimated": False,
        "bits": 16,
        "regions": [region],
        "source": {"method": "typed"},
        **changes,
    }


def provenance():
    return {
        "inputs": {"raw": {"name": "spheres.tif", "sha256": "ab" * 32}},
        "study": {"compdistort": "0.1", "python": "3.12", "packages": {"numpy": "2.3"}},
        "sessions": [
            {"start": "2026-01-01T10:00:00+01:00", "seconds": 12.5, "command": ["compdistort", "run", "s.toml"]}
        ],
    }


def study_scores(codecs, n_objects, **changes):
    """Return the scores of a study of 100 replicates."""
    level = {name: estimate(value, 0.14 * value) for name, value in zip(TOTALS, (1.2, 21.0, 0.8), strict=True)}
    convergence = tuple(
        ConvergencePoint(
            n_replicates=n,
            totals={name: estimate(1.0, 1.5 / n**0.5) for name in TOTALS},
            size_median=estimate(1.0, 1.7 / n**0.5),
        )
        for n in (10, 20, 50, 100)
    )
    fields = {
        "n_replicates": 100,
        "n_objects": n_objects,
        "margin": 1.0,
        "level": 0.95,
        "codecs": codecs,
        "object_uncertainty": np.full((n_objects, len(PARAMETERS)), 1.5),
        "total_uncertainty": level,
        "shifts": {"N": estimate(-0.7, 0.2), "A": estimate(0.3, 0.2), **{p: estimate(0.1, 0.2) for p in PARAMETERS}},
        "convergence": convergence,
        "total_uncertainty_bootstrap": level,
        "precision": {
            name: Precision(half_width=0.14, kurtosis=3.0, replicates_for_10_percent=194, replicates_for_5_percent=770)
            for name in TOTALS
        },
        "feret_jumps": {"recorded": 0.31, "paired": 0.04},
        "warnings": ("N is shifted by -0.70 s between replicates and raw image",),
    }
    return StudyScores(**{**fields, **changes})


def counts_of(n):
    return MatchCounts(n_raw=n, n_other=n, matched=n, lost=0, new=0, split=0, merged=0)


def totals_of(values):
    area = values[:, 0].sum()
    return np.array([len(values), area, area / len(values) if len(values) else NAN])


def samples(raw_values, n_replicates):
    """Return replicates of the objects: every parameter with a spread of 1 % or 0.5."""
    draw = np.random.default_rng(8)
    shape = (n_replicates, *raw_values.shape)
    replicates = raw_values + draw.normal(0, 1, shape) * (0.5 + 0.01 * np.abs(raw_values))
    return RawSamples(
        values=raw_values,
        totals=totals_of(raw_values),
        replicate_values=replicates.astype(np.float32),
        replicate_totals=np.array([totals_of(one) for one in replicates]) + draw.integers(-1, 2, (n_replicates, 1)),
        replicate_counts=(counts_of(len(raw_values)),) * n_replicates,
    )


def codec_samples(raw, codec):
    """Return what a codec makes of the replicates: the difference that it makes on the raw image."""
    shift = np.nan_to_num(raw.values - codec.values)
    paired = raw.replicate_values - shift.astype(np.float32)
    totals = totals_of(raw.values - shift)
    return CodecSamples(
        codec=codec.codec,
        values=codec.values,
        totals=totals,
        counts=counts_of(len(raw.values)),
        paired_values=paired,
        paired_totals=raw.replicate_totals - np.nan_to_num(raw.totals - totals),
    )
