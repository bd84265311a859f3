"""Trees in two phases: who is closed after the first would be decided alike by all trees, to the bit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier

from compdistort.backend.base import SegmentRule
from compdistort.backend.bitsliced import network as network_module
from compdistort.backend.bitsliced import network_voter
from compdistort.backend.bitsliced.network_voter import decide
from compdistort.backend.bitsliced.phases import Cut, Phase, first_end, phases
from compdistort.backend.bitsliced.voter import voter_for
from compdistort.backend.compiled.votes import add_votes, at_least, mark, settle, take_codes
from compdistort.forest.flatten import flatten

N_FEATURES, N_PIXELS = 6, 4096
LEVELS = (0.02, 0.2, 0.4, 0.5, 0.55, 0.8, 0.98)


@pytest.fixture(autouse=True, scope="module")
def own_cache(tmp_path_factory):
    """Nothing is read from, or left in, the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COMPDISTORT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def _grown(estimator, seed=0):
    draw = np.random.default_rng(seed)
    rows = draw.normal(size=(200, N_FEATURES)).astype(np.float32)
    labels = rows[:, 0] + rows[:, 1] * rows[:, 2] + 0.5 * draw.normal(size=200) > 0.3
    return flatten(estimator.fit(rows, labels))


def _network(forest, seed=1):
    """Return the network of the second class, and codes of pixels."""
    voter = voter_for(forest, wait=True, foreground=1)
    planes = np.random.default_rng(seed).normal(size=(N_FEATURES, N_PIXELS)).astype(np.float32)
    own = np.ascontiguousarray(planes[list(voter.used)])
    codes = np.empty(own.shape, voter.encoder.dtype)
    voter.encoder.encode(own, codes, np.zeros(len(own), np.int64))
    return voter.networks[1], codes


def _by_all_trees(network, codes, sure, possible):
    """The slow twin: marks, and pixels left open, from the counts of all trees."""
    totals = np.zeros(codes.shape[1], np.int64)
    add_votes(network.count(codes), totals)
    return totals >= sure, np.flatnonzero((totals >= possible) & (totals < sure))


def _differences(network, codes, level, strict=False):
    sure, possible = network.sum.needed(SegmentRule(foreground=1, threshold=level, strict=strict))
    bits = np.empty(codes.shape[1] // 64, np.uint64)
    left = decide(network, codes, sure, possible, bits)
    marked, open_ = _by_all_trees(network, codes, sure, possible)
    found = np.unpackbits(bits.view(np.uint8), bitorder="little").astype(bool)
    return int((found != marked).sum()) + len(set(left) ^ set(open_))


FORESTS = {
    "votes": RandomForestClassifier(40, random_state=0),
    "sums": RandomForestClassifier(40, min_samples_leaf=4, random_state=0),
    "extra trees": ExtraTreesClassifier(31, random_state=0),
    "two trees": RandomForestClassifier(2, random_state=0),
    "one tree": RandomForestClassifier(1, random_state=0),
}


@pytest.mark.parametrize("name", FORESTS)
def test_every_threshold_is_decided_as_by_all_trees(name):
    network, codes = _network(_grown(FORESTS[name]))
    for level in (*LEVELS, -1.0, 0.0, 1.0, 2.0, float("nan")):
        for strict in (False, True):
            assert _differences(network, codes, level, strict) == 0


@settings(max_examples=12, deadline=None)
@given(n_trees=st.integers(1, 60), leaf=st.integers(1, 6), seed=st.integers(0, 99), level=st.floats(0.01, 0.99))
def test_any_forest_is_decided_as_by_all_trees(n_trees, leaf, seed, level):
    estimator = RandomForestClassifier(n_trees, min_samples_leaf=leaf, max_leaf_nodes=12, random_state=seed)
    network, codes = _network(_grown(estimator, seed), seed)
    assert _differences(network, codes, level) == 0


@pytest.mark.parametrize("name", ["votes", "sums", "extra trees"])
def test_the_second_phase_sees_some_pixels_and_is_needed(name, monkeypatch):
    network, codes = _network(_grown(FORESTS[name]))
    sure, possible = network.sum.needed(SegmentRule(foreground=1, threshold=0.5))
    first, second = network.phases(sure, possible)
    seen = []
    monkeypatch.setattr(network_voter, "take_codes", lambda c, p, unit: seen.append(p.size) or take_codes(c, p, unit))
    assert _differences(network, codes, 0.5) == 0
    assert 0 < seen[0] < 0.7 * N_PIXELS
    # The control: whoever takes the pixels for closed that later trees could still change is wrong.
    short = [first._replace(left=first.left // 4), second]
    monkeypatch.setattr(network_module, "phases", lambda *_: short)
    assert _differences(network, codes, 0.5) > 0


@pytest.mark.parametrize("cost", [20, 300])
@pytest.mark.parametrize("name", ["votes", "sums"])
def test_phases_part_between_trees(name, cost, monkeypatch):
    """Also where trees are cut in parts that wait in memory: a phase has whole trees, and both together have all."""
    monkeypatch.setattr(network_module, "COST", cost)
    network, codes = _network(_grown(FORESTS[name], seed=cost))
    every = np.zeros(N_PIXELS, np.int64)
    add_votes(network.count(codes), every)
    functions, trees = network.cuts[-1]
    assert trees == 40
    assert any(cut.trees == first_end(40, network.sum.one) for cut in network.cuts)
    assert functions > 40 if cost == 20 else functions > 2
    for cut in network.cuts[:: max(1, len(network.cuts) // 5)]:
        both = np.zeros(N_PIXELS, np.int64)
        for phase in (Phase(0, cut.functions, 0), Phase(cut.functions, functions, 0)):
            part = np.zeros(N_PIXELS, np.int64)
            add_votes(network.count(codes, phase), part)
            most = cut.trees if phase.first == 0 else trees - cut.trees
            assert part.max() <= most * network.sum.one
            both += part
        assert np.array_equal(both, every)


@settings(deadline=None)
@given(
    sizes=st.lists(st.tuples(st.integers(1, 4), st.integers(1, 9)), min_size=1, max_size=12),
    one=st.sampled_from([1, 255]), share=st.floats(-0.5, 1.5),
)  # fmt: skip
def test_phases_have_every_function_once(sizes, one, share):
    cuts = tuple(Cut(*map(int, row)) for row in np.cumsum(sizes, axis=0))
    sure = round(share * one * cuts[-1].trees)
    found = phases(cuts, one, sure, sure)
    assert [phase.first for phase in found] == [0, *(phase.last for phase in found[:-1])]
    assert found[-1].last == cuts[-1].functions
    assert found[-1].left == 0
    for phase in found[:-1]:
        (trees,) = (cut.trees for cut in cuts if cut.functions == phase.last)
        assert phase.left == one * (cuts[-1].trees - trees)
        # Some pixels can be closed by then, on either side of the threshold.
        assert trees * one >= sure
        assert trees * one > one * cuts[-1].trees - sure


def test_a_threshold_off_the_middle_takes_a_longer_first_phase():
    cuts = tuple(Cut(k, 10 * k) for k in range(1, 11))
    ends = {sure: phases(cuts, 1, sure, sure)[0].last for sure in (20, 35, 50, 65, 80)}
    assert ends == {20: 10, 35: 8, 50: 7, 65: 8, 80: 10}
    assert first_end(100, 1) < first_end(100, 255)


@settings(deadline=None)
@given(
    n_planes=st.integers(1, 9), n_words=st.integers(1, 5), seed=st.integers(0, 2**32 - 1),
    sure=st.integers(-3, 600), gap=st.integers(0, 300),
)  # fmt: skip
def test_marks_and_settled_pixels_are_those_of_plain_numbers(n_planes, n_words, seed, sure, gap):
    draw = np.random.default_rng(seed)
    n, possible = 64 * n_words, sure - gap
    rounds = [draw.integers(0, 1 << n_planes, n) for _ in range(2)]
    planes = [
        np.stack([np.packbits(v >> k & 1, bitorder="little").view("<u8") for k in range(n_planes)]).astype(np.uint64)
        for v in rounds
    ]
    bits, alone = np.empty(n_words, np.uint64), np.empty(n_words, np.uint64)
    pixels, votes = mark(planes[0], sure, possible, bits)
    at_least(planes[0], sure, alone)
    assert np.array_equal(bits, alone)
    marked = np.unpackbits(bits.view(np.uint8), bitorder="little").astype(bool)
    assert np.array_equal(marked, rounds[0] >= sure)
    assert np.array_equal(pixels, np.flatnonzero((rounds[0] < sure) & (rounds[0] >= possible)))
    assert np.array_equal(votes, rounds[0][pixels])
    total = votes + rounds[1][: pixels.size]
    left, sums = settle(planes[1], pixels, votes, sure, possible + gap // 2, bits)
    marked[pixels[total >= sure]] = True
    assert np.array_equal(np.unpackbits(bits.view(np.uint8), bitorder="little").astype(bool), marked)
    is_open = (total < sure) & (total >= possible + gap // 2)
    assert np.array_equal(left, pixels[is_open])
    assert np.array_equal(sums, total[is_open])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("n", [0, 1, 512, 700])
def test_codes_of_open_pixels_lie_side_by_side(dtype, n):
    draw = np.random.default_rng(n)
    codes = draw.integers(0, np.iinfo(dtype).max, (3, 1024)).astype(dtype)
    pixels = np.sort(draw.choice(1024, n, replace=False))
    found = take_codes(codes, pixels, 512)
    assert found.dtype == dtype
    assert found.shape == (3, -(-n // 512) * 512)
    assert np.array_equal(found[:, :n], codes[:, pixels])
    assert not found[:, n:].any()
