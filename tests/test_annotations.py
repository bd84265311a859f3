"""Annotation files: every format, every way to be wrong, and what `train` and `segment` make of them."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from compdistort.backend import get_backend
from compdistort.cli import main
from compdistort.errors import AnnotationError, ConfigError, ImageFormatError, InputError
from compdistort.features import FeatureSpec, build_bank
from compdistort.forest import PRESETS, default_spec, holdout, load_classifier, train_classifier
from compdistort.forest.holdout import Annotated, split_blocks
from compdistort.io.annotations import read_annotations
from compdistort.io.images import read_image, write_image, write_ome_zarr, write_png, write_tiff

SPEC = FeatureSpec(set="plain", sigmas=(0.7, 1.6))
SHAPE = (80, 90)


def _scene(seed=0, shape=SHAPE):
    draw = np.random.default_rng(seed)
    truth = ndimage.gaussian_filter(draw.normal(size=shape), 4) > 0.04
    return draw.poisson(np.where(truth, 900, 500)).astype(np.uint16), truth


def _labels(truth, fraction=0.1, seed=1):
    return np.where(np.random.default_rng(seed).random(truth.shape) < fraction, 1 + truth, 0).astype(np.uint8)


@pytest.fixture(scope="module")
def engine():
    return get_backend("numba")


def _train(engine, image, labels, **options):
    return train_classifier(image, labels, SPEC, "ilastik", 0, engine, **options)


@pytest.mark.parametrize("name", ["a.tif", "a.png", "a.zarr", "a.npy"])
def test_every_format_gives_the_same_labels(tmp_path, name):
    labels = _labels(_scene()[1])
    path = tmp_path / name
    if name == "a.npy":
        np.save(path, labels.astype(np.int64))
    elif name == "a.zarr":
        write_ome_zarr(path, labels.astype(np.uint16))
    else:
        write_image(path, labels.astype(np.uint16))
    found = read_annotations(path, SHAPE)
    assert found.dtype == np.uint8
    assert np.array_equal(found, labels)


def test_crop_of_the_image_cuts_the_annotations(tmp_path):
    labels = _labels(_scene()[1])
    write_tiff(tmp_path / "a.tif", labels)
    crop = ((10, 50), (20, 80))
    assert np.array_equal(read_annotations(tmp_path / "a.tif", (40, 60), crop), labels[10:50, 20:80])
    write_tiff(tmp_path / "cut.tif", labels[10:50, 20:80])
    assert np.array_equal(read_annotations(tmp_path / "cut.tif", (40, 60), crop), labels[10:50, 20:80])


BAD_FILES = {
    "other shape": (np.ones((5, 6), np.uint8), AnnotationError, r"annotations are 5 x 6 pixels, the image is 80 x 90"),
    "label image": (np.full(SHAPE, 300, np.uint16), AnnotationError, "holds the value 300"),
    "fractions": (np.full(SHAPE, 0.5, np.float32), ImageFormatError, "a.tif"),
    "negative": (np.full(SHAPE, -1, np.int16), ImageFormatError, "a.tif"),
    "nothing": (np.zeros(SHAPE, np.uint8), AnnotationError, "no pixel is annotated"),
    "colour": (np.zeros((*SHAPE, 3), np.uint8), (AnnotationError, ImageFormatError), "a.tif"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_files_are_refused_by_name(tmp_path, name):
    array, error, words = BAD_FILES[name]
    path = tmp_path / "a.tif"
    write_tiff(path, array)
    with pytest.raises(error, match=words) as caught:
        read_annotations(path, SHAPE)
    assert str(path) in str(caught.value)


def test_the_same_seed_gives_the_same_forest_on_both_engines(engine):
    image, truth = _scene()
    labels = _labels(truth)
    one, report = _train(engine, image, labels)
    two, again = _train(get_backend("numpy"), image, labels)
    assert report == again
    assert all(
        np.array_equal(getattr(one.forest, n), getattr(two.forest, n)) for n in ("feature", "threshold", "left", "root")
    )
    other, _ = train_classifier(image, labels, SPEC, "ilastik", 1, engine)
    assert not np.array_equal(one.forest.threshold[:50], other.forest.threshold[:50])


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_are_the_papers(engine, preset):
    image, truth = _scene()
    found, report = train_classifier(image, _labels(truth), SPEC, preset, 0, engine)
    assert found.forest.n_trees == report.n_trees == {"weka": 200, "ilastik": 100}[preset]
    assert default_spec(preset).set == preset
    assert (found.class_values, found.foreground, found.foreground_value) == ((1, 2), 1, 2)


def test_a_good_classifier_is_called_good(engine):
    image, truth = _scene()
    _, report = _train(engine, image, _labels(truth))
    assert report.oob_error < 0.05
    assert report.held_out.accuracy > 0.95
    assert report.held_out.dice > 0.9
    assert set(report.held_out.recall) == {"class 1", "class 2"}
    assert "kept back" in report.held_out.source
    assert report.warnings == ()
    assert json.loads(json.dumps(report.to_dict())) == report.to_dict()


def test_a_bad_classifier_is_called_bad(engine):
    """Annotations at random: nothing can be learned, and both figures say so."""
    image, _ = _scene()
    draw = np.random.default_rng(3)
    labels = np.where(draw.random(SHAPE) < 0.1, draw.integers(1, 3, SHAPE), 0).astype(np.uint8)
    _, report = _train(engine, image, labels)
    assert report.oob_error > 0.35
    assert report.held_out.accuracy < 0.65
    assert any("out-of-bag error" in text for text in report.warnings)
    assert any("Dice" in text for text in report.warnings)


def test_held_out_squares_see_what_out_of_bag_misses(engine):
    """Strokes of random class on a smooth image: neighbours give a stroke away, other places do not."""
    draw = np.random.default_rng(5)
    image = (1000 + 300 * ndimage.gaussian_filter(draw.normal(size=(256, 256)), 12) * 40).astype(np.float32)
    labels = np.zeros(image.shape, np.uint8)
    for y in range(8, 256, 24):
        for x in range(8, 256, 24):
            labels[y : y + 4, x : x + 8] = draw.integers(1, 3)
    _, report = _train(engine, image, labels)
    assert report.oob_error < 0.2
    assert report.held_out.accuracy < 0.7


def test_given_held_out_annotations_are_judged_and_not_trained_on(engine):
    image, truth = _scene()
    labels = _labels(truth)
    everything = (1 + truth).astype(np.uint8)
    found, report = _train(engine, image, labels, held_out=everything)
    assert sum(report.held_out.n_pixels.values()) == truth.size - np.count_nonzero(labels)
    features = engine.feature_stack(image, build_bank(SPEC, 2))
    inside = engine.forest_proba(features, found.forest)[1] >= 0.5
    judged = labels == 0
    overlap = 2 * (inside & truth & judged).sum() / ((inside & judged).sum() + (truth & judged).sum())
    assert report.held_out.dice == pytest.approx(overlap, rel=1e-12)
    assert found.training["held_out"]["dice"] == report.held_out.dice


def test_the_final_forest_has_seen_all_annotations(engine):
    image, truth = _scene()
    labels = _labels(truth)
    split, report = _train(engine, image, labels)
    given, _ = _train(engine, image, labels, held_out=(1 + truth).astype(np.uint8))
    assert np.array_equal(split.forest.threshold, given.forest.threshold)
    assert sum(report.n_pixels.values()) == np.count_nonzero(labels)


def test_several_images_are_one_training_set(engine):
    pairs = [_scene(seed, shape) for seed, shape in ((0, (60, 64)), (1, (70, 50)))]
    labels = [_labels(truth) for _, truth in pairs]
    _, report = _train(engine, [image for image, _ in pairs], labels)
    assert sum(report.n_pixels.values()) == sum(np.count_nonzero(part) for part in labels)
    with pytest.raises(AnnotationError, match="1 annotations for 2 images"):
        _train(engine, [image for image, _ in pairs], labels[:1])


def test_three_classes_in_3d(engine):
    draw = np.random.default_rng(0)
    level = draw.integers(0, 3, (3, 4, 4)).repeat(4, 0).repeat(5, 1).repeat(5, 2)
    image = draw.poisson(300 + 400 * level).astype(np.uint16)
    labels = np.where(draw.random(level.shape) < 0.3, 3 * level + 1, 0).astype(np.uint8)
    found, report = _train(engine, image, labels, foreground=4, class_names=("dark", "grey", "bright"))
    assert (found.class_values, found.foreground, found.ndim) == ((1, 4, 7), 1, 3)
    assert report.foreground == "grey"


def test_balance_changes_the_forest(engine):
    """A rare class: scikit-learn draws its pixels for nearly every tree, and the report says what that leaves out."""
    image, truth = _scene()
    labels = _labels(truth)
    labels[truth & (np.random.default_rng(0).random(SHAPE) < 0.95)] = 0
    one, report = _train(engine, image, labels)
    assert any("pixels that every tree saw" in text for text in report.warnings)
    assert report.oob_error < 0.05
    two, other = _train(engine, image, labels, balanced=False)
    assert (report.balanced, other.balanced) == (True, False)
    assert not np.array_equal(one.forest.leaf_value, two.forest.leaf_value)


BAD_TRAINING = {
    "one class": (lambda t: np.ones(SHAPE, np.uint8), {}, AnnotationError, r"only one class is annotated \(value 1\)"),
    "nothing": (lambda t: np.zeros(SHAPE, np.uint8), {}, AnnotationError, "no pixel is annotated"),
    "shape": (lambda t: np.ones((3, 4), np.uint8), {}, AnnotationError, "are 3 x 4 pixels, the image is 80 x 90"),
    "value": (lambda t: np.full(SHAPE, 256), {}, AnnotationError, "hold the value 256"),
    "negative": (lambda t: np.full(SHAPE, -3), {}, AnnotationError, "hold the value -3"),
    "fractions": (lambda t: np.ones(SHAPE), {}, AnnotationError, "hold float64 values"),
    "few": (lambda t: np.pad([[1, 1, 2]], ((0, 79), (0, 87))), {}, AnnotationError, "only 1 annotated pixels"),
    "foreground": (_labels, {"foreground": 9}, ConfigError, "foreground value 9 is not annotated"),
    "names": (_labels, {"class_names": ("a",)}, ConfigError, "1 class names for 2"),
    "held out: value": (_labels, {"held_out": np.full(SHAPE, 7)}, AnnotationError, "value 7, which is not trained on"),
    "held out: none": (_labels, {"held_out": np.zeros(SHAPE, int)}, AnnotationError, "free of training annotations"),
    "held out: shape": (
        _labels,
        {"held_out": np.zeros((2, 2), int)},
        AnnotationError,
        "held-out annotations: are 2 x 2",
    ),
}


@pytest.mark.parametrize("name", BAD_TRAINING)
def test_bad_annotations_are_refused(engine, name):
    make, options, error, words = BAD_TRAINING[name]
    image, truth = _scene()
    with pytest.raises(error, match=words):
        _train(engine, image, make(truth), **options)


def test_unknown_preset_is_refused(engine):
    image, truth = _scene()
    with pytest.raises(ConfigError, match="forest preset 'x' is unknown; use weka or ilastik"):
        train_classifier(image, _labels(truth), SPEC, "x", 0, engine)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_features_that_are_not_finite_are_refused_by_name(engine, value):
    image, truth = _scene()
    broken = image.astype(np.float32)
    broken[40, 40] = value
    with pytest.raises(InputError, match=r"feature GS_s0\.7 is not finite on \d+ annotated pixels"):
        _train(engine, broken, np.ones(SHAPE, np.uint8) + truth)


def _annotated(labels):
    where = np.nonzero(labels)
    return Annotated(image=np.zeros(where[0].size, np.int64), place=np.column_stack(where), value=labels[where])


@pytest.mark.parametrize("seed", range(5))
def test_kept_back_pixels_are_never_near_trained_ones(seed):
    labels = _labels(_scene(seed, (200, 220))[1], 0.05, seed)
    split = split_blocks(_annotated(labels), seed)
    assert not (split.train & split.test).any()
    places = _annotated(labels).place
    distance = np.abs(places[split.train][:, None] - places[split.test][None]).max(axis=2)
    assert distance.min() > holdout.GAP_PX
    for value in (1, 2):
        of_class = labels[labels > 0] == value
        assert 0.1 <= (split.test & of_class).sum() / of_class.sum() <= 0.4


def test_annotations_in_one_spot_cannot_be_judged(engine):
    image, truth = _scene()
    labels = np.zeros(SHAPE, np.uint8)
    inside, outside = np.argwhere(truth)[:6], np.argwhere(~truth)[:6]
    labels[tuple(inside.T)], labels[tuple(outside.T)] = 2, 1
    _, report = _train(engine, image, labels)
    assert report.held_out is None
    assert "no held-out estimate" in report.warnings[0]


@pytest.fixture
def files(tmp_path):
    image, truth = _scene()
    write_tiff(tmp_path / "raw.tif", image)
    write_png(tmp_path / "labels.png", _labels(truth))
    write_tiff(tmp_path / "truth.tif", (1 + truth).astype(np.uint8))
    return tmp_path


def _run(capsys, *words):
    code = main([str(word) for word in words])
    return code, capsys.readouterr()


def _train_words(files, *more):
    options = ("--set", "plain", "--sigma", "0.7", "1.6", "--preset", "ilastik", "-o", files / "model.npz")
    return ("train", files / "raw.tif", "--labels", files / "labels.png", *options, *more)


def test_train_and_segment(files, capsys):
    code, printed = _run(capsys, *_train_words(files, "--held-out", files / "truth.tif"))
    assert code == 0
    assert "out-of-bag error" in printed.out
    assert "Dice " in printed.out
    mask, probability, labels = (files / name for name in ("mask.tif", "p.tif", "labels.tif"))
    words = ("segment", files / "raw.tif", "--model", files / "model.npz", "-o", mask, "--json")
    code, printed = _run(capsys, *words, "--probability", probability, "--labels-out", labels, "--min-size", "4")
    result = json.loads(printed.out)
    written = read_image(mask, kind="any")
    assert code == 0
    assert written.dtype == np.uint8
    assert set(np.unique(written)) == {0, 255}
    assert result["total_area_px"] == np.count_nonzero(written)
    found = read_image(labels, kind="labels")
    assert result["objects"] == found.max()
    assert np.array_equal(found > 0, written > 0)
    values = read_image(probability, kind="any")
    assert values.dtype == np.float32
    assert (values[written > 0] >= 0.5).all()


def test_train_json_is_the_report_in_the_model(files, capsys):
    code, printed = _run(capsys, *_train_words(files, "--json", "--foreground", "1"))
    result = json.loads(printed.out)
    classifier = load_classifier(files / "model.npz")
    assert code == 0
    assert classifier.foreground_value == result["foreground_value"] == 1
    assert classifier.training.items() <= result.items()
    assert classifier.features == SPEC


BAD_COMMANDS = {
    "strange threshold": (("--threshold", "2"), 2, "threshold is 2"),
    "strange size": (("--min-size", "0"), 2, "sizes are 0"),
    "strange connectivity": (("--connectivity", "6"), 2, "connectivity 6"),
    "strange smoothing": (("--smoothing", "-1"), 2, "smoothing is -1"),
}


@pytest.mark.parametrize("name", BAD_COMMANDS)
def test_segment_refuses_options_and_writes_nothing(files, capsys, name):
    more, expected, words = BAD_COMMANDS[name]
    assert _run(capsys, *_train_words(files))[0] == 0
    mask = files / "mask.tif"
    code, printed = _run(capsys, "segment", files / "raw.tif", "--model", files / "model.npz", "-o", mask, *more)
    assert code == expected
    assert words in printed.err
    assert not mask.exists()


def test_8_bit_pixels_are_refused_by_a_16_bit_classifier(files, capsys):
    assert _run(capsys, *_train_words(files))[0] == 0
    code, printed = _run(
        capsys, "segment", files / "truth.tif", "--model", files / "model.npz", "-o", files / "mask.tif"
    )
    assert code == 3
    assert "holds uint8 pixels, the classifier was trained on uint16 ones" in printed.err


def test_train_refuses_annotations_and_writes_nothing(files, capsys):
    write_tiff(files / "one.tif", np.ones(SHAPE, np.uint8))
    code, printed = _run(capsys, "train", files / "raw.tif", "--labels", files / "one.tif", "-o", files / "model.npz")
    assert code == 3
    assert "only one class is annotated" in printed.err
    assert not (files / "model.npz").exists()


@pytest.mark.data
def test_weka_preset_is_as_close_to_wekas_forests_as_they_are_to_each_other(engine, shared_oracle):
    """Mean of 8 seeds of the real FastRandomForest, which does not balance classes; bounds of the oracle's README."""
    folder = shared_oracle / "imagej"
    image = read_image(folder / "images" / "f1_phase16.tif")
    labels = read_annotations(folder / "images" / "f1_annotations.png", image.shape)
    expected = np.load(folder / "forest" / "f1_forest.npz")["prob_class1"].mean(axis=0)
    spec = default_spec("weka")
    found, _ = train_classifier(image, labels, spec, "weka", 0, engine, balanced=False)
    features = engine.feature_stack(image, build_bank(spec, 2, image.shape))
    probability = engine.forest_proba(features, found.forest)[0]
    assert np.abs(probability - expected).mean() <= 0.012
    assert ((probability >= 0.5) != (expected >= 0.5)).mean() <= 0.015


def test_outputs_of_segment_are_checked_together_before_any_is_written(files, capsys):
    assert _run(capsys, *_train_words(files))[0] == 0
    words = ["segment", str(files / "raw.tif"), "--model", str(files / "model.npz"), "-o", str(files / "mask.tif")]
    for more, code in (
        (["--probability", str(files / "p.png")], 2),
        (["--probability", str(files / "nowhere/p.tif")], 4),
        (["--probability", str(files / "mask.tif")], 2),
        (["--labels-out", str(files / "raw.tif")], 2),
        (["--labels-out", str(files / "l.jpg")], 2),
    ):
        assert main([*words, *more]) == code
        assert Path(more[1]).name in capsys.readouterr().err
        assert not (files / "mask.tif").exists()
