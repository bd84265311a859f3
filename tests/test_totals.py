"""Totals at further thresholds and the load of an organ: a plain twin, exact zeros, verdicts, page, bad settings."""

import csv
import json
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from compdistort import get_backend
from compdistort.backend.base import MEASURE_COLUMNS, VOLUME_COLUMNS, SegmentRule
from compdistort.errors import ConfigError, InputError
from compdistort.io.images import write_tiff
from compdistort.measurands import PLANAR, Further, further_values, measurands_of, total_meaning, with_further
from compdistort.pipeline.blocks import array_names
from compdistort.pipeline.further import find_further, further_in, stored_totals
from compdistort.pipeline.outcome import Compression, Outcome, measured_in, score_store
from compdistort.pipeline.progress import Silence
from compdistort.pipeline.reference import KEY
from compdistort.pipeline.rows import RAW
from compdistort.pipeline.slab_chain import SlabChain
from compdistort.pipeline.stopping import StopFlag
from compdistort.pipeline.study import prepare, report_study, run_study
from compdistort.pipeline.verdicts import summarise
from compdistort.report.words import principal
from compdistort.rng import Stream
from compdistort.score.decision import TOLERABLE, UNDECIDED, verdict
from compdistort.store import StudyStore
from compdistort.study_file import load_config

SHAPE = (14, 44, 48)
PLANE = 7
SPOTS = ((5, 15, 16), (7, 28, 20), (8, 20, 32), (9, 30, 33))
LEVELS = (0.7, 0.3)
BACKGROUND, TISSUE, SPOT = 1, 2, 3
STUDY = """
schema_version = 1
title = "spots in tissue"
[input]
raw = "raw.tif"
[calibration]
offset_dn = 100.0
gain_e_per_dn = 0.5
read_noise_e = 2.0
[noise]
replicates = 5
[segmenter]
preset = "ilastik"
set = "ilastik"
sigma = [1.0, 1.6]
labels = "labels.tif"
foreground = 3
[measure]
min_size = 3
more_thresholds = [0.7, 0.3]
organ_excludes = 1
[[codec]]
id = "identity"
[[codec]]
id = "bit-depth"
inverse = "shift"
camera_bits = 12
[compute]
threads = 1
block = 2
"""


def _scene():
    """Return a raw volume (DN) of faint spots in tissue, and sparse annotations of the three classes."""
    z, y, x = np.indices(SHAPE)
    classes = np.full(SHAPE, BACKGROUND, np.uint8)
    classes[((z - 7) / 6.5) ** 2 + ((y - 22) / 17) ** 2 + ((x - 24) / 19) ** 2 <= 1] = TISSUE
    for number, (cz, cy, cx) in enumerate(SPOTS):
        classes[(z - cz) ** 2 + (y - cy) ** 2 + (x - cx) ** 2 <= (2.3 + 0.4 * number) ** 2] = SPOT
    electrons = ndimage.gaussian_filter(np.array([0.0, 20.0, 90.0, 170.0])[classes], 0.8)
    draw = np.random.Generator(np.random.Philox([int(Stream.SCENE), 17]))
    dn = 100.0 + (draw.poisson(electrons) + draw.normal(0, 2.0, SHAPE)) / 0.5
    annotated = draw.random(SHAPE) < np.array([0.0, 0.01, 0.02, 0.35])[classes]
    return np.clip(np.rint(dn), 0, 65535).astype(np.uint16), np.where(annotated, classes, 0).astype(np.uint8)


@pytest.fixture(scope="module", params=[3, 2], ids=["volume", "plane"])
def inputs(request, tmp_path_factory):
    """Folder with the files of a study."""
    folder = tmp_path_factory.mktemp("totals")
    raw, labels = _scene() if request.param == 3 else (part[PLANE] for part in _scene())
    write_tiff(folder / "raw.tif", raw)
    write_tiff(folder / "labels.tif", labels)
    (folder / "study.toml").write_text(STUDY)
    return folder


@pytest.fixture(scope="module")
def finished(inputs, tmp_path_factory):
    """A finished study without its page."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("compdistort.pipeline.study.report_store", _without_page)
        return _run(inputs, tmp_path_factory.mktemp("finished") / "a.cdist")


def _without_page(store, config):
    return Outcome(
        folder=store.folder,
        report=store.folder / "report",
        scores=score_store(store, config),
        measurands=measured_in(store),
        compression=(Compression(1.0, None, True),) * len(config.codec),
        sensor_estimated=False,
        warnings=(),
    )


def _config(inputs, *settings):
    return load_config(inputs / "study.toml", settings)


def _run(inputs, folder, *settings):
    return run_study(_config(inputs, *settings), folder, progress=Silence(), stop=StopFlag())


def _twin(chain, image):
    """Return the totals of an image in the plainest way: all probabilities, SciPy's labels, counts."""
    backend = get_backend("numpy")
    features = backend.feature_stack(np.ascontiguousarray(image), chain.bank)
    probability = backend.forest_proba(features, chain.classifier.forest)
    structure = np.ones((3, 3)) if image.ndim == 2 else ndimage.generate_binary_structure(3, 1)
    found, sizes = [], []
    for level in (0.5, *LEVELS):
        labels, _ = ndimage.label(probability[2] >= level, structure)
        kept = np.flatnonzero(np.bincount(labels.ravel())[1:] >= 3) + 1
        size = float(np.isin(labels, kept).sum())
        rank = np.zeros(labels.max() + 1, np.int32)
        rank[kept] = np.arange(1, kept.size + 1)
        surface = () if image.ndim == 2 else (PLAIN.parameters_of(backend.measure(rank[labels]))[:, 1].sum(),)
        found += [float(kept.size), size, *surface, size / kept.size]
        sizes.append(size)
    organ = float((probability[0] < 0.5).sum())
    return np.array([*found, organ, *(size / organ for size in sizes)])


PLAIN = measurands_of(3)


@pytest.mark.parametrize("engine", ["numpy", "numba"])
def test_totals_are_those_of_the_plain_twin(inputs, finished, engine):
    store = StudyStore.open(finished.folder)
    measurands = measured_in(store)
    prepared = prepare(_config(inputs, f"compute.device={engine}"), Silence())
    chain, codec = prepared.chain, prepared.codecs["bit-depth"]
    image = chain.raw
    wanted = _twin(chain, image)
    # Surfaces are sums of float64 over objects, whose order is another in the twin.
    np.testing.assert_allclose(stored_totals(store, "reference", measurands), wanted, rtol=1e-12)
    found = chain.find(chain.see(chain.on_device)).values
    assert find_further(chain, chain.on_device, found) == tuple(
        stored_totals(store, "reference", measurands)[len(measurands.table_totals) :]
    )
    np.testing.assert_allclose(
        stored_totals(store, "codecs/bit-depth", measurands), _twin(chain, codec.apply(image).decoded), rtol=1e-12
    )
    drawn = chain.backend.to_host(chain.replicate(3))
    for name, of_codec in ((RAW, drawn), ("bit-depth", codec.apply(drawn).decoded)):
        row = store.read(array_names(name)[1])[3, : len(wanted)]
        np.testing.assert_allclose(row, _twin(chain, of_codec), rtol=1e-12)
    size = wanted[1], wanted[len(measurands.table_totals) + 1], wanted[2 * len(measurands.table_totals) + 1]
    assert size[1] < size[0] < size[2]  # negative control: thresholds are told apart


def test_scores_hold_them_and_a_codec_without_loss_scores_exactly_zero(finished):
    identity, shift = finished.scores.codecs
    names = finished.measurands.total_names
    assert names[-4:] == ("organ", "load", "load@0.7", "load@0.3")
    of_identity = {q.name: q for q in identity.quantities}
    assert list(of_identity)[: len(names)] == list(names)
    for name in names:
        one = of_identity[name]
        assert (one.paper.value, one.expected.value) == (0.0, 0.0)
        assert one.raw == one.compressed
        assert one.uncertainty.value > 0 or name.partition("@")[0] == "N"
    assert identity.verdict == "tolerable"
    worst = {q.name: q.expected.value for q in shift.quantities}
    assert abs(worst["load"]) > 0  # negative control: a codec with loss does score
    assert 0.01 < of_identity["load@0.7"].raw < of_identity["load"].raw < of_identity["load@0.3"].raw < 0.2


def test_what_decides_is_in_the_summary(finished):
    deciding = {total.name for total in finished.measurands.totals if total.decides}
    quantities = finished.scores.codecs[0].quantities
    assert {q.name for q in quantities if q.kind == "total" and q.decides} == deciding
    size = finished.measurands.table_totals[1].name
    assert {"N@0.7", f"{size}@0.3", "load", "load@0.7"} <= deciding
    assert not {"organ", f"mean_{finished.measurands.size.lower()}@0.7"} & deciding
    said = summarise(finished)["codecs"][1]
    assert {name for name in said if name in finished.measurands.total_names} == deciding
    shown = {q.name for q in quantities if principal(q)}
    assert {"organ", "load", "N@0.7"} <= shown
    assert f"mean_{finished.measurands.size.lower()}@0.7" not in shown


@pytest.mark.parametrize("inputs", [2], indirect=True)
def test_the_page_its_twin_and_its_tables_name_them(finished, tmp_path):
    page = report_study(finished.folder, tmp_path / "report").report.read_text()
    for words in ("number of objects at threshold 0.7", "load (objects’ share of the organ)", "size of the organ"):
        assert words in page or words.replace("’", "&#39;") in page
    scores = json.loads((tmp_path / "report" / "report.json").read_text())
    assert {"N@0.7", "organ", "load", "load@0.3"} <= set(scores["total_uncertainty"])
    assert scores["total_uncertainty"]["load"]["value"] > 0
    for name in ("uncertainty", "scores"):
        rows = csv.reader((tmp_path / "report" / "tables" / f"{name}.csv").read_text("utf-8").splitlines())
        assert any("load@0.7" in row for row in rows)


def test_they_are_read_back_whoever_scores(inputs, finished):
    store = StudyStore.open(finished.folder)
    again = score_store(store, _config(inputs))
    assert again.total_uncertainty == finished.scores.total_uncertainty
    assert [codec.verdict for codec in again.codecs] == [codec.verdict for codec in finished.scores.codecs]
    assert further_in(store.facts(KEY)) == finished.measurands.further == Further(thresholds=LEVELS, organ_excludes=1)


def test_one_more_total_leaves_the_others_as_they_are(inputs, finished):
    store = StudyStore.open(finished.folder)
    whole = stored_totals(store, "reference", finished.measurands)
    names = finished.measurands.total_names
    for setting in ("measure.more_thresholds=[]", "measure.more_thresholds=[0.3]", "measure.organ_excludes=2"):
        chain = prepare(_config(inputs, setting), Silence()).chain
        found = chain.find(chain.see(chain.on_device)).values
        totals = chain.measurands.totals_of(found, find_further(chain, chain.on_device, found))
        of_name = dict(zip(chain.measurands.total_names, totals, strict=True))
        same = [name for name in of_name if "2" not in setting or name not in ("organ", "load", "load@0.7", "load@0.3")]
        assert [of_name[name] for name in same] == [whole[names.index(name)] for name in same]
        assert len(same) > 3
        assert (of_name["organ"] == whole[names.index("organ")]) == ("organ" not in setting)


def test_the_organ_is_smoothed_as_the_objects_are(inputs):
    chain = prepare(_config(inputs, "segmenter.smoothing_px=1.0"), Silence()).chain
    backend = chain.backend
    probability = backend.image_probability(chain.on_device, chain.bank, chain.classifier.forest, 0)
    further = find_further(chain, chain.on_device, chain.find(chain.on_device).values)
    organs = [
        chain.raw.size - int(backend.to_host(backend.threshold(probability, SegmentRule(foreground=0, **smooth))).sum())
        for smooth in ({"smoothing_px": 1.0}, {})
    ]
    assert further[-4] == organs[0] != organs[1]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("measure.more_thresholds=[0.5]", r"more_thresholds holds 0.5, which is the threshold of the study's objects"),
        ("measure.more_thresholds=[0.7, 0.7000000001]", r"threshold 0.7 is given twice"),
        ("measure.more_thresholds=[1.0]", r"measure.more_thresholds.0 = 1.0: .* less than 1"),
        ("measure.more_thresholds=[0.0]", r"measure.more_thresholds.0 = 0.0: .* greater than 0"),
        ("measure.more_thresholds=[nan]", r"measure.more_thresholds.0"),
        ("measure.more_thresholds=[0.1,0.11,0.12,0.13,0.14,0.15,0.16,0.17,0.18]", r"at most 8"),
        ("measure.organ_excludes=4", r"organ_excludes = 4 is no class of the classifier; .* \(classes: 1, 2, 3\)"),
        ("measure.organ_excludes=3", r"organ_excludes = 3 is the class of the objects"),
        ("measure.organ_excludes=0", r"measure.organ_excludes = 0"),
        ("measure.organ_excludes=256", r"measure.organ_excludes = 256"),
        ("measure.more_threshold=[0.7]", r"unknown key 'measure.more_threshold', did you mean"),
    ],
)
def test_wrong_settings_are_named_before_anything_is_written(inputs, tmp_path, setting, message):
    with pytest.raises(ConfigError, match=message):
        _run(inputs, tmp_path / "bad.cdist", setting)
    assert not (tmp_path / "bad.cdist").exists()


@pytest.mark.parametrize("ndim", [2, 3])
def test_names_kinds_and_units(ndim):
    base = measurands_of(ndim, None if ndim == 2 else (2.0, 0.5, 0.5))
    more = with_further(base, Further(thresholds=(0.7,), organ_excludes=1))
    assert more.totals[: len(base.totals)] == base.totals
    assert more.further.passes == 3
    assert base.further.passes == 1
    assert base.further_totals == ()
    organ, load = more.total("organ"), more.total("load")
    size = base.parameter(base.size)
    assert (organ.unit, organ.step, organ.decides) == (size.unit, size.step, False)
    assert (load.unit, load.step, load.decides) == ("1", 0.0, True)
    for total in base.totals:
        there = more.total(f"{total.name}@0.7")
        assert there == replace(total, name=there.name, meaning=f"{total.meaning} at threshold 0.7")
        assert total_meaning(there.name) == there.meaning


def _table(ndim, sizes):
    columns = MEASURE_COLUMNS if ndim == 2 else VOLUME_COLUMNS
    table = np.ones((len(sizes), len(columns)))
    table[:, columns.index("Area" if ndim == 2 else "Volume")] = sizes
    return table


@pytest.mark.parametrize("ndim", [2, 3])
def test_load_is_size_over_organ_and_nothing_without_an_organ(ndim):
    voxel = 1.0 if ndim == 2 else 0.5
    more = measurands_of(ndim, None if ndim == 2 else (2.0, 0.5, 0.5), Further(thresholds=(0.7,), organ_excludes=1))
    at = {name: k - len(more.table_totals) for k, name in enumerate(more.total_names)}

    def found(sizes, at_level, outside):
        return further_values(more, _table(ndim, sizes), [_table(ndim, at_level)], _table(ndim, outside), 1000)

    values = found([30, 10], [20], [400, 100, 100])
    assert values[at["organ"]] == 400 * voxel
    assert (values[at["load"]], values[at["load@0.7"]], values[at["N@0.7"]]) == (0.1, 0.05, 1)
    none = found([], [], [600])
    assert (none[at["load"]], none[at["load@0.7"]], none[at["N@0.7"]]) == (0, 0, 0)
    assert math.isnan(none[at[f"mean_{more.size.lower()}@0.7"]])
    nowhere = found([30], [20], [1000])
    assert nowhere[at["organ"]] == 0
    assert math.isnan(nowhere[at["load"]])
    assert found([30], [20], [])[at["load"]] == 0.03
    assert more.totals_of(_table(ndim, [30, 10]), values).size == len(more.totals)
    with pytest.raises(InputError, match=f"3 further totals were given; {len(values)} are predicted"):
        more.totals_of(_table(ndim, [30]), values[:3])


def test_a_load_that_does_not_exist_is_not_called_tolerable(finished):
    identity = finished.scores.codecs[0]
    assert verdict(identity.quantities, 1.0, 0.9, 1.0)[0] == TOLERABLE
    lost = replace(identity.quantities[0].expected, value=math.nan, low=math.nan, high=math.nan)
    changed = [
        replace(q, expected=lost, decision=UNDECIDED) if q.name == "load@0.7" else q for q in identity.quantities
    ]
    word, reasons = verdict(changed, 1.0, 0.9, 1.0)
    assert word == UNDECIDED
    assert reasons == ("load (objects' share of the organ) at threshold 0.7 has no score",)


def test_planes_keep_the_totals_that_they_had():
    assert with_further(PLANAR, Further()) == PLANAR


@pytest.mark.parametrize("inputs", [3], indirect=True)
def test_slab_by_slab_they_are_the_same(inputs, finished):
    prepared = prepare(_config(inputs, "compute.slab=5"), Silence())
    assert isinstance(prepared.chain, SlabChain)
    store = StudyStore.open(finished.folder)
    found = prepared.chain.find(prepared.chain.on_device).values
    further = find_further(prepared.chain, prepared.chain.on_device, found)
    assert further == tuple(store.read("reference/further"))
    drawn = prepared.chain.replicate(1)
    decoded = prepared.chain.decode(prepared.codecs["bit-depth"], prepared.chain.for_codecs(drawn))
    n = len(finished.measurands.table_totals)
    for name, image in ((RAW, drawn), ("bit-depth", decoded)):
        further = find_further(prepared.chain, image, prepared.chain.find(image).values)
        assert further == tuple(store.read(array_names(name)[1])[1, n : n + len(further)])
