"""The fused engine: block by block, threads and voters leave no trace; NaN is refused; failures come out."""

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from sklearn.ensemble import RandomForestClassifier

from compdistort.backend import get_backend
from compdistort.backend.base import SegmentRule
from compdistort.backend.bitsliced import network, patience, program
from compdistort.backend.bitsliced.descent import Descent
from compdistort.backend.bitsliced.emit import modules
from compdistort.backend.bitsliced.voter import voter_for
from compdistort.backend.compiled import engine as engine_module
from compdistort.backend.compiled import fused
from compdistort.backend.compiled.bits import pack_mask, put_rows
from compdistort.backend.compiled.source import Pixels
from compdistort.backend.compiled.team import Team
from compdistort.errors import InputError
from compdistort.features import FeatureSpec, build_bank
from compdistort.forest import flatten
from compdistort.replicate import noise_tables
from compdistort.sensor.model import SensorModel

CASES = {
    "weka": (FeatureSpec(set="weka"), (97, 131)),
    "ilastik": (FeatureSpec(set="ilastik", sigmas=(0.3, 1.0, 3.5)), (150, 70)),
    "plain volume": (FeatureSpec(set="plain", sigmas=(0.7, 1.6)), (9, 45, 70)),
    "ilastik volume": (FeatureSpec(set="ilastik", sigmas=(0.3, 1.6)), (11, 40, 65)),
}
FAST = get_backend("numba", threads=2)
GROWN = {"grown out": {}, "leaves of 5": {"min_samples_leaf": 5}, "stumps": {"max_leaf_nodes": 2}}


def scene(name):
    spec, shape = CASES[name]
    draw = np.random.default_rng(1)
    truth = ndimage.gaussian_filter(draw.normal(size=shape), 2) > 0.03
    image = draw.poisson(300 + 400 * truth).astype(np.uint16)
    return image, truth, build_bank(spec, len(shape), shape)


def grow(image, truth, bank, **options):
    stack = get_backend("numpy").feature_stack(image, bank).reshape(len(bank.names), -1)
    chosen = np.random.default_rng(2).choice(truth.size, 500, replace=False)
    estimator = RandomForestClassifier(20, random_state=0, **options)
    return flatten(estimator.fit(stack[:, chosen].T, truth.ravel()[chosen]))


def rules(ndim):
    few, many = ((4, 8), (6, 26))[ndim - 2]
    return (
        SegmentRule(foreground=1, connectivity=many),
        SegmentRule(foreground=0, threshold=0.4, strict=True, smoothing_px=1.0, connectivity=few, min_size=3),
        SegmentRule(foreground=-1, connectivity=many, include_holes=True, exclude_border=True),
    )


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("grown", GROWN)
@pytest.mark.parametrize("wait", [None, True], ids=["descents", "networks"])
def test_objects_are_those_of_the_plain_engine(name, grown, wait):
    image, truth, bank = scene(name)
    forest = grow(image, truth, bank, **GROWN[grown])
    assert voter_for(forest, wait=wait).compiled == bool(wait)
    slow, fast = get_backend("numpy"), get_backend("numba", threads=2)
    for rule in rules(image.ndim):
        expected, found = (each.image_objects(image, bank, forest, rule) for each in (slow, fast))
        assert np.array_equal(found.labels, expected.labels)
        assert np.array_equal(found.values, expected.values, equal_nan=True)
    probability = [each.image_probability(image, bank, forest, 1) for each in (slow, fast)]
    assert np.array_equal(*probability)


def test_the_last_class_by_minus_one_has_the_votes_of_its_network(monkeypatch):
    image, truth, bank = scene("weka")
    forest = grow(image, truth, bank)
    assert voter_for(forest, wait=True).compiled
    monkeypatch.setattr(Descent, "mask_bits", None)  # nobody descends
    engine = get_backend("numba", threads=1)
    last, second = (engine.image_objects(image, bank, forest, SegmentRule(foreground=f)).labels for f in (-1, 1))
    assert np.array_equal(last, second)


@pytest.mark.parametrize("group", [256, 512])
def test_networks_whose_comparisons_have_words_of_their_own(group, monkeypatch, tmp_path):
    """What large binned forests get, on a small one: another network, the same masks, whatever registers there are."""
    monkeypatch.setenv("COMPDISTORT_CACHE", str(tmp_path))
    monkeypatch.setattr(network.Machine, "group", group)
    image, truth, bank = scene("ilastik")
    nothing_to_learn = np.random.default_rng(group).random(truth.shape) > 0.5
    forest, far = grow(image, nothing_to_learn, bank), []  # a large one
    expected = get_backend("numpy").image_objects(image, bank, forest, rules(2)[0])
    monkeypatch.setattr(program, "_NEAR", 0)
    monkeypatch.setattr(program, "_SHARED", 0)
    monkeypatch.setattr(network, "modules", lambda made, *a: far.append(made.far) or modules(made, *a))
    made = voter_for(forest, wait=True).networks[1]
    assert (made.group, far) == (network.WORD_FAR, [True])
    found = get_backend("numba", threads=1).image_objects(image, bank, forest, rules(2)[0])
    assert np.array_equal(found.labels, expected.labels)
    assert np.array_equal(found.values, expected.values, equal_nan=True)


@settings(max_examples=25, deadline=None)
@given(
    shape=st.one_of(
        st.tuples(st.integers(1, 70), st.integers(1, 150)), st.tuples(*[st.integers(1, 9)] * 2, st.integers(1, 80))
    ),
    name=st.sampled_from(["plain", "ilastik"]), seed=st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_images_of_any_shape(shape, name, seed):
    """Rows end anywhere in the packed votes of a block; masks, labels and tables are those of the plain engine."""
    draw = np.random.default_rng(seed)
    image = draw.integers(90, 1000, shape).astype(np.uint16)
    bank = build_bank(FeatureSpec(set=name, pairs=(("GS", 0.7), ("LoG", 1.0), ("GGM", 0.7))), len(shape))
    rows = draw.normal(300, 300, (60, 3)).astype(np.float32)
    forest = flatten(RandomForestClassifier(5, random_state=0).fit(rows, rows.sum(axis=1) > 900))
    rule = rules(image.ndim)[0]
    found, expected = (each.image_objects(image, bank, forest, rule) for each in (FAST, get_backend("numpy")))
    assert np.array_equal(found.labels, expected.labels)
    assert np.array_equal(found.values, expected.values, equal_nan=True)


@settings(max_examples=60, deadline=None)
@given(rows=st.integers(1, 9), columns=st.integers(1, 200), more=st.integers(0, 40), data=st.data())
def test_rows_of_bits_are_put_where_they_belong(rows, columns, more, data):
    """Against `numpy.packbits`; words and rows beside them stay as they are."""
    width, first, start = columns + more, data.draw(st.integers(0, 2)), data.draw(st.integers(0, 2))
    votes = np.random.default_rng(data.draw(st.integers(0, 99))).integers(0, 2, rows * width).astype(np.bool_)
    room = -(-votes.size // 64) + 1
    bits = np.zeros(8 * room, np.uint8)
    bits[: -(-votes.size // 8)] = np.packbits(votes, bitorder="little")
    words = -(-columns // 64)
    out = np.full((rows + 4, words + 4), 7, np.uint64)
    put_rows(bits.view(np.uint64), width, rows, columns, out, first, start)
    own = np.s_[first : first + rows, start : start + words]
    assert np.array_equal(out[own], pack_mask(votes.reshape(rows, width)[:, :columns]))
    out[own] = 7
    assert (out == 7).all()


@pytest.mark.parametrize("name", ["numpy", "numba"])
def test_other_byte_orders_and_images_without_pixels_are_refused(name):
    image, truth, bank = scene("ilastik")
    forest, engine, rule = grow(image, truth, bank), get_backend(name), SegmentRule(foreground=1)
    with pytest.raises(TypeError, match=">u2"):
        engine.image_objects(image.astype(">u2"), bank, forest, rule)
    for verb in (lambda x: engine.feature_stack(x, bank), lambda x: engine.image_objects(x, bank, forest, rule)):
        with pytest.raises(ValueError, match="no pixels"):
            verb(image[:0])


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_replicate_tables_are_the_same_on_any_number_of_threads(threads, monkeypatch):
    image, truth, bank = scene("ilastik")
    forest, noise = (
        grow(image, truth, bank),
        noise_tables(SensorModel.scalar(offset_dn=100, gain_e_per_dn=1, read_noise_e=2)),
    )
    arguments = (image, noise, (1, 2), bank, forest, rules(2)[0], range(3, 8))
    expected = get_backend("numpy").replicate_tables(*arguments)
    for large in (1, 1 << 40):
        monkeypatch.setattr(engine_module, "LARGE_BYTES", large)
        found = get_backend("numba", threads=threads).replicate_tables(*arguments)
        assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(found, expected, strict=True))


def test_another_threshold_is_noticed():
    """The negative control of this file: tables do differ where the decision does."""
    image, truth, bank = scene("ilastik")
    forest, engine = grow(image, truth, bank), get_backend("numba")
    first, second = (
        engine.image_objects(image, bank, forest, SegmentRule(foreground=1, threshold=level)).labels
        for level in (0.5, 0.6)
    )
    assert not np.array_equal(first > 0, second > 0)


@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning", "ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("bad", [np.nan, np.inf, 3e38])
def test_nan_features_are_refused_in_columns_that_no_tree_tests_too(bad):
    image, truth, bank = scene("ilastik")
    forest = grow(image, truth, bank, max_leaf_nodes=2, max_features=None)
    pixels = image.astype(np.float32)
    pixels[40:60, 30] = bad
    rule = SegmentRule(foreground=1)
    messages = []
    for name in ("numpy", "numba"):
        with pytest.raises(InputError, match="is NaN in") as raised:
            get_backend(name).image_objects(pixels, bank, forest, rule)
        messages.append(str(raised.value))
    assert messages[0] == messages[1]


def test_only_doubtful_images_cost_all_features():
    assert not fused.may_make_nan(Pixels(np.full((2, 2), 65535, np.uint16)))
    assert not fused.may_make_nan(Pixels(np.full((2, 2), -65535, np.float32)))
    assert fused.may_make_nan(Pixels(np.array([[0, np.nan]], np.float32)))
    assert fused.may_make_nan(Pixels(np.full((2, 2), 65536, np.float32)))


def test_a_forest_is_compiled_once_it_has_cost_enough(monkeypatch):
    image, truth, bank = scene("ilastik")
    forest, asked = grow(image, truth, bank, n_jobs=1), []
    monkeypatch.setattr(patience, "voter_for", lambda *a, **k: asked.append(k["wait"]) or voter_for(a[0], wait=None))
    votes, rule = fused.FusedVotes(bank, forest, image.shape, 1), rules(2)[0]
    for _ in range(2):
        votes.mask_bits(Pixels(image), rule, Team(1))
    monkeypatch.setattr(patience, "COMPILE_AFTER_SECONDS", 0.0)
    votes.mask_bits(Pixels(image), rule, Team(1))
    assert asked == [None, None, False]


def test_a_team_shares_and_never_exceeds_its_threads():
    team, seen, most = Team(3), [], []
    lock, at_work = threading.Lock(), [0]

    def work(left):
        with lock:
            at_work[0] += 1
            most.append(at_work[0])
        seen.extend(left)
        with lock:
            at_work[0] -= 1

    team.share(range(100), lambda outer: [team.share(range(10), work) for _ in outer])
    assert sorted(seen) == sorted(list(range(10)) * 100)
    assert max(most) <= 3


def test_who_is_nested_is_counted_once_so_that_one_piece_of_work_gets_all_threads():
    team, gate = Team(2), threading.Barrier(2, timeout=30)
    team.share([0], lambda outer: [team.share(range(2), lambda left: [gate.wait() for _ in left]) for _ in outer])


@pytest.mark.parametrize("where", [0, 57])
def test_what_a_worker_raises_comes_out_and_the_team_goes_on(where):
    team = Team(4)

    def work(left):
        for piece in left:
            if piece == where:
                raise InputError("bad piece", "none")

    with pytest.raises(InputError, match="bad piece"):
        team.share(range(100), work)
    done = []
    team.share(range(5), done.extend)
    assert sorted(done) == [0, 1, 2, 3, 4]
