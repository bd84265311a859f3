"""What the forest kernels and both voters must do (see `cudahost.bodies`)."""

from functools import lru_cache, partial

import numpy as np
from cudahost.bodies import same_bits
from cudahost.sparse_array import only_last_blocks, sparse
from cudahost.standin_cupy import StandinKernels, ndarray
from sklearn.base import clone
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier

from compdistort.backend.base import FlatForest, SegmentRule
from compdistort.backend.device import forest as device_forest
from compdistort.backend.device.forest_pack import Wanted
from compdistort.backend.numpy_backend import NumpyBackend
from compdistort.backend.plain import forest as plain
from compdistort.errors import InputError
from compdistort.features import FeatureSpec, build_bank
from compdistort.forest import flatten

N_FEATURES = 9
VOTERS = ("device", "cpu")
PLAIN = NumpyBackend(jit=False)
FORESTS = {
    "grown out": RandomForestClassifier(12, random_state=0),
    "extra trees": ExtraTreesClassifier(11, random_state=0),
    "impure": RandomForestClassifier(13, min_samples_leaf=4, random_state=0),
    "balanced": RandomForestClassifier(8, max_features=2, class_weight="balanced", max_depth=5, random_state=0),
    "one tree": RandomForestClassifier(1, random_state=0),
    "few features": RandomForestClassifier(2, max_depth=2, random_state=0),
    "one leaf": RandomForestClassifier(3, min_samples_leaf=300, random_state=0),
}


@lru_cache
def trained(name, n_classes=2, n_features=N_FEATURES):
    """A fitted estimator, flat, and the rows it was trained on."""
    draw = np.random.default_rng(n_classes)
    rows = draw.normal(size=(400, n_features)).astype(np.float32)
    score = rows[:, 0] + rows[:, 1] * rows[:, 2] + draw.normal(size=400)
    labels = np.digitize(score, np.quantile(score, np.arange(1, n_classes) / n_classes))
    estimator = clone(FORESTS[name]).fit(rows, labels)
    return flatten(estimator), estimator, rows


def random_planes(*shape, seed=1):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def proba(engine, planes, forest, voter):
    with engine.cuda.here():
        out = device_forest.forest_proba(engine.cuda, engine.to_device(planes), forest, voter)
    return engine.to_host(out)


def check_proba(engine, planes, forest, what, voters=VOTERS):
    wanted = plain.forest_proba(planes.reshape(len(planes), -1), forest).reshape(forest.n_classes, *planes.shape[1:])
    for voter in voters:
        same_bits(proba(engine, planes, forest, voter), wanted, f"{what}, {voter}")
    return wanted


def check_forest_kinds(engine):
    """Pure and impure leaves, 2, 3 and 6 classes, grown-out trees, stumps and bare leaves: scikit-learn's bits."""
    planes = random_planes(N_FEATURES, 3, 41)
    for name in FORESTS:
        for n_classes in (2, 3, 6):
            forest, estimator, _ = trained(name, n_classes)
            wanted = check_proba(engine, planes, forest, f"{name}, {n_classes} classes")
            same_bits(wanted.reshape(n_classes, -1).T, estimator.predict_proba(planes.reshape(N_FEATURES, -1).T), name)


def check_forest_sizes(engine):
    """Numbers of pixels below, at and above what a block holds, and none."""
    for name in ("grown out", "impure"):
        forest = trained(name)[0]
        for n in (0, 1, 31, 511, 512, 513, 1025):
            planes = random_planes(N_FEATURES, n)
            got = engine.to_host(engine.forest_proba(engine.to_device(planes), forest))
            same_bits(got, plain.forest_proba(planes, forest), f"{name}, {n} pixels")


def check_forest_thresholds(engine):
    """Values on thresholds and next to them, zeros of both signs, subnormals, infinities."""
    forest, estimator, rows = trained("grown out")
    inner = forest.feature >= 0
    draw = np.random.default_rng(3)
    planes = np.stack([draw.choice(forest.threshold[inner & (forest.feature == k)], 300) for k in range(N_FEATURES)])
    for towards in (None, -np.inf, np.inf):
        moved = planes if towards is None else np.nextafter(planes, np.float32(towards))
        wanted = check_proba(engine, moved, forest, f"thresholds, moved to {towards}")
        same_bits(wanted.T, estimator.predict_proba(moved.T), "scikit-learn")
    check_proba(engine, rows.T.copy(), forest, "training rows")
    extremes = np.array([0.0, -0.0, 1e-45, -1e-45, 3.4e38, -3.4e38, np.inf, -np.inf, 1.0, -1.0], np.float32)
    forest = stump_forest(np.array([0.0, -0.0, 1e-45, -1e-45, 1.0, 3.4028235e38, -3.4028235e38], np.float32))
    check_proba(engine, extremes[None], forest, "extremes")


def stump_forest(thresholds, n_features=1, leaf_value=((1.0, 0.0), (0.0, 1.0))):
    """One tree of two leaves for each threshold; tree k tests feature k modulo `n_features`."""
    n = len(thresholds)
    k = np.arange(n)
    nodes = np.column_stack([k % n_features, np.full(n, -1), np.full(n, -1)]).astype(np.int16)
    left = np.column_stack([3 * k + 1, np.zeros(n), np.ones(n)]).astype(np.int32)
    return FlatForest(
        feature=nodes.ravel(),
        threshold=np.column_stack([thresholds, np.zeros((n, 2), np.float32)]).astype(np.float32).ravel(),
        left=left.ravel(),
        root=(3 * k).astype(np.int32),
        depth=np.ones(n, np.int32),
        leaf_value=np.array(leaf_value),
        n_features=n_features,
    )


def check_forest_many_features(engine):
    """More features than a block of full warps holds, down to a few threads a block; features that no tree tests."""
    for n_features in (130, 384, 385, 700):
        planes = random_planes(n_features, 40)
        check_proba(engine, planes, stump_forest(random_planes(n_features)[: n_features - 3], n_features), "features")
    forest = trained("few features")[0]
    assert 1 < np.unique(forest.feature).size - 1 < N_FEATURES
    check_proba(engine, random_planes(N_FEATURES, 200), forest, "unused features")


def chain_forest(depth, n_trees=3):
    """Trees that go on to the right at every test: a deep path, and 0.1 and 0.9 in turn as its leaves."""
    n_nodes = 2 * depth + 1
    node = np.arange(n_nodes)
    inner = (node % 2 == 0) & (node < 2 * depth)
    row = np.cumsum(~inner) - 1
    roots = n_nodes * np.arange(n_trees)
    left = np.concatenate([np.where(inner, root + node + 1, row) for root in roots])
    return FlatForest(
        feature=np.tile(np.where(inner, 0, -1), n_trees).astype(np.int16),
        threshold=np.tile(np.where(inner, node // 2, 0), n_trees).astype(np.float32),
        left=left.astype(np.int32),
        root=roots.astype(np.int32),
        depth=np.full(n_trees, depth, np.int32),
        leaf_value=np.where(np.arange(depth + 1)[:, None] % 2 == [0, 1], 0.1, 0.9),
        n_features=1,
    )


def check_forest_deep(engine):
    """A path of 3000 steps, and neighbours that leave it at every depth."""
    planes = np.linspace(-1, 3001, 150, dtype=np.float32)[None]
    check_proba(engine, planes, chain_forest(3000), "chain")


def tied_forest(n_for, n_trees=100):
    """Trees of one leaf each, `n_for` of them for the second class."""
    votes = np.arange(n_trees) < n_for
    leaf_value = np.column_stack([~votes, votes]).astype(np.float64)
    none, each = np.full(n_trees, -1, np.int16), np.arange(n_trees, dtype=np.int32)
    zero = np.zeros(n_trees, np.float32)
    return FlatForest(
        feature=none, threshold=zero, left=each, root=each, depth=0 * each, leaf_value=leaf_value, n_features=4
    )


BANK = build_bank(FeatureSpec(set="plain", sigmas=(1.0,)), 2)


def mask_of(engine, image, bank, forest, rule, voter):
    with engine.cuda.here():
        out = device_forest.image_mask(engine.cuda, engine.to_device(image), bank, forest, rule, voter)
    return engine.to_host(out)


def check_forest_ties(engine):
    """49, 50 and 51 of 100 votes against 0.5."""
    image = np.full((3, 5), 100, np.uint16)
    for n_for in (49, 50, 51):
        for strict in (False, True):
            for foreground in (0, 1):
                rule = SegmentRule(foreground=foreground, strict=strict)
                count = n_for if foreground else 100 - n_for
                wanted = np.full(image.shape, count > 50 if strict else count >= 50)
                for voter in VOTERS:
                    got = mask_of(engine, image, BANK, tied_forest(n_for), rule, voter)
                    same_bits(got, wanted, f"{n_for} of 100, strict {strict}, {voter}")


@lru_cache
def image_case(kind):
    """An image, a bank, a forest trained on its features, and the plain twin's probabilities."""
    spec, shape, n_classes, estimator = {
        "2d": (FeatureSpec(set="plain", sigmas=(0.7, 1.6)), (24, 19), 2, FORESTS["one tree"]),
        "few": (FeatureSpec(set="plain", sigmas=(0.7, 1.6)), (24, 19), 2, FORESTS["few features"]),
        "3d": (FeatureSpec(set="ilastik", sigmas=(0.7, 1.0)), (6, 9, 11), 3, FORESTS["impure"]),
        "weka": (FeatureSpec(set="weka", sigmas=(1.0, 2.0)), (20, 21), 2, FORESTS["grown out"]),
    }[kind]
    draw = np.random.default_rng(8)
    image = draw.poisson(200 + 150 * (draw.random(shape) < 0.3)).astype(np.uint16)
    bank = build_bank(spec, len(shape))
    features = PLAIN.feature_stack(image, bank)
    score = features[1].ravel() + features[0].std() * draw.normal(size=image.size)
    labels = np.digitize(score, np.quantile(score, np.arange(1, n_classes) / n_classes))
    forest = flatten(clone(estimator).fit(features.reshape(len(features), -1).T[::2], labels[::2]))
    return image, bank, forest, PLAIN.forest_proba(features, forest)


def check_mask(engine, case, rule, voter):
    image, bank, forest, probability = case
    wanted = PLAIN.threshold(probability[rule.foreground], rule)
    same_bits(mask_of(engine, image, bank, forest, rule, voter), wanted, f"{rule}, {voter}")


def check_forest_masks(engine):
    """Thresholds equal to probabilities that occur, and next to them; every class; both voters."""
    for kind in ("2d", "few", "3d", "weka"):
        case = image_case(kind)
        for foreground, plane in enumerate(case[3]):
            levels = np.unique(plane)
            for level in levels[:: max(1, len(levels) // 3)]:
                for strict in (False, True):
                    for threshold in (float(level), float(np.nextafter(level, 1))):
                        rule = SegmentRule(foreground=foreground, threshold=threshold, strict=strict)
                        check_mask(engine, case, rule, "device")
            check_mask(engine, case, SegmentRule(foreground=foreground, threshold=float(levels[-1])), "cpu")


def check_forest_smoothed_masks(engine):
    """The probability smoothed before it is compared."""
    for kind in ("2d", "3d"):
        for voter in VOTERS:
            check_mask(engine, image_case(kind), SegmentRule(foreground=1, smoothing_px=1.3), voter)


def check_forest_slabs(engine):
    """Slabs of one row, or plane, and of a few: the same mask from both voters."""
    before = engine.cuda.slab_bytes
    try:
        for kind in ("2d", "3d", "weka"):
            for slab_bytes in (1, 60_000):
                engine.cuda.slab_bytes = slab_bytes
                for voter in VOTERS:
                    check_mask(engine, image_case(kind), SegmentRule(foreground=1), voter)
        engine.cuda.slab_bytes = 2000  # pieces of 55 pixels
        check_proba(engine, random_planes(N_FEATURES, 300), trained("impure", 3)[0], "pieces")
    finally:
        engine.cuda.slab_bytes = before


def check_forest_image_types(engine):
    """uint8 and float32 images: the same features, and with float32 all of them."""
    image, bank, forest, _ = image_case("2d")
    for dtype in (np.uint8, np.float32):
        typed = np.minimum(image, 255).astype(dtype)
        probability = PLAIN.forest_proba(PLAIN.feature_stack(typed, bank), forest)
        for voter in VOTERS:
            check_mask(engine, (typed, bank, forest, probability), SegmentRule(foreground=1), voter)


def refusal(call):
    try:
        call()
    except InputError as error:
        return str(error)
    raise AssertionError("NaN was not refused")


def check_forest_nan(engine):
    """NaN of both signs, in tested and untested features, counted over blocks and slabs; infinity is none."""
    forest = trained("few features")[0]
    unused = int(np.flatnonzero(~np.isin(np.arange(N_FEATURES), forest.feature))[0])
    planes = random_planes(N_FEATURES, 1500)
    planes[:, 7] = np.inf
    check_proba(engine, planes, forest, "infinity")
    planes[unused, ::3] = np.nan
    planes[unused, 1] = -np.float32(np.nan)
    wanted = refusal(lambda: plain.forest_proba(planes, forest))
    image, bank, forest_2d, _ = image_case("2d")
    image = image.astype(np.float32)
    image[5, 6] = image[20, 2] = np.nan
    wanted_2d = refusal(lambda: PLAIN.forest_proba(PLAIN.feature_stack(image, bank), forest_2d))
    for voter in VOTERS:
        assert refusal(partial(proba, engine, planes, forest, voter)) == wanted
        before = engine.cuda.slab_bytes
        for slab_bytes in (before, 4000):
            engine.cuda.slab_bytes = slab_bytes
            rule = SegmentRule(foreground=1)
            assert refusal(partial(mask_of, engine, image, bank, forest_2d, rule, voter)) == wanted_2d
        engine.cuda.slab_bytes = before


def check_forest_neighbours(engine):
    """Votes on part of the pixels leave the others alone: 7 before, 9 behind, and sizes that fill no block."""
    for name in ("grown out", "impure"):
        forest = trained(name)[0]
        for n in (45, 513):
            planes = random_planes(N_FEATURES, n)
            wanted = np.full((1, 7 + n + 9), 0.75)
            wanted[0, 7 : 7 + n] = plain.forest_proba(planes, forest)[1]
            with engine.cuda.here():
                out = engine.cuda.upload(np.full(wanted.shape, 0.75))
                room = engine.cuda.upload(np.append(planes, np.zeros(32, np.float32)))
                part = room[: planes.size].reshape(planes.shape)
                with device_forest._votes(
                    engine.cuda, forest, Wanted(classes=range(1, 2)), out, "device", by_slot=False
                ) as vote:
                    vote(part, 7)
                same_bits(engine.cuda.download(out), wanted, f"{name}, {n} pixels")


def check_forest_beyond_32_bits(engine):
    """The last block of more than 2^32 voxels, whose features lie beyond 2^33 values; on the CPU only."""
    if not isinstance(engine.cuda.kernels, StandinKernels):
        return
    n = 2**32 + 37
    features = sparse((2, n))
    features[1, -37:] = np.arange(37) % 3
    for leaf_value in (((1.0, 0.0), (0.0, 1.0)), ((0.75, 0.25), (0.25, 0.75))):
        forest = stump_forest(np.array([0.5, 1.5], np.float32), 2, leaf_value)
        forest.feature[::3] = 1
        out = sparse((n,), np.bool_)
        wanted = plain.forest_proba(features[:, -37:].copy(), forest)[1] >= 0.6
        with engine.cuda.here(), only_last_blocks(engine):
            vote = device_forest._votes(
                engine.cuda, forest, Wanted(classes=range(1, 2), threshold=0.6), ndarray(out[None]), "device",
                by_slot=False,
            )  # fmt: skip
            with vote as on_device:
                on_device(ndarray(features), 0)
        same_bits(out[-37:], wanted, "last voxels")


BODIES = (
    check_forest_kinds,
    check_forest_sizes,
    check_forest_thresholds,
    check_forest_many_features,
    check_forest_deep,
    check_forest_ties,
    check_forest_masks,
    check_forest_smoothed_masks,
    check_forest_slabs,
    check_forest_image_types,
    check_forest_nan,
    check_forest_neighbours,
    check_forest_beyond_32_bits,
)
