"""The forest on the device: kernels, slabs and both voters against the plain twin and scikit-learn, on every level."""

from types import SimpleNamespace

import numpy as np
import pytest
from cudahost import bodies_forest, standin_streams
from cudahost.bodies_forest import (
    BODIES,
    PLAIN,
    VOTERS,
    check_mask,
    check_proba,
    image_case,
    mask_of,
    random_planes,
    trained,
)
from cudahost.levels import LevelUnavailableError, open_engine
from sklearn.ensemble import RandomForestClassifier

from compdistort.backend.base import SegmentRule
from compdistort.backend.bitsliced import patience
from compdistort.backend.bitsliced.voter import voter_for
from compdistort.backend.device import forest as device_forest
from compdistort.backend.device import forest_pack, streaming
from compdistort.errors import ConfigError, DeviceMemoryError
from compdistort.features import FeatureSpec, build_bank
from compdistort.forest import flatten

RULE = SegmentRule(foreground=1)


def standin(**options):
    try:
        return open_engine("plain", **options)
    except LevelUnavailableError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("body", BODIES, ids=lambda body: body.__name__)
def test_votes_equal_the_definition(engine, body):
    body(engine)


@pytest.mark.parametrize("voter", VOTERS)
def test_slab_that_runs_out_of_memory_is_halved_with_the_same_mask(voter):
    image, _, forest, _ = case = image_case("2d")
    tested = np.unique(forest.feature).size - 1
    engine = standin(largest=4 * image.size * tested // 3)
    check_mask(engine, case, RULE, voter)
    assert engine.cuda.cp.get_default_memory_pool().freed >= 2


@pytest.mark.parametrize("voter", VOTERS)
def test_memory_for_no_slab_at_all_is_an_error_that_says_so(voter):
    image, bank, forest, _ = image_case("2d")
    tested = np.unique(forest.feature).size - 1
    row = np.ascontiguousarray(image[:1])
    engine = standin(largest=4 * row.size * tested - 1)
    with pytest.raises(DeviceMemoryError, match="too little free memory"):
        mask_of(engine, row, bank, forest, RULE, voter)


def test_next_slab_is_computed_before_the_last_one_is_voted_on(monkeypatch):
    log = []

    def watched(name, call):
        return lambda *arguments, **named: (log.append(name), call(*arguments, **named))[1]

    module = SimpleNamespace(**vars(device_forest._features))
    module.feature_slab = watched("features", module.feature_slab)
    monkeypatch.setattr(device_forest, "_features", module)
    monkeypatch.setattr(streaming.HostVotes, "_settle", watched("votes", streaming.HostVotes._settle))
    check_mask(standin(slab_bytes=16_000), image_case("3d"), RULE, "cpu")
    n_slabs = log.count("features")
    assert n_slabs > 2
    assert log == ["features", *["features", "votes"] * (n_slabs - 1), "votes"]


@pytest.mark.parametrize("early", [False, True], ids=["copies are late", "copies are early"])
def test_votes_do_not_depend_on_when_copies_are_done(monkeypatch, early):
    monkeypatch.setattr(standin_streams, "EARLY", early)
    engine = standin(slab_bytes=2000)
    check_mask(engine, image_case("weka"), RULE, "cpu")
    check_proba(engine, random_planes(bodies_forest.N_FEATURES, 300), trained("impure", 3)[0], "pieces", ("cpu",))


def test_chunks_on_several_cores_are_put_together_in_order(monkeypatch):
    monkeypatch.setattr(streaming, "CHUNK", 7)
    for name, n_classes in (("grown out", 2), ("impure", 3)):
        check_proba(
            standin(host_threads=5), random_planes(bodies_forest.N_FEATURES, 1700), trained(name, n_classes)[0], name
        )


@pytest.mark.parametrize("name", ["2d", "weka"])
def test_networks_vote_once_the_descents_have_cost_enough(monkeypatch, name):
    monkeypatch.setattr(patience, "COMPILE_AFTER_SECONDS", 0.0)
    case = image_case(name)
    assert voter_for(case[2], wait=True).compiled
    compiled, decide = [], streaming.HostVotes._decide

    def watched(votes, rows):
        compiled.append(votes._voter.compiled)
        return decide(votes, rows)

    monkeypatch.setattr(streaming.HostVotes, "_decide", watched)
    check_mask(standin(), case, RULE, "cpu")
    assert compiled
    assert all(compiled)


@pytest.mark.parametrize("tested", [1, 3, 28, 33])
def test_no_piece_is_larger_than_said(monkeypatch, tested):
    """Padding to whole units of votes is part of a piece: pinned memory is rounded up to powers of two."""
    monkeypatch.setattr(streaming, "PIECE_BYTES", 1 << 18)
    engine, asked = standin(), []
    pinned = engine.cuda.cp.cuda.alloc_pinned_memory
    monkeypatch.setattr(engine.cuda.cp.cuda, "alloc_pinned_memory", lambda n: asked.append(n) or pinned(n))
    rows = np.random.default_rng(1).normal(size=(200, tested)).astype(np.float32)
    grown = RandomForestClassifier(40, random_state=0, max_features=1).fit(rows, rows.sum(axis=1) > 0)
    check_proba(engine, random_planes(tested, 20_000), flatten(grown), "pieces", ("cpu",))
    assert len(asked) > 1 or 4 * tested * 20_480 <= 1 << 18
    assert max(asked) <= 1 << 18


def test_votes_that_fail_leave_no_copy_on_its_way(monkeypatch):
    streams = []
    keep = streaming.HostVotes.__init__

    def init(self, *arguments, **named):
        keep(self, *arguments, **named)
        streams.append(self._copies)

    def fail(_self, _features):
        raise ZeroDivisionError

    monkeypatch.setattr(streaming.HostVotes, "__init__", init)
    monkeypatch.setattr(streaming.HostVotes, "_decide", fail)
    image, bank, forest, _ = image_case("2d")
    with pytest.raises(ZeroDivisionError):
        mask_of(standin(slab_bytes=3000), image, bank, forest, RULE, "cpu")
    assert [len(stream._copies) for stream in streams] == [0]


def test_only_columns_that_the_forest_tests_are_computed(monkeypatch):
    _, bank, forest, _ = case = image_case("few")
    seen = []
    real = device_forest.narrow_bank
    monkeypatch.setattr(device_forest, "narrow_bank", lambda *a: seen.append(real(*a)) or seen[-1])
    engine = standin()
    check_mask(engine, case, RULE, "device")
    check_mask(engine, case, RULE, "device")
    assert len(seen) == 1
    assert seen[0].names == tuple(bank.names[k] for k in np.unique(forest.feature)[1:])
    assert len(seen[0].names) < len(bank.names)


def test_no_feature_of_an_integer_image_is_nan_or_infinite():
    """So NaN need not be looked for in them: the hardest edges there are, and the finest filters."""
    draw = np.random.default_rng(2)
    specs = [FeatureSpec(set="weka"), FeatureSpec(set="plain", sigmas=(0.5, 1.0)), FeatureSpec(set="ilastik")]
    edges = [np.indices((64, 65)).sum(axis=0) % 2, draw.random((64, 65)) < 0.5, np.arange(65) >= np.arange(64)[:, None]]
    for spec in specs:
        bank = build_bank(spec, 2)
        for edge in (*edges, np.zeros((64, 65)), np.ones((64, 65))):
            assert np.isfinite(PLAIN.feature_stack((65535 * edge).astype(np.uint16), bank)).all()


def test_foreground_beyond_the_classes_is_refused_as_by_the_cpu_engine():
    image, bank, forest, _ = image_case("2d")
    with pytest.raises(IndexError):
        mask_of(standin(), image, bank, forest, SegmentRule(foreground=2), "device")


@pytest.mark.parametrize(("n_nodes", "n_features"), [(2**21, 4097), (2**31 - 1, 3), (3, 12289)])
def test_forest_too_large_for_a_node_or_a_block_is_refused(n_nodes, n_features):
    forest = SimpleNamespace(root=np.zeros(1, np.int64), feature=SimpleNamespace(size=n_nodes), n_features=n_features)
    with pytest.raises(ConfigError, match="too large for the CUDA engine"):
        forest_pack._child_bits(forest)


@pytest.mark.parametrize(("n_nodes", "n_features"), [(2**21, 2048), (2**31 - 1, 2), (1, 1), (3, 12288)])
def test_largest_forests_fit(n_nodes, n_features):
    forest = SimpleNamespace(root=np.zeros(1, np.int64), feature=SimpleNamespace(size=n_nodes), n_features=n_features)
    bits = forest_pack._child_bits(forest)
    assert n_nodes - 1 < 2**bits
    assert n_features <= 2 ** (32 - bits)


@pytest.mark.parametrize("n_used", [1, 8, 24, 25, 70, 128, 384, 385, 12288])
def test_threads_of_a_block_hold_their_features(n_used):
    threads = forest_pack._threads(n_used)
    assert threads * n_used <= forest_pack.MAX_FLOATS
    assert 1 <= threads <= forest_pack.MAX_THREADS
    assert threads < 32 or threads % 32 == 0
