"""Scores of the features: a plain twin on whole images, the same bytes however they ran, what noise alone does."""

import csv
import doctest
import hashlib
import importlib
import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from compdistort import SensorModel, get_backend, noise_tables
from compdistort.codecs import build_codec
from compdistort.errors import ConfigError, InterruptedStudyError, StoreError
from compdistort.features import FeatureSpec, build_bank
from compdistort.features.reach import bank_reach, spans_around
from compdistort.io.images import write_tiff
from compdistort.pipeline.chain import Chain
from compdistort.pipeline.comparison import Reference
from compdistort.pipeline.objects import LabelledObjects
from compdistort.pipeline.operator_part import Part, frame_spec, part_of
from compdistort.pipeline.operator_scores import OPERATORS, RECORDED, commit_operators, read_operators
from compdistort.pipeline.progress import Silence
from compdistort.pipeline.reference import KEY
from compdistort.pipeline.stopping import StopFlag
from compdistort.pipeline.study import config_of, report_study, resume_study, run_study
from compdistort.pipeline.views import View
from compdistort.replicate import draw
from compdistort.rng import Stream
from compdistort.score.operators import RunningSpread, operator_scores
from compdistort.store import StudyStore
from compdistort.study_file import load_config, parse_config

SENSOR = SensorModel.scalar(offset_dn=100, gain_e_per_dn=0.5, read_noise_e=2.0)
SETS = {
    "weka": (FeatureSpec(set="weka"), (90, 84)),
    "ilastik": (FeatureSpec(set="ilastik"), (90, 84)),
    "fast": (FeatureSpec(set="fast", sigmas=(1.0, 3.5)), (91, 83)),
    "volume": (
        FeatureSpec(set="ilastik", pairs=(("GS", 1.0), ("ST1", 1.6), ("LoG", 1.0), ("HE2", 3.5)), planar=(3.5,)),
        (23, 50, 46),
    ),
    "fast volume": (FeatureSpec(set="fast", sigmas=(1.0, 3.5)), (31, 50, 46)),
}
STUDY = """
schema_version = 1
[input]
raw = "raw.tif"
[calibration]
offset_dn = 100.0
gain_e_per_dn = 0.5
read_noise_e = 2.0
[noise]
replicates = 4
[segmenter]
preset = "ilastik"
set = "ilastik"
sigma = [1.0, 1.6]
threshold_annotation = { background_below_dn = 280, foreground_above_dn = 1000, pixels_per_class = 100 }
[[codec]]
id = "identity"
[[codec]]
id = "bit-depth"
inverse = "shift"
[compute]
threads = 1
block = 2
"""


def _scene(shape):
    """Return a raw image of bright blobs (DN), and their labels."""
    at = np.indices(shape).astype(float)
    bright = np.zeros(shape)
    for index, place in enumerate(((0.3, 0.3), (0.6, 0.35), (0.5, 0.75))):
        centre = [0.5 * n if axis == len(shape) - 3 else 0.0 for axis, n in enumerate(shape)]
        centre[-2:] = [part * n for part, n in zip(place, shape[-2:], strict=True)]
        away = sum((axis - c) ** 2 for axis, c in zip(at, centre, strict=True))
        bright = np.maximum(bright, (index + 1) * (away < 30))
    noise = np.random.Generator(np.random.Philox([int(Stream.SCENE), 11])).normal(0, 30, shape)
    raw = np.clip(300 + 1200 * (bright > 0) + noise, 0, 65535).astype(np.uint16)
    return raw, bright.astype(np.int32)


def _chain(raw, spec, backend, noise=None):
    """Return a chain that has what features need, and nothing else."""
    unused = dict.fromkeys(("sensor", "bank", "rule", "measurands", "voxel_um", "on_device"))
    classifier = SimpleNamespace(features=spec)
    return Chain(raw=raw, noise=noise, key=(0, 0), classifier=classifier, backend=backend, **unused)


@pytest.mark.parametrize("engine", ["numpy", "numba"])
@pytest.mark.parametrize("name", SETS)
def test_a_part_has_the_features_of_the_whole_image_to_the_bit(name, engine):
    spec, shape = SETS[name]
    raw, _ = _scene(shape)
    backend = get_backend(engine)
    chain = _chain(raw, spec, backend)
    whole = backend.to_host(backend.feature_stack(backend.to_device(raw), build_bank(spec, raw.ndim, shape)))
    rows, columns = shape[-2:]
    for spans in (((40, 47), (33, 45)), ((0, 5), (columns - 4, columns)), ((rows - 1, rows), (0, 3))):
        inside = spans if raw.ndim == 2 else ((11, 12), *spans)
        part = Part(spec, shape, inside)
        found = part.features(chain.part(part.around), backend)
        wanted = whole[(..., *(slice(*span) for span in inside))].reshape(found.shape)
        np.testing.assert_array_equal(found, wanted)


def test_less_than_the_reach_gives_other_features():
    """Negative control of the reach: without what the filters see, the part differs."""
    spec, shape = SETS["ilastik"]
    raw, _ = _scene(shape)
    backend, bank = get_backend("numpy"), build_bank(spec, 2, shape)
    whole = backend.feature_stack(raw, bank)
    (top, bottom), (left, right) = spans_around(((44, 46), (40, 42)), shape, bank)
    assert (top, left) == (44 - bank_reach(bank)[1], 40 - bank_reach(bank)[1])
    cut = backend.feature_stack(np.ascontiguousarray(raw[top + 9 : bottom, left:right]), bank)
    assert (cut[:, 44 - top - 9, 40 - left] != whole[:, 44, 40]).any()


def _committed(folder, spec, shape, engine, n=5, side=11):
    """Run the step alone, of an image and two codecs; return what the report would get, the image and the part."""
    raw, labels = _scene(shape)
    backend = get_backend(engine)
    tables = noise_tables(SENSOR, "poisson-gaussian", shape)
    chain = _chain(raw, spec, backend, tables)
    codecs = {
        name: build_codec(settings).prepare(raw)
        for name, settings in (("identity", {"id": "identity"}), ("8-bit", {"id": "bit-depth", "inverse": "shift"}))
    }
    plane = 11 if raw.ndim == 3 else None
    store = StudyStore.create(folder, {})
    config = parse_config(
        {
            "schema_version": 1, "input": {"raw": "a"}, "calibration": {"estimate": True}, "segmenter": {"model": "m"},
            "codec": [{"id": "identity"}], "noise": {"replicates": 50, "seed": 3},
            "operators": {"scores": True, "replicates": n, "side": side},
        },
        "x",
    )  # fmt: skip
    objects = LabelledObjects(labels=labels, values=np.empty((0, 1)))
    reference = Reference(objects=objects, radius=3.0, one_to_one=True, codecs=codecs)
    store.commit(
        KEY,
        [store.write_whole("reference/labels", labels)],
        {"image": {"plane": plane}, "codecs": dict.fromkeys(codecs, 0)},
    )
    commit_operators(chain, reference, store, config, StopFlag(), Silence())
    return read_operators(store, config), raw, codecs, part_of(objects.shown(View(plane)), View(plane), side)


@pytest.mark.parametrize("name", ["weka", "ilastik", "volume"])
def test_scores_are_those_of_a_plain_twin_on_whole_images(name, tmp_path):
    spec, shape = SETS[name]
    view, raw, codecs, spans = _committed(tmp_path / "a.cdist", spec, shape, "numba")
    backend, bank = get_backend("numpy"), build_bank(spec, raw.ndim, shape)
    inside = (slice(None), *(slice(*span) for span in spans))

    def features(image):
        return backend.feature_stack(np.ascontiguousarray(image), bank)[inside].astype(np.float64)

    drawn = draw(raw, noise_tables(SENSOR, "poisson-gaussian", shape), backend, 3, range(5))
    spread = np.std([features(one) for one in drawn], axis=0, ddof=1)
    assert view.names == bank.names
    assert (view.rows, view.columns) == spans[-2:]
    assert view.n_replicates == 5
    pixels = tuple(range(1, spread.ndim))
    for codec, found in zip(codecs.values(), view.codecs, strict=True):
        difference = features(raw) - features(codec.apply(raw).decoded)
        scores = np.divide(difference, spread, out=np.full(spread.shape, np.nan), where=spread > 0)
        # Welford and two passes round differently: a few units in the last place of float64, more where s is small.
        np.testing.assert_allclose(found.mean, np.nanmean(scores, pixels), rtol=1e-8, atol=1e-9)
        np.testing.assert_allclose(found.rms, np.sqrt(np.nanmean(scores**2, pixels)), rtol=1e-8)
        np.testing.assert_allclose(found.deviation, np.nanstd(scores, pixels), rtol=1e-8, atol=1e-9)
        assert found.left_out.tolist() == np.isnan(scores).sum(pixels).tolist()
        assert found.worst == int(np.argmax(found.rms))
        shown = scores[found.worst].reshape(found.worst_scores.shape)
        np.testing.assert_allclose(found.worst_scores, shown, rtol=1e-8)
    identity, eight_bit = view.codecs
    assert not identity.rms.any()
    assert not identity.worst_scores.any()
    assert eight_bit.rms.max() > 1  # the twin compares something


def test_a_frame_that_is_too_small_for_every_filter_has_no_scores_and_is_not_asked_again(tmp_path):
    spec = FeatureSpec(set="ilastik", sigmas=(10.0,))
    chain = _chain(_scene((30, 40))[0], spec, get_backend("numpy"))
    store = StudyStore.create(tmp_path / "a.cdist", {})
    store.commit(OPERATORS, [store.write_whole("operators/maps", np.zeros((1, 2, 2)))], {})
    config = parse_config(
        {
            "schema_version": 1, "input": {"raw": "a"}, "calibration": {"estimate": True}, "segmenter": {"model": "m"},
            "codec": [{"id": "identity"}], "operators": {"scores": True}, "step": [{"id": "divide-by-median"}],
        },
        "x",
    )  # fmt: skip
    with pytest.raises(StoreError, match="scores of the features are missing"):
        read_operators(store, config, RECORDED)
    commit_operators(chain, None, store, config, StopFlag(), Silence())
    assert store.has(RECORDED)
    assert read_operators(store, config, RECORDED) is None
    commit_operators(None, None, store, config, StopFlag(), Silence())  # nothing is left to do


def test_engines_give_the_same_bits(tmp_path):
    spec, shape = SETS["volume"]
    views = [_committed(tmp_path / f"{engine}.cdist", spec, shape, engine)[0] for engine in ("numpy", "numba")]
    for one, other in zip(*(view.codecs for view in views), strict=True):
        np.testing.assert_array_equal(one.rms, other.rms)
        np.testing.assert_array_equal(one.worst_scores, other.worst_scores)


def test_pixels_without_spread_are_left_out_and_counted():
    raw = np.array([[[3.0, 5.0, 7.0]], [[1.0, 1.0, 1.0]]], np.float32)
    found = operator_scores("c", raw, raw - 1, np.array([[[0.5, 0.0, 1.0]], [[0.0, 0.0, 0.0]]]))
    assert found.left_out.tolist() == [1, 3]
    np.testing.assert_array_equal(found.mean, [1.5, np.nan])
    assert found.worst == 0
    with pytest.raises(ValueError, match="at least 2"):
        RunningSpread((1,)).deviation()


def test_a_large_offset_does_not_cost_the_spread():
    values = 1e9 + np.random.default_rng(4).normal(0, 1, (50, 3))
    spread = RunningSpread((3,))
    for one in values:
        spread.add(one)
    np.testing.assert_allclose(spread.deviation(), values.std(axis=0, ddof=1), rtol=1e-6)
    naive = np.sqrt(np.abs((values**2).sum(0) - values.sum(0) ** 2 / 50) / 49)
    assert (np.abs(naive / values.std(axis=0, ddof=1) - 1) > 1e-2).any()  # sums of squares would cost it


def _further(sensor, raw, seed, replicates):
    return draw(raw, noise_tables(sensor, "poisson-gaussian", raw.shape), get_backend("numba"), seed, replicates)


def test_what_noise_alone_does_to_the_score():
    """A "codec" that only draws noise anew.

    n: 784 pixels of GS at 1 px (set plain, reach 4 px) on a flat image, 9 px apart, so independent; s over 60
    replicates. Null: the score's square is F(1, 59) if one side carries noise, twice that if both do. alpha = 0.001
    two-sided for its mean over pixels (normal), seed 7. Negative control: noise of twice the variance.
    """
    n, alpha, flat = 60, 0.001, np.full((256, 256), 2000, np.uint16)
    spec = FeatureSpec(set="plain", pairs=(("GS", 1.0),))
    part, backend = Part(spec, flat.shape, ((0, 256), (0, 256))), get_backend("numba")
    assert bank_reach(build_bank(spec, 2))[1] * 2 < 9

    def features(image):
        return part.features(image, backend)[:, 4:252:9, 4:252:9]

    drawn = _further(SENSOR, flat, 7, range(n + 2))
    spread = RunningSpread((1, 28, 28))
    for one in drawn[:n]:
        spread.add(features(one))
    law = stats.f(1, n - 1)
    half_width = stats.norm.isf(alpha / 2) * law.std() / np.sqrt(28 * 28)

    def mean_square(raw, compressed):
        return operator_scores("c", features(raw), features(compressed), spread.deviation()).rms[0] ** 2

    assert abs(mean_square(flat, drawn[n]) - law.mean()) < half_width
    assert abs(mean_square(drawn[n + 1], drawn[n]) / 2 - law.mean()) < half_width
    noisier = SensorModel.scalar(offset_dn=100, gain_e_per_dn=0.25, read_noise_e=2.0)
    assert mean_square(flat, _further(noisier, flat, 7, range(1))[0]) - law.mean() > 5 * half_width


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Folder with the files of a small study."""
    folder = tmp_path_factory.mktemp("inputs")
    write_tiff(folder / "raw.tif", _scene((64, 60))[0])
    (folder / "study.toml").write_text(STUDY)
    return folder


def _run(inputs, folder, *settings, progress=None, stop=None):
    config = load_config(inputs / "study.toml", settings)
    return run_study(config, folder, progress=progress or Silence(), stop=stop or StopFlag())


WANTED = ("operators.scores=true", "operators.side=20")


@pytest.fixture(scope="module")
def finished(inputs, tmp_path_factory):
    """A finished study with scores of the features."""
    return _run(inputs, tmp_path_factory.mktemp("finished") / "a.cdist", *WANTED)


def _digests(folder):
    files = [p for p in (folder / "data.zarr").rglob("*") if p.is_file()]
    files += [folder / "report" / "report.json", *(folder / "report" / "tables").glob("*.csv")]
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_page_table_and_twin_say_the_same(finished):
    report = finished.folder / "report"
    found = json.loads((report / "report.json").read_text())["operators"]
    assert len(found["features"]) == 8
    assert found["n_replicates"] == 4
    with (report / "tables" / "operators.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 16
    assert all(float(row["rms"]) == 0 for row in rows if row["codec"] == "identity")
    shift = [float(row["rms"]) for row in rows if row["codec"] == "bit-depth"]
    assert shift == found["codecs"]["bit-depth"]["rms"]
    assert max(shift) > 1
    page = finished.report.read_text()
    for words in ('id="operators"', "Map of the standard score of", "no feature changes", "from 4 replicates"):
        assert words in page
    assert "largest root mean square; all are in" not in page  # eight features all fit


class _StopInside(Silence):
    """Ask for a stop after the second replicate of the features' own loop."""

    def __init__(self, flag):
        self.flag, self.inside = flag, False

    def say(self, text):
        self.inside = self.inside or text.startswith("scores of 8 features")

    def advance(self, done):
        if self.inside and done == 2:
            self.flag.set("a test")


def test_a_stopped_study_resumes_to_the_same_bytes_with_other_threads(inputs, finished, tmp_path):
    folder, flag = tmp_path / "c.cdist", StopFlag()
    with pytest.raises(InterruptedStudyError):
        _run(inputs, folder, *WANTED, progress=_StopInside(flag), stop=flag)
    assert not (folder / "data.zarr" / "operators").exists()
    with pytest.raises(StoreError, match="scores of the features are missing; finish it with"):
        report_study(folder)
    resumed = resume_study(folder, progress=Silence(), stop=StopFlag(), threads=2)
    assert _digests(resumed.folder) == _digests(finished.folder)


def test_without_the_section_nothing_is_added(finished, tmp_path):
    folder = shutil.copytree(finished.folder, tmp_path / "d.cdist")
    document = json.loads((folder / "study.json").read_text())
    document["config"]["operators"] = {"scores": False}
    (folder / "study.json").write_text(json.dumps(document))
    empty = StudyStore.create(tmp_path / "e.cdist", {})
    commit_operators(None, None, empty, config_of(StudyStore.open(folder)), StopFlag(), Silence())
    assert not empty.keys()
    page = report_study(folder, tmp_path / "page").report
    assert 'id="operators"' not in page.read_text()
    assert "operators" not in json.loads((page.parent / "report.json").read_text())
    assert not (page.parent / "tables" / "operators.csv").exists()


def test_settings_that_would_do_nothing_are_refused(inputs):
    with pytest.raises(ConfigError, match="side does nothing without scores = true"):
        load_config(inputs / "study.toml", ("operators.side=20",))


def test_a_frame_has_the_operators_and_sigmas_that_fit_it():
    eigenvalues = FeatureSpec(set="plain", pairs=(("HE3", 1.0), ("HE2", 1.0), ("ST3", 1.6), ("GS", 5.0)), planar=(5.0,))
    assert frame_spec(eigenvalues, (90, 90)).pairs == (("HE2", 1.0), ("GS", 5.0))
    assert frame_spec(eigenvalues, (90, 90)).planar == ()
    whole = FeatureSpec(set="ilastik")
    assert frame_spec(whole, (36, 90)).columns == whole.columns
    assert {sigma for _, sigma in frame_spec(whole, (35, 90)).columns} == {0.3, 0.7, 1.0, 1.6, 3.5, 5.0}
    assert frame_spec(FeatureSpec(set="ilastik", sigmas=(10.0,)), (35, 90)) is None
    weka = FeatureSpec(set="weka")
    assert frame_spec(weka, (9, 9)) is weka


@pytest.mark.parametrize(
    "name", ["features.reach", "score.operators", "report.figures_operators", "pipeline.operator_part"]
)
def test_examples_hold(name):
    found = doctest.testmod(importlib.import_module(f"compdistort.{name}"))
    assert found.attempted > 0
    assert found.failed == 0
