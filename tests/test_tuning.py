"""Training from masks: how pixels are drawn, how threshold and smallest size are chosen, and who uses them."""

import json
from dataclasses import replace

import numpy as np
import pytest

from compdistort.backend import get_backend
from compdistort.backend.base import SegmentRule
from compdistort.cli import main
from compdistort.detection import DetectionScores, detection_scores
from compdistort.errors import AnnotationError, ConfigError, ModelFileError
from compdistort.features import FeatureSpec, build_bank
from compdistort.forest import decide, load_classifier, save_classifier
from compdistort.forest.from_masks import annotations_from_mask
from compdistort.forest.grow import Recipe, grow
from compdistort.forest.rows import collect_rows
from compdistort.io.images import read_image, write_tiff
from compdistort.measurands import volume_measurands
from compdistort.pipeline.classifier import obtain_classifier
from compdistort.pipeline.inputs import segment_rule
from compdistort.pipeline.progress import Silence
from compdistort.pipeline.training import SegmentOptions, segment_file, train_files
from compdistort.pipeline.training_inputs import TrainOptions
from compdistort.pipeline.tuning import Grid, choose, f1_of_grid, true_table, tune
from compdistort.study_file import parse_config
from compdistort.synthetic import NucleiLaw, SimulatedCamera, expose_frames, light_sheet

SHAPE = (12, 48, 56)
LAW = NucleiLaw(per_mm3=100_000, touching=0)
SPEC = FeatureSpec(set="ilastik", sigmas=(1.0, 1.6))
RECIPE = Recipe(preset="ilastik", seed=3, balanced=False, trees=12)
RULE = SegmentRule(foreground=1, connectivity=6)
SMALL = Grid(levels=(0.2, 0.5, 0.8), min_sizes=(1, 4, 12))


@pytest.fixture(scope="module")
def engine():
    return get_backend("numba")


@pytest.fixture(scope="module")
def volumes():
    """Three exposed scenes: images (DN), masks, annotations."""
    images, masks = [], []
    for seed in range(3):
        scene = light_sheet(SHAPE, seed=seed, law=LAW)
        images.append(np.stack(list(expose_frames(scene.frames(), SimulatedCamera(), seed))))
        masks.append(scene.truth_labels() > 0)
    return images, masks, _annotations(masks)


@pytest.fixture(scope="module")
def files(volumes, tmp_path_factory):
    folder = tmp_path_factory.mktemp("masks")
    for k, (image, mask) in enumerate(zip(*volumes[:2], strict=True)):
        write_tiff(folder / f"raw{k}.tif", image)
        write_tiff(folder / f"mask{k}.tif", mask.astype(np.uint8) * 255)
    return folder


@pytest.fixture(scope="module")
def model(files):
    """A tuned model of the first two scenes, made by the command line: (path, what was printed as JSON)."""
    words = ["train", *(str(files / f"raw{k}.tif") for k in (0, 1)), "--masks", *_masks(files, 0, 1), "--tune"]
    options = ["--samples", "6000", "--preset", "ilastik", "--sigma", "1.0", "1.6", "-o", str(files / "m.npz")]
    assert main([*words, *options]) == 0
    return files / "m.npz"


def _masks(folder, *numbers):
    return [str(folder / f"mask{k}.tif") for k in numbers]


def _annotations(masks, prior="natural"):
    return [annotations_from_mask(m, m.shape, 1, samples=5000, prior=prior, image=k) for k, m in enumerate(masks)]


def _table(*centres):
    """Return an object table of a volume with centres (plane, row, column)."""
    columns = volume_measurands().columns
    table = np.zeros((len(centres), len(columns)))
    table[:, [columns.index(name) for name in ("ZM", "YM", "XM")]] = np.reshape(centres, (-1, 3))
    table[:, columns.index("Volume")] = 1
    table[:, -1] = 1
    return table


def test_every_object_is_found_once():
    true = _table((5, 5, 5), (5, 5, 9), (20, 20, 20))
    found = _table((5, 5, 6), (5, 5, 5), (5, 5, 4), (20, 20, 23))
    scores = detection_scores(found, true, 3.0, volume_measurands())
    assert (scores.true_positives, scores.found, scores.true) == (3, 4, 3)
    assert (scores.precision, scores.recall, scores.f1) == (0.75, 1.0, 6 / 7)
    assert detection_scores(found, true, 2.9, volume_measurands()).true_positives == 1
    # A plane is 6 um thick: what is 3 columns away stays, what is one plane away is lost.
    anisotropic = volume_measurands((6.0, 1.0, 1.0))
    assert detection_scores(_table((5, 5, 8)), _table((5, 5, 5)), 3.0, anisotropic).f1 == 1
    assert detection_scores(_table((6, 5, 5)), _table((5, 5, 5)), 3.0, anisotropic).f1 == 0


@pytest.mark.parametrize(
    ("found", "true", "expected"),
    [(0, 0, (1, 1, 1)), (0, 3, (1, 0, 0)), (3, 0, (0, 1, 0))],
    ids=["nothing there, nothing found", "nothing found", "nothing there"],
)
def test_scores_without_objects(found, true, expected):
    scores = DetectionScores(true_positives=0, found=found, true=true)
    assert (scores.precision, scores.recall, scores.f1) == expected


def test_natural_prior_keeps_the_shares_of_the_classes():
    """n = 4000 of 60000 pixels, seeds 0 to 19. Null: object pixels are hypergeometric. Two-sided, alpha = 0.002 in all.

    The mask lies in one corner, so that a draw that is not spread over the image would fail; the balanced draw does.
    """
    mask = np.zeros((200, 300), bool)
    mask[:60, :50] = True
    share, n, size = mask.mean(), 4000, mask.size
    deviation = np.sqrt(n * share * (1 - share) * (size - n) / (size - 1))
    counts = {
        prior: [
            np.bincount(annotations_from_mask(mask, mask.shape, s, samples=n, prior=prior).ravel(), minlength=3)
            for s in range(20)
        ]
        for prior in ("natural", "balanced")
    }
    # Bonferroni over 20 seeds: 0.0001 a seed, 3.89 standard deviations.
    inside = {prior: [abs(c[2] - n * share) < 3.89 * deviation for c in found] for prior, found in counts.items()}
    assert all(inside["natural"])
    assert not any(inside["balanced"])
    assert all(c[1] + c[2] == n for c in counts["natural"])
    assert all(c.tolist() == [size - n, n // 2, n // 2] for c in counts["balanced"])


def test_a_draw_is_its_seed_and_never_wrong():
    mask = np.indices((60, 70)).sum(0) % 7 == 0
    one, again, other_seed, other_image = (
        annotations_from_mask(mask, mask.shape, seed, samples=500, image=image)
        for seed, image in ((4, 0), (4, 0), (5, 0), (4, 1))
    )
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other_seed)
    assert not np.array_equal(one, other_image)
    assert np.array_equal(one[one > 0] == 2, mask[one > 0])
    everything = annotations_from_mask(mask, mask.shape, 0, samples=10**6)
    assert np.array_equal(everything, mask + np.uint8(1))
    rare = annotations_from_mask(np.eye(40, dtype=bool), (40, 40), 0, samples=1000, prior="balanced")
    assert np.bincount(rare.ravel()).tolist() == [1520, 40, 40]


@pytest.mark.parametrize(
    ("mask", "options", "error", "words"),
    [
        (np.eye(8, 9, dtype=bool), {}, AnnotationError, "mask: is 8 x 9 pixels, the image is 8 x 8"),
        (np.zeros((8, 8), bool), {}, AnnotationError, "holds no object"),
        (np.ones((8, 8), bool), {}, AnnotationError, "is full"),
        (np.eye(8, dtype=bool), {"prior": "even"}, ConfigError, "prior 'even' does not exist"),
        (np.eye(8, dtype=bool), {"samples": 1}, ConfigError, "two classes"),
    ],
)
def test_masks_that_teach_nothing_are_named(mask, options, error, words):
    with pytest.raises(error, match=words):
        annotations_from_mask(mask, (8, 8), 0, **options)


def test_the_grid_is_the_segmentation_at_every_pair(cpu_backend, volumes):
    """Twin: labels made with each threshold and smallest size, measured, scored one by one."""
    images, masks, _ = volumes
    value = images[0] / images[0].max()
    true = true_table(masks[0], RULE, cpu_backend)
    grid = Grid(levels=(0.15, 0.3, 0.5), min_sizes=(1, 3, 9, 30))
    fast = f1_of_grid(value, true, grid, RULE, 3.0, cpu_backend)
    for i, level in enumerate(grid.levels):
        for j, least in enumerate(grid.min_sizes):
            rule = replace(RULE, threshold=level, min_size=least)
            found = cpu_backend.measure(cpu_backend.label(cpu_backend.threshold(value, rule), rule))
            assert fast[i, j] == detection_scores(found, true, 3.0, volume_measurands()).f1
    assert np.unique(fast).size > 4


def test_equal_pairs_go_to_the_higher_level_then_to_the_smaller_size():
    scores = np.zeros((2, 4, 3))
    assert choose(scores) == (3, 0)
    scores[:, 1:3, 1:] = 0.5
    assert choose(scores) == (2, 1)
    scores[0, 0, 2] = 1.0
    assert choose(scores) == (2, 1)
    scores[1, 0, 2] = 0.1
    assert choose(scores) == (0, 2)


def test_tuning_chooses_what_is_best_on_left_out_images(engine, volumes):
    """Twin: forests grown on rows of the other images alone, collected afresh."""
    images, masks, labels = volumes
    found = tune(images, masks, labels, SPEC, RECIPE, engine, grid=SMALL)
    scores = []
    for k, image in enumerate(images):
        others = [i for i in range(3) if i != k]
        rows = collect_rows([images[i] for i in others], [labels[i] for i in others], SPEC, engine)
        _, forest = grow(rows, RECIPE, None, oob=False)
        probability = engine.image_probability(image, build_bank(SPEC, 3, image.shape), forest, 1)
        scores.append(f1_of_grid(probability, true_table(masks[k], RULE, engine), SMALL, RULE, 3.0, engine))
    mean = np.mean(scores, axis=0)
    assert np.array_equal(found.mean_f1, mean)
    i, j = SMALL.levels.index(found.threshold), SMALL.min_sizes.index(found.min_size)
    assert mean[i, j] == mean.max() > 0.5 > mean.min()
    assert found.f1 == tuple(each[i, j] for each in scores)
    assert json.loads(json.dumps(found.to_dict()))["thresholds"] == [0.2, 0.5, 0.8]


def test_an_image_is_judged_by_forests_that_have_not_seen_it(engine, volumes):
    """Annotations of the first image turned round: its own score stays, those of the others fall."""
    images, masks, labels = volumes
    one_pair = Grid(levels=(0.5,), min_sizes=(4,))
    turned = [np.where(labels[0] > 0, 3 - labels[0], 0).astype(np.uint8), *labels[1:]]
    honest, misled = (tune(images, masks, each, SPEC, RECIPE, engine, grid=one_pair).f1 for each in (labels, turned))
    assert honest[0] == misled[0]
    assert all(bad < good - 0.1 for bad, good in zip(misled[1:], honest[1:], strict=True))


def test_one_image_is_cut_into_halves(engine, volumes):
    images, masks, labels = ([each[0]] for each in volumes)
    found = tune(images, masks, labels, SPEC, RECIPE, engine, grid=SMALL)
    parts = [[each[0][:, :, :28].copy(), each[0][:, :, 28:].copy()] for each in (images, masks, labels)]
    twin = tune(*parts, SPEC, RECIPE, engine, grid=SMALL)
    assert replace(found, source=twin.source) == twin
    assert "halves" in found.source


def test_bins_are_tuned_on_bins(engine, volumes):
    plain, coarse = (tune(*volumes, SPEC, RECIPE, engine, bins=bins, grid=SMALL) for bins in ("none", "uint8"))
    assert plain.mean_f1 != coarse.mean_f1
    assert np.abs(np.subtract(plain.mean_f1, coarse.mean_f1)).max() < 0.2


def test_tuning_that_cannot_be(engine, volumes):
    images, masks, labels = volumes
    with pytest.raises(ConfigError, match="radius is 0"):
        tune(images, masks, labels, SPEC, RECIPE, engine, radius=0)
    bare = [np.where(each == 2, 0, each).astype(np.uint8) for each in labels]
    with pytest.raises(AnnotationError, match="only one class"):
        tune(images, masks, [labels[0], *bare[1:]], SPEC, RECIPE, engine)


def test_the_model_file_keeps_the_pair_and_segment_uses_it(files, model, tmp_path):
    training = load_classifier(model).training
    tuning = training["tuning"]
    assert (training["balanced"], training["drawn"]) == (False, {"samples": 6000, "prior": "natural"})
    assert len(tuning["mean_f1"]) == len(tuning["thresholds"]) == 17
    assert min(tuning["f1"]) > 0.4
    pair = {"threshold": tuning["threshold"], "min_size": tuning["min_size"]}
    assert pair != {"threshold": 0.5, "min_size": 1}

    def run(name, **options):
        result = segment_file(files / "raw2.tif", model, tmp_path / f"{name}.tif", SegmentOptions(**options), "numba")
        return result, read_image(tmp_path / f"{name}.tif", kind="mask")

    (told, mask), (_, same), (own, other) = run("a"), run("b", **pair), run("c", threshold=0.5, min_size=1)
    assert np.array_equal(mask, same)
    assert not np.array_equal(mask, other)
    assert (told["threshold"], told["min_size"]) == tuple(pair.values())
    assert "as tuned in training" in told["tuned"]
    assert own["tuned"] == ""
    assert run("d", min_size=1)[0]["threshold"] == pair["threshold"]


def test_a_study_uses_the_pair_where_it_names_none(files, model):
    data = {
        "schema_version": 1,
        "input": {"raw": str(files / "raw2.tif")},
        "calibration": {"estimate": True},
        "segmenter": {"model": str(model)},
        "codec": [{"id": "identity"}],
    }
    image, backend = read_image(files / "raw2.tif"), get_backend("numba")

    def chosen(**sections):
        config = parse_config({**data, **sections}, "study.toml")
        trained = obtain_classifier(config, image, backend, Silence())
        rule = segment_rule(config, 1, 3, trained.classifier.training)
        return (rule.threshold, rule.min_size), trained

    tuning = load_classifier(model).training["tuning"]
    pair, trained = chosen()
    assert pair == (tuning["threshold"], tuning["min_size"])
    assert any("as tuned in training" in text for text in trained.warnings)
    assert "mean_f1" not in trained.report["tuning"]
    both = {"segmenter": {"model": str(model), "threshold": 0.25}, "measure": {"min_size": 7}}
    pair, trained = chosen(**both)
    assert pair == (0.25, 7)
    assert trained.warnings == ()


def test_a_study_draws_from_a_mask(files):
    data = {
        "schema_version": 1,
        "input": {"raw": str(files / "raw0.tif"), "crop": "0:12,0:48,0:40"},
        "calibration": {"estimate": True},
        "segmenter": {"mask": str(files / "mask0.tif"), "samples": 3000, "preset": "ilastik", "sigma": [1.0, 1.6]},
        "codec": [{"id": "identity"}],
    }
    image = read_image(files / "raw0.tif")[:, :, :40].copy()
    trained = obtain_classifier(parse_config(data, "study.toml"), image, get_backend("numba"), Silence())
    assert sum(trained.report["n_pixels"].values()) == 3000
    assert trained.report["n_pixels"]["object"] < 600
    assert trained.report["balanced"] is False
    assert "3000 pixels drawn of a mask by natural prior" in trained.report["label_source"]


def test_what_does_not_go_together_is_refused(files, tmp_path):
    raw, mask, out = [files / "raw0.tif"], [files / "mask0.tif"], tmp_path / "m.npz"
    cases = [
        ({"labels": mask}, TrainOptions(tune=True), "tuning needs every object"),
        ({"labels": mask}, TrainOptions(prior="balanced"), "samples and prior"),
        ({"labels": mask, "masks": mask}, TrainOptions(), "given together"),
        ({"labels": []}, TrainOptions(), "neither annotations nor masks"),
        ({"labels": [], "masks": mask * 2}, TrainOptions(), "2 masks for 1 images"),
        ({"labels": [], "masks": mask}, TrainOptions(foreground=2), "leave out --foreground"),
        ({"labels": [], "masks": mask}, TrainOptions(radius_px=2.0), "belongs to tuning"),
    ]
    for given, options, words in cases:
        with pytest.raises(ConfigError, match=words):
            train_files(raw, out=out, options=options, **given)
    write_tiff(tmp_path / "empty.tif", np.zeros(SHAPE, np.uint8))
    with pytest.raises(AnnotationError, match=r"empty\.tif.*no object"):
        train_files(raw, [], out, TrainOptions(), masks=[tmp_path / "empty.tif"])
    assert not out.exists()


@pytest.mark.parametrize(
    "pair",
    [{"threshold": 1.5, "min_size": 1}, {"threshold": 0.5, "min_size": 0}, {"threshold": 0.5}, {"threshold": "x"}],
)
def test_a_model_with_an_impossible_pair_is_refused(model, tmp_path, pair):
    classifier = load_classifier(model)
    save_classifier(tmp_path / "m.npz", replace(classifier, training={**classifier.training, "tuning": pair}))
    with pytest.raises(ModelFileError):
        load_classifier(tmp_path / "m.npz")


def test_untuned_classifiers_decide_as_ever():
    assert decide({}, None, None) == decide({}, 0.5, 1)
    tuned = {"tuning": {"threshold": 0.3, "min_size": 5}}
    assert "not 2" in decide(tuned, None, 2).note
    assert "not 0.6" in decide(tuned, 0.6, None).note


def test_the_command_line_says_what_was_tuned(files, model, capsys):
    words = ["segment", str(files / "raw2.tif"), "--model", str(model), "-o", str(files / "out.tif")]
    assert main(words) == 0
    assert "as tuned in training" in capsys.readouterr().out
    assert main([*words, "--threshold", "0.5", "--min-size", "1"]) == 0
    assert "tuned" not in capsys.readouterr().out
    one = ["train", str(files / "raw0.tif"), "--masks", *_masks(files, 0), "--tune", "--samples", "3000", "--json"]
    assert main([*one, "--set", "plain", "--sigma", "1.0", "-o", str(files / "one.npz")]) == 0
    assert "halves" in json.loads(capsys.readouterr().out)["tuning"]["source"]
    assert main(["train", str(files / "raw0.tif"), "-o", str(files / "one.npz")]) == 2
    assert "--labels or --masks" in capsys.readouterr().err
