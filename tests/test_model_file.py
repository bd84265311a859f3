"""The model file: what goes in comes out; what is damaged or hostile is refused by name, and never executed."""

import io
import json
import pickle
import zipfile
from pathlib import Path

import joblib
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.ensemble import RandomForestClassifier

from compdistort.backend.base import FeatureBins
from compdistort.backend.plain.codes import bin_codes
from compdistort.errors import ModelFileError, ResourceError
from compdistort.features import FeatureSpec
from compdistort.forest import Classifier, from_sklearn, load_classifier, model_file, save_classifier
from compdistort.forest.validate import MAX_DEPTH, build_forest

SPEC = FeatureSpec(set="plain", sigmas=(1.0,))
FOREST_ARRAYS = ("feature", "threshold", "left", "root", "depth", "leaf_value")


BINS = FeatureBins(
    top=255,
    knot=np.tile(np.array([-3, -0.5, 0.5, 3], np.float32), (4, 1)),
    level=np.tile(np.array([0, 40, 200, 255], np.float32), (4, 1)),
)


def _classifier(bins=None):
    draw = np.random.default_rng(0)
    rows = draw.normal(size=(60, 4)).astype(np.float32)
    seen = rows if bins is None else bin_codes(rows.T.copy(), bins).T
    estimator = RandomForestClassifier(3, random_state=0).fit(seen, 1 + (rows[:, 0] + draw.normal(size=60) > 0))
    return from_sklearn(estimator, SPEC, bins=bins)


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "model.npz"
    save_classifier(path, _classifier())
    return path


def _same(one, other):
    arrays = all(
        np.array_equal(getattr(one.forest, name), getattr(other.forest, name))
        and getattr(one.forest, name).dtype == getattr(other.forest, name).dtype
        for name in FOREST_ARRAYS
    )
    rest = [name for name in Classifier.__dataclass_fields__ if name != "forest"]
    return (
        arrays
        and _same_bins(one.forest.bins, other.forest.bins)
        and all(getattr(one, name) == getattr(other, name) for name in rest)
    )


def _same_bins(one, other):
    if one is None or other is None:
        return one is other
    same = all(np.array_equal(getattr(one, n), getattr(other, n)) for n in ("knot", "level"))
    return same and one.top == other.top and one.knot.dtype == one.level.dtype == np.float32


def test_round_trip_and_equal_bytes(saved, tmp_path):
    loaded = load_classifier(saved)
    assert _same(loaded, _classifier())
    assert loaded.forest.bins is None
    save_classifier(tmp_path / "again.npz", loaded)
    assert (tmp_path / "again.npz").read_bytes() == saved.read_bytes()


def test_numpy_reads_it_without_pickle(saved):
    with np.load(saved, allow_pickle=False) as arrays:
        assert json.loads(arrays["meta"].tobytes())["version"] == 1
        assert arrays["threshold"].dtype == np.float32


@pytest.fixture
def binned(tmp_path):
    path = tmp_path / "binned.npz"
    save_classifier(path, _classifier(BINS))
    return path


def test_bins_make_the_round_trip(binned, saved, tmp_path):
    loaded = load_classifier(binned)
    assert _same(loaded, _classifier(BINS))
    assert not _same(loaded, load_classifier(saved))
    save_classifier(tmp_path / "again.npz", loaded)
    assert (tmp_path / "again.npz").read_bytes() == binned.read_bytes()
    with np.load(saved) as plain, np.load(binned) as more:
        assert set(more.files) - set(plain.files) == {"bin_knot", "bin_level"}


@pytest.mark.parametrize("name", ["bin_knot", "bin_level"])
def test_half_of_the_bins_is_refused(binned, name):
    _rewrite(binned, {name: None})
    with pytest.raises(ModelFileError, match="without the members of a compdistort model"):
        load_classifier(binned)


def test_edges_instead_of_maps_are_refused(saved):
    _rewrite(saved, {"bins": np.zeros((4, 7), np.float32)})
    with pytest.raises(ModelFileError, match="without the members of a compdistort model"):
        load_classifier(saved)


def _with(name, index, value):
    array = getattr(BINS, name).copy()
    array[index] = value
    return {f"bin_{name}": array}


FORGED_BINS = {
    "knots fall": (_with("knot", (0, 2), -0.75), "bins whose knots do not rise"),
    "knots repeat": (_with("knot", (3, 1), -3), "bins whose knots do not rise"),
    "knot NaN": (_with("knot", (1, 1), np.nan), "bins whose knots do not rise"),
    "knot infinite": (_with("knot", (1, 3), np.inf), "bins whose knots do not rise"),
    "level not whole": (_with("level", (1, 1), 40.5), "bins whose levels are not whole numbers that rise from 0"),
    "levels fall": (_with("level", (1, 1), 210), "bins whose levels are not whole numbers that rise from 0"),
    "first level": (_with("level", (0, 0), 1), "bins whose levels are not whole numbers that rise from 0"),
    "level NaN": (_with("level", (0, 0), np.nan), "bins without levels"),
    "last level": (_with("level", (2, 3), 254), "bins whose levels do not end at 255"),
    "other top": (_with("level", (slice(None), 3), 256), "bins with the largest code 256, not 255 or 65535"),
    "no level": ({"bin_level": np.zeros((0, 4), np.float32)}, "bins without levels"),
    "one feature less": (
        {"bin_knot": BINS.knot[:3], "bin_level": BINS.level[:3]},
        r"bins of shapes \(3, 4\) and \(3, 4\) for 4 features",
    ),
    "other shapes": ({"bin_knot": BINS.knot[:, :3]}, r"bins of shapes \(4, 3\) and \(4, 4\) for 4 features"),
    "many knots": (
        {"bin_knot": np.tile(np.arange(256, dtype=np.float32), (4, 1)),
         "bin_level": np.tile(np.arange(256, dtype=np.float32), (4, 1))},
        r"bins of shapes \(4, 256\)",
    ),
    "maps of another forest": (_with("knot", (slice(None), 0), -3.5), r"threshold \S+ of feature \d is no edge"),
}  # fmt: skip


@pytest.mark.parametrize("name", FORGED_BINS)
def test_forged_bins_are_refused(binned, name):
    changes, words = FORGED_BINS[name]
    _rewrite(binned, changes)
    with pytest.raises(ModelFileError, match=words) as caught:
        load_classifier(binned)
    assert "holds no valid forest" in str(caught.value)


def test_a_threshold_beside_its_edge_is_refused(binned):
    """One float32 away: the engines that read bins would round it, the others would not."""
    threshold = _nodes(binned)["threshold"]
    inner = int(np.flatnonzero(_nodes(binned)["feature"] >= 0)[0])
    for direction in (-np.inf, np.inf):
        moved = threshold.copy()
        moved[inner] = np.nextafter(threshold[inner], np.float32(direction))
        _rewrite(binned, {"threshold": moved})
        with pytest.raises(ModelFileError, match="is no edge of its bins"):
            load_classifier(binned)
    _rewrite(binned, {"threshold": threshold})
    assert _same(load_classifier(binned), _classifier(BINS))


@pytest.mark.parametrize("report", [3, {}, {"kind": "uint8", "masks": []}, {"masks": {"pixels": "many"}}])
def test_a_report_on_bins_that_cannot_be_said_is_refused(binned, report):
    _rewrite(binned, {"meta": _meta(binned, training={"bins": report})})
    with pytest.raises(ModelFileError, match="is damaged"):
        load_classifier(binned)


def test_missing_file(tmp_path):
    with pytest.raises(ModelFileError, match="does not exist"):
        load_classifier(tmp_path / "no.npz")


def test_a_folder_that_is_missing_leaves_nothing(tmp_path):
    with pytest.raises(ResourceError, match="folder does not exist"):
        save_classifier(tmp_path / "no" / "model.npz", _classifier())
    assert not list(tmp_path.iterdir())


class _Bomb:
    """Unpickling it would create the marker file."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return (Path.touch, (self.marker,))


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_pickle_is_refused_by_name_and_never_run(tmp_path, protocol):
    marker, path = tmp_path / "ran", tmp_path / "model.npz"
    path.write_bytes(pickle.dumps(_Bomb(marker), protocol=protocol))
    with pytest.raises(ModelFileError, match=r"a Python pickle|an old Python pickle"):
        load_classifier(path)
    assert not marker.exists()
    pickle.loads(path.read_bytes())
    assert marker.exists()  # the bomb is live


@pytest.mark.parametrize("compress", [("zlib", 3), ("gzip", 3), ("bz2", 3), ("xz", 3), 0])
def test_joblib_is_refused_by_name_and_never_run(tmp_path, compress):
    marker, path = tmp_path / "ran", tmp_path / "model.npz"
    joblib.dump(_Bomb(marker), path, compress=compress)
    with pytest.raises(ModelFileError, match=r"joblib|pickle"):
        load_classifier(path)
    assert not marker.exists()


def _rewrite(path, changes, *, compression=zipfile.ZIP_STORED, sign=True):
    """Write a file like ours with other members; `changes` maps a name to an array, bytes or None (left out)."""
    with np.load(path) as arrays:
        members = {name: arrays[name] for name in arrays.files} | changes
    members = {name: value for name, value in members.items() if value is not None}
    plain = {name: value for name, value in members.items() if isinstance(value, np.ndarray)}
    if sign:
        members["blake2b"] = model_file._digest(plain)
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, value in members.items():
            buffer = io.BytesIO()
            if isinstance(value, bytes):
                buffer.write(value)
            else:
                np.save(buffer, value, allow_pickle=True)
            archive.writestr(f"{name}.npy", buffer.getvalue())


def _meta(path, **changes):
    with np.load(path) as arrays:
        meta = json.loads(arrays["meta"].tobytes()) | changes
    return np.frombuffer(json.dumps(meta).encode(), np.uint8)


def test_a_pickled_member_is_never_run(binned, tmp_path):
    marker = tmp_path / "ran"
    _rewrite(binned, {"bin_knot": np.array([_Bomb(marker)], object)}, sign=False)
    with pytest.raises(ModelFileError, match="member bin_knot is no plain array"):
        load_classifier(binned)
    assert not marker.exists()


def test_compressed_members_are_refused_before_they_are_read(saved):
    """A bomb of 1 GiB of zeros in a small file."""
    zeros = np.zeros(1 << 20, np.float32)
    _rewrite(saved, {"threshold": zeros}, compression=zipfile.ZIP_DEFLATED)
    assert saved.stat().st_size < 100_000
    with pytest.raises(ModelFileError, match="compressed members"):
        load_classifier(saved)


def test_a_header_that_claims_more_than_is_there(saved):
    header = b"\x93NUMPY\x01\x00\x76\x00{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999,), }"
    _rewrite(saved, {"threshold": header.ljust(127) + b"\n" + bytes(64)}, sign=False)
    with pytest.raises(ModelFileError, match="does not fit its"):
        load_classifier(saved)


def _nodes(path):
    with np.load(path) as arrays:
        return {name: arrays[name].copy() for name in arrays.files}


def _forged(path, name, index, value):
    array = _nodes(path)[name]
    array[index] = value
    return {name: array}


FORGERIES = {
    "child before parent": ("left", 0, 0),
    "child outside": ("left", 0, 10**6),
    "negative child": ("left", 0, -5),
    "node with two parents": ("left", 0, 3),
    "feature too large": ("feature", 0, 4),
    "feature below -1": ("feature", 0, -2),
    "threshold NaN": ("threshold", 0, np.nan),
    "threshold infinite": ("threshold", 0, np.inf),
    "leaf out of range": ("left", -1, 10**6),
    "negative leaf": ("left", -1, -1),
    "first root": ("root", 0, 1),
    "roots falling": ("root", 1, 0),
    "class value above 1": ("leaf_value", 0, 2.0),
    "class value NaN": ("leaf_value", 0, np.nan),
    "class values do not sum to 1": ("leaf_value", 0, 0.25),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_forged_forests_are_refused(saved, name):
    _rewrite(saved, _forged(saved, *FORGERIES[name]))
    with pytest.raises(ModelFileError, match="holds no valid forest"):
        load_classifier(saved)


METAS = {
    "other format": ({"format": "x"}, "no compdistort model"),
    "newer version": ({"version": 2}, "version 2, this program reads version 1"),
    "other features": ({"features": {"set": "plain", "sigmas": [1, 2]}}, "reads 4 features, set 'plain' has 8"),
    "unknown features": ({"features": {"set": "x"}}, "feature set 'x' is unknown"),
    "features of another type": ({"features": [1]}, "is damaged"),
    "no class names": ({"class_names": []}, "0 class names"),
    "foreground": ({"foreground": 9}, "foreground 9"),
    "axes": ({"ndim": 5}, "5 axes"),
    "number of features": ({"n_features": 10**9}, "1000000000 features"),
    "infinite": ({"n_features": float("inf")}, "is damaged"),
}


@pytest.mark.parametrize("name", METAS)
def test_forged_descriptions_are_refused(saved, name):
    changes, words = METAS[name]
    _rewrite(saved, {"meta": _meta(saved, **changes)})
    with pytest.raises(ModelFileError, match=words):
        load_classifier(saved)


def test_a_changed_number_is_found_by_its_checksum(saved):
    _rewrite(saved, _forged(saved, "threshold", 0, 0.125), sign=False)
    with pytest.raises(ModelFileError, match="checksum"):
        load_classifier(saved)


def test_members_that_do_not_belong(saved):
    _rewrite(saved, {"evil": np.zeros(3)})
    with pytest.raises(ModelFileError, match="without the members"):
        load_classifier(saved)


def test_missing_member(saved):
    _rewrite(saved, {"root": None})
    with pytest.raises(ModelFileError, match="without the members"):
        load_classifier(saved)


def test_every_truncation_is_refused(saved):
    content = saved.read_bytes()
    for length in range(0, len(content), 97):
        saved.write_bytes(content[:length])
        with pytest.raises(ModelFileError):
            load_classifier(saved)


def test_a_chain_of_nodes_is_refused():
    """Deeper than any training grows: each inner node has a leaf and a next inner node."""
    n = 2 * MAX_DEPTH + 5
    nodes = np.arange(n)
    inner = (nodes % 2 == 0) & (nodes < n - 1)
    with pytest.raises(ModelFileError, match="deeper than"):
        build_forest(
            feature=np.where(inner, 0, -1).astype(np.int16),
            threshold=np.zeros(n, np.float32),
            left=np.where(inner, nodes + 1, 0).astype(np.int32),
            root=np.zeros(1, np.int32),
            leaf_value=np.array([[1.0, 0.0]]),
            n_features=1,
        )


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), min_size=1, max_size=6))
def test_flipped_bytes_never_pass_as_another_forest(tmp_path, flips):
    """Either refused by name, or (a flip in what zip does not read) the very same classifier."""
    path = tmp_path / "model.npz"
    for classifier in (_CLASSIFIER, _BINNED):
        save_classifier(path, classifier)
        content = bytearray(path.read_bytes())
        for where, value in flips:
            content[int(where * len(content))] ^= value
        path.write_bytes(content)
        try:
            loaded = load_classifier(path)
        except ModelFileError:
            continue
        assert _same(loaded, classifier)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300))
def test_random_bytes_are_refused(tmp_path, content):
    path = tmp_path / "model.npz"
    for head in (b"", b"PK\x03\x04", b"\x80\x05"):
        path.write_bytes(head + content)
        with pytest.raises(ModelFileError):
            load_classifier(path)


_CLASSIFIER = _classifier()
_BINNED = _classifier(BINS)
