"""Bins: a forest on codes is scikit-learn's on the same codes, bit for bit, and what bins change is said."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier

from compdistort.backend import get_backend
from compdistort.backend.base import FeatureBins, SegmentRule
from compdistort.backend.plain.codes import bin_codes
from compdistort.cli import main
from compdistort.errors import ConfigError, InputError
from compdistort.features import FeatureSpec, build_bank, feature_names
from compdistort.forest import bins as binning
from compdistort.forest import flatten, from_sklearn, load_classifier, save_classifier, train_classifier
from compdistort.forest.bin_effect import Scenes, mask_effect
from compdistort.forest.bins import bin_problem, fit_bins
from compdistort.forest.grow import Recipe, grow
from compdistort.forest.rows import collect_rows
from compdistort.io.images import write_png, write_tiff
from compdistort.pipeline.classifier import UNMEASURED, bins_note
from compdistort.pipeline.demo_inputs import write_demo_inputs
from compdistort.pipeline.progress import Silence
from compdistort.pipeline.stopping import StopFlag
from compdistort.pipeline.study import check_study, run_study
from compdistort.segment import segment
from compdistort.store import StudyStore
from compdistort.study_file import load_config

SPEC = FeatureSpec(set="plain", sigmas=(0.7, 1.6))
NAMES = feature_names(SPEC)
SHAPE = (80, 90)
RULE = SegmentRule(foreground=1)
KINDS = ("uint8", "uint16")


def _scene(seed=0, debris=0, bright=900):
    draw = np.random.default_rng(seed)
    truth = ndimage.gaussian_filter(draw.normal(size=SHAPE), 4) > 0.04
    image = draw.poisson(np.where(truth, bright, 700)).astype(np.uint16)
    for y, x in draw.integers(4, 76, (debris, 2)):
        image[y - 2 : y + 3, x - 2 : x + 3] = 60000
    return image, truth


def _labels(truth, fraction=0.1, seed=1):
    return np.where(np.random.default_rng(seed).random(truth.shape) < fraction, 1 + truth, 0).astype(np.uint8)


@pytest.fixture(scope="module")
def engine():
    return get_backend("numba")


def _train(engine, kind, *, debris=0, **options):
    image, truth = _scene(debris=debris)
    return image, *train_classifier(image, _labels(truth), SPEC, "ilastik", 0, engine, bins=kind, **options)


def _on_codes(engine, image, kind):
    """Return codes of every pixel, and scikit-learn's own forest on those of the annotated ones."""
    labels = _labels(_scene()[1])
    rows = collect_rows([image], [labels], SPEC, engine, n_sample=1 << 16)
    fitted = fit_bins(kind, rows.sample, rows.features, NAMES)
    estimator, _ = grow(rows, Recipe(preset="ilastik", seed=0, balanced=True), fitted.maps, oob=False)
    planes = engine.feature_stack(image, build_bank(SPEC, 2)).reshape(len(NAMES), -1)
    return bin_codes(planes, fitted.maps), estimator


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("debris", [0, 6])
def test_masks_are_scikit_learns_on_the_same_codes(cpu_backend, engine, kind, debris):
    """Affine and piecewise-linear maps, on an image and on noise that reaches beyond the outer knots."""
    image, classifier, report = _train(engine, kind, debris=debris)
    assert bool(report.bins.piecewise_features) == (debris > 0 and kind == "uint8")
    codes, estimator = _on_codes(engine, image, kind)
    assert codes.dtype == kind
    expected = estimator.predict_proba(codes.T.astype(np.float32))[:, 1].reshape(SHAPE)
    found = segment(image, classifier, RULE, cpu_backend)
    assert np.array_equal(found.probability, expected)
    assert np.array_equal(found.mask, expected >= 0.5)
    wild = 1000 * np.random.default_rng(2).standard_cauchy((len(NAMES), 3000)).astype(np.float32)
    wild[:, :2] = [-np.inf, np.inf]
    expected = estimator.predict_proba(bin_codes(wild, classifier.forest.bins).T.astype(np.float32))
    assert np.array_equal(cpu_backend.forest_proba(wild, classifier.forest), expected.T)


def test_other_maps_give_other_masks(engine):
    """Negative control of the test above: the same forest of codes behind maps that are shifted by one code."""
    image, classifier, _ = _train(engine, "uint8")
    codes, estimator = _on_codes(engine, image, "uint8")
    bins = classifier.forest.bins
    step = (bins.knot[:, 1:] - bins.knot[:, :1]) / np.float32(255)
    moved = from_sklearn(estimator, SPEC, bins=replace(bins, knot=bins.knot + step))
    expected = estimator.predict_proba(codes.T.astype(np.float32))[:, 1].reshape(SHAPE)
    assert not np.array_equal(segment(image, moved, RULE, engine).probability, expected)


@pytest.mark.parametrize("estimator", [RandomForestClassifier(9, random_state=0), ExtraTreesClassifier(9)])
@pytest.mark.parametrize("kind", KINDS)
def test_import_of_a_forest_on_codes(cpu_backend, tmp_path, estimator, kind):
    rows = np.random.default_rng(0).normal(size=(500, len(NAMES))).astype(np.float32)
    maps = fit_bins(kind, rows, rows, NAMES).maps
    codes = bin_codes(rows.T.copy(), maps).T
    estimator.fit(codes, 1 + (rows[:, 0] + rows[:, 1] > 0.2))
    classifier = from_sklearn(estimator, SPEC, bins=maps)
    save_classifier(tmp_path / "m.npz", classifier)
    loaded = load_classifier(tmp_path / "m.npz")
    planes = np.random.default_rng(1).normal(size=(len(NAMES), 2000)).astype(np.float32)
    expected = estimator.predict_proba(bin_codes(planes, maps).T).T
    for each in (classifier, loaded):
        assert np.array_equal(cpu_backend.forest_proba(planes, each.forest), expected)
    assert bins_note(loaded) == (UNMEASURED,)
    assert bins_note(from_sklearn(estimator, SPEC)) == ()


def test_import_refuses_maps_that_do_not_fit():
    rows = np.random.default_rng(0).normal(size=(300, len(NAMES))).astype(np.float32)
    wide, narrow = (fit_bins(kind, rows, rows, NAMES).maps for kind in ("uint16", "uint8"))
    estimator = RandomForestClassifier(3, random_state=0).fit(bin_codes(rows.T.copy(), wide).T, rows[:, 0] > 0)
    with pytest.raises(ConfigError, match="the largest code is 255; give the maps to codes that the forest was fitted"):
        from_sklearn(estimator, SPEC, bins=narrow)
    with pytest.raises(ConfigError, match=r"bins of shapes \(3, 2\) and \(3, 2\) for 8 features"):
        from_sklearn(estimator, SPEC, bins=replace(wide, knot=wide.knot[:3], level=wide.level[:3]))
    floats = RandomForestClassifier(3, random_state=0).fit(rows, rows[:, 0] > 0)
    with pytest.raises(ConfigError, match="bins start at 0"):
        from_sklearn(floats, SPEC, bins=narrow)


def _laws(n=4000):
    draw = np.random.default_rng(0)
    normal, tail = draw.normal(size=n), np.exp(2 * draw.normal(size=n))
    laws = (normal, draw.exponential(size=n), tail, -tail, draw.standard_t(1, n), np.full(n, 7.0), np.zeros(n))
    return np.column_stack([*laws, np.where(draw.random(n) < 0.9, 0, tail)]).astype(np.float32)


@pytest.mark.parametrize("kind", KINDS)
def test_maps_are_bent_where_codes_would_be_wasted(kind):
    values = _laws()
    fitted = fit_bins(kind, values, values, NAMES)
    again = fit_bins(kind, values.copy(), values.copy(), NAMES)
    assert np.array_equal(fitted.maps.knot, again.maps.knot)
    assert np.array_equal(fitted.maps.level, again.maps.level)
    assert bin_problem(fitted.maps, len(NAMES)) == ""
    assert {*fitted.affine, *fitted.piecewise} == set(NAMES)
    codes = bin_codes(values.T.copy(), fitted.maps)
    assert (codes.min(axis=1) == 0).all()
    assert (codes[:5].max(axis=1) == fitted.maps.top).all()
    spread = np.quantile(codes[:5], 0.75, axis=1) - np.quantile(codes[:5], 0.25, axis=1)
    assert (spread >= binning.FEWEST_CODES).all()
    if kind == "uint8":
        assert [name in fitted.piecewise for name in NAMES[:6]] == [False, False, True, True, True, False]
    else:
        assert fitted.maps.knot.shape[1] == (4 if fitted.piecewise else 2)


def test_without_bent_maps_the_codes_would_be_few(monkeypatch):
    """Negative control: the spread that the test above asks for is not there by affine maps alone."""
    monkeypatch.setattr(binning, "FEWEST_CODES", 0)
    values = _laws()
    fitted = fit_bins("uint8", values, values, NAMES)
    assert fitted.piecewise == ()
    codes = bin_codes(values.T.copy(), fitted.maps)[2:5]
    assert (np.quantile(codes, 0.75, axis=1) - np.quantile(codes, 0.25, axis=1) < 16).all()


def test_bent_maps_keep_dim_objects_beside_debris(engine, monkeypatch):
    """Two bright spots stretch affine maps until one code is wider than the contrast of the objects."""
    image, truth = _scene(debris=2, bright=800)
    errors, changed = [], []
    for fewest in (binning.FEWEST_CODES, 0):
        monkeypatch.setattr(binning, "FEWEST_CODES", fewest)
        _, report = train_classifier(image, _labels(truth), SPEC, "ilastik", 0, engine, bins="uint8")
        errors.append(report.oob_error)
        changed.append(report.bins.masks.changed_px)
    assert changed[0] < changed[1] / 5
    assert errors[0] < errors[1] / 2


def test_the_range_holds_all_annotated_values_and_nearly_all_others():
    draw = np.random.default_rng(0)
    sample = np.tile(draw.permutation(10_000).astype(np.float32)[:, None], 8)
    annotated = np.tile(np.array([[5000.0], [12_345.0]], np.float32), 8)
    knot = fit_bins("uint16", sample, annotated, NAMES).maps.knot
    assert knot[0].tolist() == [4.0, 12_345.0]
    annotated[1] = 6000
    assert fit_bins("uint16", sample, annotated, NAMES).maps.knot[0].tolist() == [4.0, 9995.0]


def test_features_that_are_not_finite_anywhere_are_refused(engine):
    image, truth = _scene()
    labels = _labels(truth)
    labels[30:50, 30:50] = 0
    broken = image.astype(np.float32)
    broken[40, 40] = np.inf
    train_classifier(broken, labels, SPEC, "ilastik", 0, engine)
    words = r"feature GS_s0\.7 is not finite on \d+ of 7200 pixels, so that bins cannot be chosen"
    with pytest.raises(InputError, match=words):
        train_classifier(broken, labels, SPEC, "ilastik", 0, engine, bins="uint8")


@pytest.mark.parametrize("kind", KINDS)
def test_the_report_says_what_bins_change(engine, kind):
    image, classifier, report = _train(engine, kind)
    truth = _scene()[1]
    floats = [train_classifier(image, _labels(truth), SPEC, "ilastik", seed, engine) for seed in (0, 1)]
    parts = [segment(image, each, RULE, engine) for each in (classifier, floats[0][0], floats[1][0])]
    found = report.bins.masks
    assert found.pixels == image.size
    assert [found.objects, found.objects_by_float, found.objects_by_other_seed] == [p.labels.max() for p in parts]
    assert [found.area_px, found.area_px_by_float, found.area_px_by_other_seed] == [p.mask.sum() for p in parts]
    assert found.changed_px == (parts[0].mask != parts[1].mask).sum()
    assert found.changed_px_between_seeds == (parts[1].mask != parts[2].mask).sum()
    dice = 2 * (parts[0].mask & parts[1].mask).sum() / (parts[0].mask.sum() + parts[1].mask.sum())
    assert found.overlap == pytest.approx(dice, rel=1e-12)
    assert report.bins.oob_error_by_float == floats[0][1].oob_error
    assert json.loads(json.dumps(classifier.training))["bins"] == classifier.training["bins"]
    assert classifier.training["bins"]["kind"] == kind


def test_a_float_forest_changes_nothing_against_itself(engine):
    """And coarse bins change something: the comparison can tell."""
    image, classifier, report = _train(engine, "none")
    assert report.bins is None
    assert "bins" not in classifier.training
    forest = classifier.forest
    scenes = Scenes(images=[image], spec=SPEC, rule=RULE, backend=engine)
    same = mask_effect((forest, forest, forest), scenes)
    assert (same.changed_px, same.overlap, same.changed_px_between_seeds) == (0, 1.0, 0)
    knot = np.tile(np.array([-1e6, 1e6], np.float32), (len(NAMES), 1))
    level = np.tile(np.array([0, 255], np.float32), (len(NAMES), 1))
    rows = collect_rows([image], [_labels(_scene()[1])], SPEC, engine)
    recipe = Recipe(preset="ilastik", seed=0, balanced=True)
    _, coarse = grow(rows, recipe, FeatureBins(top=255, knot=knot, level=level), oob=False)
    assert mask_effect((coarse, forest, forest), scenes).changed_px > 1000


def test_held_out_figures_are_those_of_the_forest_on_bins(engine):
    image, truth = _scene()
    everything = (1 + truth).astype(np.uint8)
    _, classifier, report = _train(engine, "uint8", held_out=everything)
    judged = _labels(truth) == 0
    right = (segment(image, classifier, RULE, engine).mask == truth)[judged]
    assert report.held_out.accuracy == pytest.approx(right.mean(), abs=2e-3)  # ties at 0.5 go to the first class there
    assert report.held_out.accuracy > 0.9
    assert report.oob_error < 0.1


def test_thresholds_of_a_float_forest_are_not_touched(engine):
    _, classifier, _ = _train(engine, "none")
    image, truth = _scene()
    rows = collect_rows([image], [_labels(truth)], SPEC, engine)
    estimator, _ = grow(rows, Recipe(preset="ilastik", seed=0, balanced=True), None, oob=False)
    assert np.array_equal(classifier.forest.threshold, flatten(estimator).threshold)
    assert classifier.forest.bins is None


class _Listener(Silence):
    def __init__(self):
        self.said = []

    def say(self, text):
        self.said.append(text)


def test_a_study_on_bins_says_so(tmp_path):
    """On stderr, in the report and in the methods; a study that loads the same model says the same."""
    write_demo_inputs(tmp_path, "spheres", size=96, n_replicates=2)
    words = ("compute.threads=1", "segmenter.preset=ilastik", "segmenter.bins=uint8")
    listener = _Listener()
    config = load_config(tmp_path / "study.toml", words)
    run_study(config, tmp_path / "a.cdist", progress=listener, stop=StopFlag())
    report = json.loads((tmp_path / "a.cdist" / "report" / "report.json").read_text())
    note = "the classifier works on bins: features rounded to uint8 before training"
    assert any(text.startswith(note) and "bins against float, training images" in text for text in listener.said)
    assert any(text.startswith(note.capitalize()) for text in report["problems"])
    masks = report["classifier"]["bins"]["masks"]
    assert masks["objects"] == len(StudyStore.open(tmp_path / "a.cdist").read("reference/objects"))
    page = (tmp_path / "a.cdist" / "report" / "index.html").read_text()
    assert "trained on sparse annotations, its features rounded to uint8 codes" in page
    (tmp_path / "model.npz").write_bytes((tmp_path / "a.cdist" / "model.npz").read_bytes())
    text = (tmp_path / "study.toml").read_text()
    start, end = text.index("[segmenter]"), text.index("[measure]")
    (tmp_path / "b.toml").write_text(text[:start] + '[segmenter]\nmodel = "model.npz"\n\n' + text[end:])
    other = _Listener()
    check_study(load_config(tmp_path / "b.toml"), other)
    assert [text for text in other.said if text.startswith(note)] == [t for t in listener.said if t.startswith(note)]


def test_a_study_without_bins_does_not_mention_them(tmp_path):
    write_demo_inputs(tmp_path, "spheres", size=96, n_replicates=2)
    listener = _Listener()
    found = check_study(load_config(tmp_path / "study.toml", ("segmenter.preset=ilastik",)), listener)
    assert "bins" not in found["classifier"]
    assert not any("bins" in text for text in listener.said)


@pytest.fixture
def files(tmp_path):
    image, truth = _scene()
    write_tiff(tmp_path / "raw.tif", image)
    write_png(tmp_path / "labels.png", _labels(truth))
    return tmp_path


def _run(files, capsys, *more):
    words = ("train", files / "raw.tif", "--labels", files / "labels.png", "--set", "plain", "--sigma", "0.7", "1.6")
    code = main([str(word) for word in (*words, "--preset", "ilastik", "-o", files / "m.npz", *more)])
    return code, capsys.readouterr()


def test_the_command_prints_the_effect(files, capsys):
    code, printed = _run(files, capsys, "--bins", "uint8")
    assert code == 0
    assert "works on bins: features rounded to uint8 before training, 8 by affine and 0 by piecewise" in printed.out
    assert "bins against float, training images:" in printed.out
    assert "two float forests of different seeds:" in printed.out
    assert load_classifier(files / "m.npz").forest.bins.top == 255
    code, printed = _run(files, capsys)
    assert code == 0
    assert "bins" not in printed.out
    assert load_classifier(files / "m.npz").forest.bins is None


def test_an_unknown_kind_is_refused(files, capsys):
    code, printed = _run(files, capsys, "--bins", "uint4")
    assert code == 2
    assert printed.err.strip().endswith("bins 'uint4' are unknown; use none, uint16 or uint8")
    assert not (files / "m.npz").exists()
