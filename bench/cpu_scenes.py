"""What the CPU engine is measured on: three scenes from seeds, and forests grown on a few annotated pixels of them."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy import ndimage

from compdistort.backend.base import FlatForest, SegmentRule
from compdistort.backend.plain.codes import bin_codes, forest_on_bins
from compdistort.features import FeatureSpec, build_bank
from compdistort.forest import flatten
from compdistort.forest.bins import fit_bins
from compdistort.replicate import noise_tables
from compdistort.rng import Stream, derive_key
from compdistort.sensor.model import SensorModel

SENSOR = SensorModel.scalar(offset_dn=100.0, gain_e_per_dn=0.46, read_noise_e=1.6)
KEY = derive_key(1, Stream.NOISE)
SAMPLED_PIXELS = 1 << 16
"""Pixels of a scene from which the ranges of bins are chosen."""
VISITED_PIXELS = 1 << 14
"""Pixels on which node visits are counted; every odd step in raster order meets all columns."""


@dataclass(frozen=True)
class Recipe:
    """How a scene is made and its forest is grown."""

    name: str
    ndim: int
    contrast: float
    wrong: float
    """Share of wrong labels among those near a border."""
    features: str
    forest: dict
    annotated: int
    seed: int = 0


HARD = Recipe("hard 3D", 3, 1.0, 0.06, "ilastik", {"n_estimators": 100}, 3000)
CLEAR = Recipe("clear 3D", 3, 3.0, 0.0, "ilastik", {"n_estimators": 100}, 3000)
PLANE = Recipe("2D", 2, 1.0, 0.04, "ilastik", {"n_estimators": 200, "max_features": 2}, 3000)
WEKA = Recipe("2D, Weka", 2, 1.0, 0.04, "weka", {"n_estimators": 200, "max_features": 2, "criterion": "entropy"}, 3000)


@dataclass
class Grown:
    """A forest twice: scikit-learn's own, and flat."""

    estimator: object
    flat: FlatForest
    features: str
    kind: str

    def sees(self, planes):
        """Return what scikit-learn's forest is shown: float32 rows of the features, or of their codes."""
        if self.flat.bins is None:
            return np.ascontiguousarray(planes.reshape(len(planes), -1).T)
        codes = bin_codes(np.ascontiguousarray(planes.reshape(len(planes), -1)), self.flat.bins)
        return np.ascontiguousarray(codes.T, dtype=np.float32)

    def size(self, planes):
        """Return what decides about speed: inner nodes, distinct thresholds, leaves, mean visits of a pixel."""
        return forest_size(self.estimator, self.flat, self.sees(planes))


@dataclass
class Scene:
    """A raw image, its noise law, and annotated pixels.

    Attributes
    ----------
    recipe : Recipe
        How it was made.
    raw : ndarray of shape ([planes,] rows, columns), uint16
        What the camera gave, DN.
    places, labels : ndarray of shape (n_annotated,)
        Flat index and class of the annotated pixels; class 1 is wanted.
    """

    recipe: Recipe
    raw: np.ndarray
    places: np.ndarray
    labels: np.ndarray
    sigmas: tuple = ()
    trees: int | None = None

    @cached_property
    def rule(self):
        return SegmentRule(foreground=1, connectivity=8 if self.raw.ndim == 2 else 6)

    @cached_property
    def noise(self):
        return noise_tables(SENSOR, "poisson-gaussian", self.raw.shape)

    def of(self, image):
        """Return the scene of another image: same sensor, same forests."""
        return replace(self, raw=image)

    def bank(self, features=None):
        """Return the filters of a feature set, by default the scene's own."""
        shape = self.raw.shape
        name = features or self.recipe.features
        return build_bank(FeatureSpec(set=name, sigmas=() if name == "weka" else self.sigmas), len(shape), shape)

    def grow(self, backend, kind="none", features=None):
        """Grow a forest on the features of the annotated pixels, or on bins of them."""
        name = features or self.recipe.features
        bank = self.bank(name)
        planes = backend.feature_stack(self.raw, bank).reshape(len(bank.names), -1)
        annotated = np.ascontiguousarray(planes[:, self.places].T)
        if kind == "none":
            estimator = self.fit(annotated)
            return Grown(estimator, flatten(estimator), name, kind)
        sample = np.ascontiguousarray(planes[:, :: planes.shape[1] // SAMPLED_PIXELS | 1].T)
        maps = fit_bins(kind, sample, annotated, bank.names).maps
        codes = bin_codes(np.ascontiguousarray(annotated.T), maps)
        estimator = self.fit(np.ascontiguousarray(codes.T, dtype=np.float32))
        return Grown(estimator, forest_on_bins(flatten(estimator), maps), name, kind)

    def fit(self, rows):
        """Return scikit-learn's forest, fitted to the rows of the annotated pixels."""
        from sklearn.ensemble import RandomForestClassifier

        settings = self.recipe.forest | ({} if self.trees is None else {"n_estimators": self.trees})
        forest = RandomForestClassifier(**settings, class_weight="balanced", random_state=0, n_jobs=1)
        return forest.fit(rows, self.labels)


def make_scene(recipe, side, *, sigmas=(), trees=None):
    """Return a scene of that side, the same on every machine."""
    draw = np.random.default_rng((recipe.seed, recipe.ndim))
    light, classes = (_volume if recipe.ndim == 3 else _plane)(side, recipe.contrast, draw)
    gain = SENSOR.regions[0].gain_e_per_dn
    electrons = draw.poisson(np.maximum(light, 0) * gain) + draw.normal(0, SENSOR.regions[0].read_noise_e, light.shape)
    raw = np.rint(electrons / gain + SENSOR.regions[0].offset_dn).clip(0, 65535).astype(np.uint16)
    places, labels = _annotate(classes, recipe, draw)
    return Scene(recipe, raw, places, labels, sigmas, trees)


def enlarged(image, side):
    """Return an image of another side: the beginning of the given one, or periods of it, every other one mirrored."""
    there = [np.arange(side) % (2 * n) for n in image.shape]
    nearest = [np.minimum(each, 2 * n - 1 - each) for each, n in zip(there, image.shape, strict=True)]
    return np.ascontiguousarray(image[np.ix_(*nearest)])  # at once: what is left of an axis's turn counts as memory


def _texture(shape, scales, draw):
    """Return smooth noise of several scales, unit standard deviation."""
    total = np.zeros(shape, np.float32)
    for sigma, weight in scales:
        part = ndimage.gaussian_filter(draw.standard_normal(shape, dtype=np.float32), sigma, mode="wrap")
        total += weight * part / part.std()
    return total / total.std()


def _volume(side, contrast, draw):
    """Return light (DN above the offset) and classes (0 tissue, 1 nucleus, 2 background) of a light-sheet volume."""
    shape = (side,) * 3
    z, y, x = np.meshgrid(*[np.arange(side, dtype=np.float32)] * 3, indexing="ij")
    surface = 0.3 + 0.08 * np.sin(y / 17 + 0.3 * np.cos(z / 11)) + 0.04 * np.cos(z / 23)
    tissue = (x > side * surface) & (_texture(shape, ((9, 1.0),), draw) < 2.0)
    texture = _texture(shape, ((1.5, 0.35), (4, 0.7), (12, 1.0)), draw)
    light = np.where(tissue, 330 + 60 * texture, 30 + 4 * texture)
    light += 40 * ndimage.gaussian_filter(tissue.astype(np.float32), 5)  # haze that leaks out of the tissue
    blobs, nuclei = np.zeros(shape, np.float32), np.zeros(shape, np.bool_)
    for center in draw.uniform(0, side, (side**3 // 4000, 3)):
        width = draw.uniform(1.3, 2.8, 3)
        bright = contrast * draw.lognormal(np.log(320), 0.55)
        if tissue[tuple(center.astype(int))]:
            _add_blob(blobs, nuclei, center, width, bright)
    light += ndimage.gaussian_filter(blobs, 0.8)
    return light, np.where(nuclei, 1, np.where(tissue, 0, 2)).astype(np.uint8)


def _add_blob(blobs, nuclei, center, width, bright):
    edges = [
        (max(0, int(c - 4 * w)), min(n, int(c + 4 * w) + 2)) for c, w, n in zip(center, width, blobs.shape, strict=True)
    ]
    lines = [np.exp(-0.5 * ((np.arange(*e) - c) / w) ** 2) for e, c, w in zip(edges, center, width, strict=True)]
    blob = np.multiply.outer(np.multiply.outer(lines[0], lines[1]), lines[2]).astype(np.float32)
    box = tuple(slice(*e) for e in edges)
    blobs[box] += bright * blob
    nuclei[box] |= blob > 0.45


def _plane(side, contrast, draw):
    """Return light and classes (0 ground, 1 cell) of a phase-contrast-like image: elliptic cells with dark halos."""
    light = 9000 + 500 * _texture((side, side), ((2, 0.4), (8, 0.7), (40, 1.0)), draw)
    cells = np.zeros((side, side), np.bool_)
    for _ in range(side * side // 2200):
        cy, cx = draw.uniform(0, side, 2)
        a, b = draw.uniform(8, 18, 2)
        angle, bright = draw.uniform(0, np.pi), contrast * draw.uniform(900, 3500)
        reach = int(3 * max(a, b)) + 1
        y, x = np.ogrid[
            max(int(cy) - reach, 0) : min(int(cy) + reach + 1, side),
            max(int(cx) - reach, 0) : min(int(cx) + reach + 1, side),
        ]
        u = ((x - cx) * np.cos(angle) + (y - cy) * np.sin(angle)) / a
        v = ((y - cy) * np.cos(angle) - (x - cx) * np.sin(angle)) / b
        distance = np.hypot(u, v)
        body = 1 / (1 + np.exp(np.minimum((distance - 1) * 9, 50)))
        box = np.s_[y[0, 0] : y[-1, 0] + 1, x[0, 0] : x[0, -1] + 1]
        light[box] += bright * (body - 0.55 * np.exp(-0.5 * ((distance - 1.25) / 0.12) ** 2))
        cells[box] |= distance < 1
    return np.clip(ndimage.gaussian_filter(light, 1.0), 100, 60000), cells.astype(np.uint8)


def _annotate(classes, recipe, draw):
    """Return flat places and labels: much of them near the border of objects, where some labels are wrong."""
    inside = classes == 1
    around = ndimage.binary_dilation(inside, iterations=3)
    border = around ^ ndimage.binary_erosion(inside)
    n = recipe.annotated // 6
    groups = [(inside, 2 * n), (around & (classes == 0), n)]
    if classes.max() == 2:
        edge = ndimage.binary_dilation(classes == 2, iterations=3) & (classes == 0)
        groups += [(edge, n // 5), (~around & (classes == 0), n - n // 5), (classes == 2, 2 * n)]
    else:
        groups += [(~around, n), (border, 2 * n)]
    chosen = np.concatenate([_some(there, count, draw) for there, count in groups])
    labels = classes.ravel()[chosen].astype(np.int64)
    wrong = border.ravel()[chosen] & (labels < 2) & (draw.random(chosen.size) < recipe.wrong)
    return chosen, np.where(wrong, 1 - labels, labels)


def _some(there, count, draw):
    places = np.flatnonzero(there)
    return draw.choice(places, min(count, places.size), replace=False)


def forest_size(estimator, flat, rows):
    """Return inner nodes, leaves, distinct thresholds, features in use, and mean node visits of up to so many rows."""
    rows = rows[:: len(rows) // VISITED_PIXELS | 1]
    inner = flat.feature >= 0
    pairs = np.unique(np.stack([flat.feature[inner].astype(np.float64), flat.threshold[inner]]), axis=1)
    visits = sum(_depth(member.tree_)[member.tree_.apply(rows)].mean() for member in estimator.estimators_)
    return {
        "trees": flat.n_trees,
        "classes": flat.n_classes,
        "inner_nodes": int(inner.sum()),
        "leaves": int((~inner).sum()),
        "distinct_thresholds": int(pairs.shape[1]),
        "features_used": int(np.unique(flat.feature[inner]).size),
        "features": flat.n_features,
        "visits_per_pixel": round(float(visits), 1),
    }


def _depth(tree):
    """Return the number of steps from the root to every node."""
    depth = np.zeros(tree.node_count, np.int64)
    for node in range(tree.node_count):  # children come after their parent
        for child in (tree.children_left[node], tree.children_right[node]):
            if child >= 0:
                depth[child] = depth[node] + 1
    return depth
