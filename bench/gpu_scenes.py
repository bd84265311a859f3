"""What is measured: images, sensors, filters and forests, made anew from seeds, the same on every machine."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy import ndimage

from compdistort.backend.base import SegmentRule
from compdistort.features import FeatureSpec, build_bank
from compdistort.forest import flatten
from compdistort.replicate import noise_tables
from compdistort.rng import Stream, derive_key
from compdistort.sensor.model import SensorModel
from compdistort.sensor.regions import SensorMaps, SensorRegion

OFFSET_DN, GAIN_E_PER_DN, READ_NOISE_E = 240.0, 0.5, 1.6
SEVEN_SIGMAS = (0.7, 1.0, 1.6, 2.5, 3.5, 5.0, 10.0)
KEY = derive_key(1, Stream.NOISE)
RULE_2D = SegmentRule(foreground=1, min_size=4)
RULE_3D = SegmentRule(foreground=1, connectivity=6, min_size=4)
TREES = 100


@dataclass(frozen=True)
class Sizes:
    """How large everything is."""

    plane: int
    cubes: tuple[int, ...]
    chain_cube: int
    stack: tuple[int, int, int]
    replicates: int
    chain_replicates: int
    peer_plane: int
    peer_cube: int
    training: int
    copy_bytes: int
    fma: tuple[int, int]
    gate_plane: tuple[int, int]
    gate_volume: tuple[int, int, int]
    sigmas: dict[str, tuple[float, ...]]
    """By preset; one that is not named has its own."""


FULL = Sizes(
    plane=2048, cubes=(256, 512), chain_cube=512, stack=(550, 2048, 2048), replicates=16, chain_replicates=10,
    peer_plane=1024, peer_cube=128, training=4000, copy_bytes=1 << 30, fma=(8192, 4096), gate_plane=(96, 131),
    gate_volume=(44, 47, 51), sigmas={"plain": SEVEN_SIGMAS},
)  # fmt: skip
QUICK = Sizes(
    plane=2048, cubes=(256,), chain_cube=512, stack=(550, 2048, 2048), replicates=16, chain_replicates=3,
    peer_plane=512, peer_cube=96, training=4000, copy_bytes=1 << 30, fma=(8192, 4096), gate_plane=(96, 131),
    gate_volume=(44, 47, 51), sigmas={"plain": SEVEN_SIGMAS},
)  # fmt: skip
SMOKE = Sizes(
    plane=40, cubes=(12,), chain_cube=12, stack=(9, 14, 18), replicates=2, chain_replicates=2,
    peer_plane=32, peer_cube=12, training=200, copy_bytes=1 << 12, fma=(2, 2), gate_plane=(24, 37),
    gate_volume=(9, 12, 15), sigmas={"plain": (0.7, 1.0), "ilastik": (0.7, 1.6)},
)  # fmt: skip


def scene(shape, electrons=1000.0, seed=1):
    """Return blobs on a textured ground and their truth; a large scene repeats one period of at most 128 a side."""
    period = tuple(min(n, 128 if len(shape) == 3 else 512) for n in shape)
    return tuple(_repeated(array, shape) for array in _period(period, electrons, seed))


@cache
def _period(period, electrons, seed):
    draw = np.random.default_rng(seed)
    blobs = ndimage.gaussian_filter(draw.standard_normal(period), 4.0, mode="wrap")
    truth = blobs > 0.8 * blobs.std()
    texture = ndimage.gaussian_filter(draw.standard_normal(period), 1.5, mode="wrap")
    light = electrons * (0.5 + truth + 0.2 * texture / texture.std())
    image = np.rint(OFFSET_DN + draw.poisson(np.maximum(light, 0.0)) / GAIN_E_PER_DN).clip(0, 65535).astype(np.uint16)
    return image, truth


def _repeated(array, shape):
    times = [-(-n // period) for n, period in zip(shape, array.shape, strict=True)]
    return np.ascontiguousarray(np.tile(array, times)[tuple(slice(n) for n in shape)])


def sensor(kind, shape):
    """Return a sensor: ``scalar``, ``regions`` (four taps) or ``maps`` (a gain, offset and read noise a pixel)."""
    rows, columns = shape[-2:]
    whole = SensorModel.scalar(offset_dn=OFFSET_DN, gain_e_per_dn=GAIN_E_PER_DN, read_noise_e=READ_NOISE_E)
    if kind == "scalar":
        return whole
    halves = [((0, n // 2), (n // 2, n)) for n in (rows, columns)]
    taps = tuple(
        SensorRegion(
            name=f"tap {i}{j}",
            offset_dn=OFFSET_DN + i,
            gain_e_per_dn=GAIN_E_PER_DN * (1 + 0.01 * j),
            read_noise_e=READ_NOISE_E,
            rows=halves[0][i],
            columns=halves[1][j],
        )
        for i in range(2)
        for j in range(2)
    )
    if kind == "regions":
        return SensorModel(regions=taps, frame_shape=(rows, columns))
    draw = np.random.default_rng(4)
    maps = SensorMaps(
        gain_e_per_dn=GAIN_E_PER_DN * draw.uniform(0.95, 1.05, (rows, columns)),
        offset_dn=OFFSET_DN + draw.normal(0, 2, (rows, columns)),
        read_noise_e=READ_NOISE_E * draw.uniform(0.8, 1.5, (rows, columns)),
    )
    return SensorModel(regions=taps, maps=maps, frame_shape=(rows, columns))


def tables(kind, shape):
    """Return the noise tables of a sensor for an image of that shape."""
    return noise_tables(sensor(kind, shape), "poisson-gaussian", shape)


def bank(name, ndim, shape, sigmas=()):
    """Return a filter bank."""
    return build_bank(FeatureSpec(set=name, sigmas=sigmas), ndim, shape)


def forest_for(features, truth, n_pixels):
    """Return a fitted scikit-learn forest and the same forest flat: hard to grow, as 3 % of its labels are wrong."""
    from sklearn.ensemble import RandomForestClassifier

    draw = np.random.default_rng(2)
    rows = features.reshape(len(features), -1)
    chosen = draw.choice(rows.shape[1], min(n_pixels, rows.shape[1]), replace=False)
    labels = truth.ravel()[chosen] ^ (draw.random(chosen.size) < 0.03)
    estimator = RandomForestClassifier(TREES, max_features=2, criterion="entropy", random_state=0, n_jobs=1)
    estimator.fit(rows[:, chosen].T.copy(), labels)
    return estimator, flatten(estimator)


def mean_depth(forest):
    """Return the mean number of steps to a leaf, over trees and leaves."""
    depth = np.zeros(forest.feature.size, np.int64)
    inner = np.flatnonzero(forest.feature >= 0)
    for node in inner:
        depth[forest.left[node] : forest.left[node] + 2] = depth[node] + 1
    return float(depth[forest.feature < 0].mean())


def fma_per_voxel(filters, ndim):
    """Return the fma of a separable bank per voxel, every needed line sum done once.

    A folded kernel of radius r takes r + 1 fma (r where it is odd); the smoothing of one axis is shared by all
    derivatives that come after it. Planes that no column needs are not counted.
    """
    total = 0
    for index, scale in enumerate(filters.scales):
        wanted = {operator for operator, of in filters.columns if of == index}
        even, odd, narrow = len(scale.smooth), len(scale.first) - 1, len(scale.narrow)
        total += 0 if scale.presmooth is None else ndim * len(scale.presmooth)
        total += ndim * narrow if "DoG" in wanted else 0
        sums = _line_sums(ndim, wanted)
        total += sums["smooth"] * even + sums["first"] * odd + sums["second"] * len(scale.second)
        total += ndim if "GGM" in wanted else 0
    return total


def _line_sums(ndim, wanted):
    """Return how many line sums of each kind the wanted operators share."""
    needed = set()
    for axis in range(ndim):
        for operator, kind in (("GGM", "first"), ("LoG", "second")):
            if operator in wanted:
                chain = tuple(kind if a == axis else "smooth" for a in range(ndim))
                needed |= {chain[: k + 1] for k in range(ndim)}
    if wanted & {"GS", "DoG"}:
        needed |= {("smooth",) * (k + 1) for k in range(ndim)}
    return {kind: sum(chain[-1] == kind for chain in needed) for kind in ("smooth", "first", "second")}
