"""What must be right before anything is timed: a `GateError` takes the speed away."""

import numpy as np
from cpu_engine import codes_of, mask_bits, mask_bits_of_codes, voter_rows
from cpu_peers import correlated_stack, numpy_replicate, scipy_stack, structure
from cpu_scenes import KEY
from scipy import ndimage

from compdistort.backend import get_backend
from compdistort.backend.base import MEASURE_COLUMNS, VOLUME_COLUMNS

GATE_PIXELS = 1 << 20
ROUNDING = 1e-2
"""Largest difference of float32 features from the same sums in float64, in standard deviations of the feature."""
ALIKE = 0.97
"""Smallest correlation with SciPy's own features: its kernels of derivatives are normalised otherwise."""
SIGMAS = 6.0
"""Largest deviation of a moment of the noise, in its standard errors."""
FORECAST = 0.1
"""Largest share by which the memory of a replicate may differ from its forecast."""
REPLICATE = 3
"""The replicate that is looked at; any would do."""


class GateError(RuntimeError):
    """A result is not the one that it must be."""


def gate_chain(ours, scene, grown):
    """Compare mask, labels and table of a replicate with scikit-learn and SciPy; return what was compared."""
    scene = scene.of(_first_rows(scene.raw))
    backend, rule, bank = ours.backend, scene.rule, scene.bank(grown.features)
    numbers = range(REPLICATE, REPLICATE + 1)
    image = backend.replicate(scene.raw, scene.noise, KEY, numbers)[0]
    rows = grown.sees(backend.feature_stack(image, bank))
    mask = (grown.estimator.predict_proba(rows)[:, 1] >= rule.threshold).reshape(image.shape)
    found = backend.image_objects(image, bank, grown.flat, rule)
    _same(found.labels > 0, mask, "pixels of the mask, against scikit-learn")
    labels, count = ndimage.label(mask, structure(rule, mask.ndim))
    _same(found.labels, labels, "labels, against SciPy")
    _same_sizes(found.values, labels, count)
    table = backend.replicate_tables(scene.raw, scene.noise, KEY, bank, grown.flat, rule, numbers)[0]
    _same(table, found.values, "entries of the replicate's table, against the single steps")
    return {"pixels": int(mask.size), "objects": int(count), "foreground": float(mask.mean()), "differences": 0}


def gate_forecast(growth):
    """Compare the peaks of memory, where they are known, with their forecasts."""
    for row in growth:
        peak, forecast = row["peak_bytes"], row["forecast_bytes"]
        if peak and abs(forecast - peak) > FORECAST * peak:
            raise GateError(f"{row['side']}^3, {row['forest']}: a peak of {peak} bytes, forecast were {forecast}")


def _first_rows(image):
    """Return a 2D image's first rows, enough for the gate; a volume whole."""
    if image.ndim == 3:
        return image
    return np.ascontiguousarray(image[: max(1, min(len(image), -(-GATE_PIXELS // image.shape[1])))])


def _same_sizes(values, labels, count):
    columns = VOLUME_COLUMNS if labels.ndim == 3 else MEASURE_COLUMNS
    size = values[:, columns.index("Volume" if labels.ndim == 3 else "Area")]
    _same(size, np.bincount(labels.ravel(), minlength=count + 1)[1:], "object sizes, against SciPy")
    boxes = ndimage.find_objects(labels)
    for axis, (start, length) in enumerate((("BX", "Width"), ("BY", "Height"), ("BZ", "Depth"))[: labels.ndim]):
        spans = [box[labels.ndim - 1 - axis] for box in boxes]
        _same(values[:, columns.index(start)], np.array([s.start for s in spans], float), f"{start}, against SciPy")
        lengths = np.array([s.stop - s.start for s in spans], float)
        _same(values[:, columns.index(length)], lengths, f"{length}, against SciPy")


def gate_features(ours, scene, features=None):
    """Compare a feature stack with its plain twin, with the same sums in float64, and with SciPy's own functions."""
    name = features or scene.recipe.features
    # Tall enough for every sigma; the twin is slow.
    part = scene.of(np.ascontiguousarray(scene.raw[tuple(slice(min(n, 48)) for n in scene.raw.shape)]))
    bank = part.bank(name)
    _same(
        ours.backend.feature_stack(part.raw, bank),
        get_backend("numpy").feature_stack(part.raw, bank),
        f"features {name}, against the plain twin",
    )
    if name not in ("ilastik", "weka"):
        return {"pixels": int(part.raw.size), "compared_with": "the plain twin"}
    found = ours.backend.feature_stack(scene.raw, scene.bank(name))
    others = scipy_stack(scene.raw, name, scene.sigmas)
    about = {"pixels": int(scene.raw.size), "compared_with": "the plain twin; SciPy"}
    about["least_correlation_with_scipy"] = _alike(found, others, scene.bank(name).names)
    if name == "ilastik":
        about["largest_rounding_in_sd"] = _rounding(found, correlated_stack(scene.raw, scene.bank(name)))
    return about


def _rounding(found, exact):
    worst = max(float(np.abs(f - e).max() / e.std()) for f, e in zip(found, exact, strict=True))
    if worst > ROUNDING:
        raise GateError(f"features differ from the same sums in float64 by {worst:.2g} standard deviations")
    return worst


def _alike(found, others, names):
    """Return the smallest correlation of the columns that SciPy has too.

    Orientations are angles, and SciPy's kernel of a Laplacian, cut at two standard deviations, does not sum to zero.
    """
    smallest = 1.0
    for name, a, b in zip(names, found, others, strict=True):
        if "rientation" in name or "LoG" in name:
            continue
        correlation = float(np.corrcoef(a.ravel(), b.ravel())[0, 1])
        if not correlation >= ALIKE:
            raise GateError(f"feature {name} correlates with SciPy's by {correlation:.4f} only")
        smallest = min(smallest, correlation)
    return smallest


def gate_forest(grown, rule, planes):
    """Compare the forest's mask of given features with scikit-learn's, from features and from codes."""
    n = planes.shape[1]
    mask = grown.estimator.predict_proba(grown.sees(planes))[:, rule.foreground] >= rule.threshold
    voter, used = voter_rows(grown.flat, rule, planes)
    for bits, what in (
        (mask_bits(voter, used, rule), "features"),
        (mask_bits_of_codes(voter, codes_of(voter, used), rule), "codes"),
    ):
        found = np.unpackbits(bits.view(np.uint8), bitorder="little")[:n].astype(np.bool_)
        _same(found, mask, f"pixels of the mask from {what}, against scikit-learn")
    return {"pixels": int(n), "foreground": float(mask.mean()), "differences": 0}


def gate_noise(ours, scene, replicates=4):
    """Compare mean and variance of the noise with those of NumPy's generators on the same pixels."""
    drawn = ours.backend.replicate(scene.raw, scene.noise, KEY, range(replicates)).astype(np.float64)
    draw = np.random.default_rng(5)
    peer = np.stack([numpy_replicate(scene.raw, draw) for _ in range(replicates)]).astype(np.float64)
    n = drawn.size
    a, b = drawn - scene.raw, peer - scene.raw
    shift = abs(a.mean() - b.mean()) / np.sqrt((a.var() + b.var()) / n)
    fourth = ((a - a.mean()) ** 4).mean() + ((b - b.mean()) ** 4).mean()
    spread = abs(a.var() - b.var()) / np.sqrt(max(fourth - a.var() ** 2 - b.var() ** 2, 1e-30) / n)
    if shift > SIGMAS or spread > SIGMAS:
        raise GateError(f"noise differs from NumPy's: mean by {shift:.1f}, variance by {spread:.1f} standard errors")
    return {"pixels": n, "mean_in_standard_errors": float(shift), "variance_in_standard_errors": float(spread)}


def gate_table(values, table):
    """Compare areas, boxes and centres of an object table with scikit-image's `regionprops_table`."""
    column = {name: values[:, k] for k, name in enumerate(MEASURE_COLUMNS)}
    for name, other in (("Area", "area"), ("BX", "bbox-1"), ("BY", "bbox-0")):
        _same(column[name], table[other].astype(float), f"{name}, against scikit-image")
    for name, other in (("X", "centroid-1"), ("Y", "centroid-0")):
        # ImageJ counts from the corner of a pixel, scikit-image from its centre.
        if not np.allclose(column[name] - 0.5, table[other], rtol=0, atol=1e-9):
            raise GateError(f"{name} is not scikit-image's")
    return {"objects": len(values)}


def _same(found, wanted, what):
    if found.shape != wanted.shape:
        raise GateError(f"{what}: shape {found.shape} instead of {wanted.shape}")
    differ = int(np.count_nonzero(found != wanted))
    if differ:
        raise GateError(f"{differ} of {wanted.size} {what}, differ")
