"""Training on a volume that is read a few planes at a time: the same model file as in memory, and bounded reading."""

import dataclasses
from contextlib import closing

import h5py
import numpy as np
import pytest
import tifffile
from disk_reader import Reader
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from compdistort.backend import get_backend
from compdistort.backend.base import SegmentRule
from compdistort.errors import AnnotationError, ConfigError, ImageFormatError
from compdistort.features import FeatureSpec, build_bank
from compdistort.forest import holdout, rows_on_disk, save_classifier, train_classifier
from compdistort.forest.bin_effect import Scenes, mask_effect
from compdistort.forest.from_mask_planes import strokes_from_mask
from compdistort.forest.from_masks import annotations_from_mask
from compdistort.forest.rows import collect_rows
from compdistort.io.annotations import read_annotations, read_strokes
from compdistort.io.images import write_ome_zarr
from compdistort.io.strokes import Strokes
from compdistort.pipeline.classifier import obtain_classifier
from compdistort.pipeline.progress import Silence
from compdistort.pipeline.raw_volume import DiskVolume
from compdistort.study_file import parse_config

SHAPE = (32, 36, 40)
SPEC = FeatureSpec(set="ilastik", sigmas=(0.7, 1.6))
SETS = {
    "ilastik": SPEC,
    "tensors": FeatureSpec(set="plain", pairs=(("GS", 1.0), ("HE1", 1.6), ("ST2", 1.0))),
    "vigra": FeatureSpec(set="vigra", sigmas=(1.0, 1.6)),
    "planar": FeatureSpec(set="plain", sigmas=(0.7, 1.6), planar=(1.6,)),
    "fast": FeatureSpec(set="fast", pairs=(("GS", 3.5), ("LoG", 3.5), ("GGM", 1.0))),
}


@pytest.fixture(scope="module")
def engine():
    return get_backend("numba")


@pytest.fixture(scope="module")
def truth():
    draw = np.random.default_rng(2)
    return ndimage.gaussian_filter(draw.normal(size=SHAPE), 2.5) > 0.05


@pytest.fixture(scope="module")
def volume(truth):
    return np.random.default_rng(3).poisson(np.where(truth, 800, 450)).astype(np.uint16)


@pytest.fixture(scope="module")
def labels(truth):
    """Strokes in five planes."""
    drawn = np.zeros(SHAPE, np.uint8)
    for plane, row, column in ((1, 4, 2), (2, 20, 20), (16, 24, 5), (17, 5, 24), (31, 12, 10)):
        drawn[plane, row : row + 8, column : column + 9] = 1 + truth[plane, row : row + 8, column : column + 9]
    return drawn


# ---- strokes


@given(shape=st.lists(st.integers(1, 6), min_size=2, max_size=3), seed=st.integers(0, 99), share=st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_strokes_are_the_label_image(shape, seed, share):
    draw = np.random.default_rng(seed)
    labels = np.where(draw.random(shape) < share, draw.integers(1, 256, shape), 0).astype(np.uint8)
    strokes = Strokes.of(labels)
    np.testing.assert_array_equal(strokes.labels, labels)
    np.testing.assert_array_equal(strokes.place, np.argwhere(labels))
    assert strokes.value.tolist() == labels[labels > 0].tolist()
    chosen = draw.random(strokes.flat.size) < 0.5
    kept = strokes.take(chosen)
    assert (kept.shape, kept.flat.tolist()) == (labels.shape, strokes.flat[chosen].tolist())


def _written(folder, labels):
    """Write a label volume in every way that labels come in."""
    tifffile.imwrite(folder / "a.tif", labels)
    write_ome_zarr(folder / "a.zarr", labels.astype(np.uint16))
    np.save(folder / "a.npy", labels.astype(np.int64))
    with h5py.File(folder / "a.h5", "w") as file:
        file["labels"] = labels
    (folder / "planes").mkdir()
    for k, plane in enumerate(labels):
        tifffile.imwrite(folder / "planes" / f"p{k}.tif", plane)
    return [folder / name for name in ("a.tif", "a.zarr", "a.npy", "a.h5", "planes")]


def _same(strokes, labels):
    np.testing.assert_array_equal(strokes.labels, labels)
    assert strokes.flat.dtype == np.int64
    assert strokes.value.dtype == np.uint8


def test_annotations_of_volumes_are_read_plane_by_plane(tmp_path, labels):
    for path in _written(tmp_path, labels):
        _same(read_strokes(path, SHAPE), labels)
        for crop in (((2, 30), (5, 34), (0, 33)), ((5, 34), (0, 33))):
            part = labels[tuple(slice(*span) for span in ((0, 32), *crop)[-3:])]
            _same(read_strokes(path, part.shape, crop), part)
            if path.suffix != ".h5":
                np.testing.assert_array_equal(read_annotations(path, part.shape, crop), part)
    cut = labels[2:30, 5:34, :33].copy()
    tifffile.imwrite(tmp_path / "cut.tif", cut)
    _same(read_strokes(tmp_path / "cut.tif", cut.shape, ((2, 30), (5, 34), (0, 33))), cut)


BAD = {
    "other shape": (np.ones((3, 5, 6), np.uint8), AnnotationError, "annotations are 3 x 5 x 6 pixels, the image is"),
    "label image": (np.full(SHAPE, 300, np.uint16), AnnotationError, "holds the value 300"),
    "fractions": (np.full(SHAPE, 0.5, np.float32), ImageFormatError, "labels are whole numbers"),
    "negative": (np.full(SHAPE, -1, np.int16), ImageFormatError, "negative label"),
    "nothing": (np.zeros(SHAPE, np.uint8), AnnotationError, "no pixel is annotated"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_annotations_are_refused_as_in_memory(tmp_path, name):
    array, error, words = BAD[name]
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, array, photometric="minisblack")
    for read in (read_annotations, read_strokes):
        with pytest.raises(error, match=words) as caught:
            read(path, SHAPE)
        assert str(path) in str(caught.value)


def test_a_volume_that_is_annotated_everywhere_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("compdistort.io.annotations.MOST_STROKES", 20_000)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.ones(SHAPE, np.uint8))
    with pytest.raises(AnnotationError, match=r"a\.tif: more than 20000 voxels are annotated in planes 0 to 15"):
        read_strokes(path, SHAPE)


# ---- features of some voxels


@pytest.mark.parametrize("most_bytes", [1, 400_000, 1 << 30])
@pytest.mark.parametrize("name", SETS)
def test_rows_of_a_volume_on_disk_are_those_of_the_whole(volume, engine, name, most_bytes):
    bank = build_bank(SETS[name], 3, SHAPE)
    whole = engine.feature_stack(volume, bank).reshape(len(bank.names), -1)
    draw = np.random.default_rng(6)
    for n in (0, 1, 60) if most_bytes == 1 else (60, 5000):
        places = np.sort(draw.choice(volume.size, n, replace=False)).astype(np.int64)
        rows = rows_on_disk.rows_on_disk(Reader(volume), bank, places, engine, most_bytes)
        np.testing.assert_array_equal(rows, whole[:, places].T)


@pytest.mark.parametrize("name", ["ilastik", "planar"])
def test_rows_on_disk_are_the_same_on_every_engine(volume, backend, name):
    twin = get_backend("numpy")
    bank, small = build_bank(SETS[name], 3, SHAPE), np.ascontiguousarray(volume[:16, :20, :22])
    places = np.sort(np.random.default_rng(7).choice(small.size, 300, replace=False)).astype(np.int64)
    rows = rows_on_disk.rows_on_disk(Reader(small), bank, places, backend, 100_000)
    np.testing.assert_array_equal(rows, twin.feature_rows(small, bank, places))


def test_without_what_the_filters_see_around_rows_are_others(volume, engine, monkeypatch):
    """The test above can fail: parts without surroundings give other features."""
    bank, places = build_bank(SPEC, 3, SHAPE), np.arange(0, volume.size, 97)
    monkeypatch.setattr(rows_on_disk, "spans_around", lambda part, shape, bank: tuple(part))
    rows = rows_on_disk.rows_on_disk(Reader(volume), bank, places, engine, 400_000)
    assert (rows != engine.feature_rows(volume, bank, places)).any(axis=1).mean() > 0.2


def test_planes_far_from_any_stroke_are_not_read(volume, labels, engine):
    bank = build_bank(SPEC, 3, SHAPE)
    along = rows_on_disk.bank_reach(bank)[0]
    near = {p for z in (1, 2, 16, 17, 31) for p in range(max(0, z - along), min(SHAPE[0], z + along + 1))}
    reader = Reader(volume)
    rows_on_disk.rows_on_disk(reader, bank, np.flatnonzero(labels), engine)
    assert reader.planes_asked == sorted(near)
    assert len(near) < SHAPE[0]


def test_memory_bounds_the_planes_that_are_held(volume, engine):
    bank, places = build_bank(SPEC, 3, SHAPE), np.arange(0, volume.size, 11)
    along, plane = rows_on_disk.bank_reach(bank)[0], 2 * SHAPE[1] * SHAPE[2]
    assert 3 * along + 5 < SHAPE[0]
    for planes in (1, 3 * along + 5, 1000):
        reader = Reader(volume, most=max(planes, 3 * along))
        rows_on_disk.rows_on_disk(reader, bank, places, engine, 2 * planes * plane)
        assert set(reader.planes_asked) == set(range(SHAPE[0]))
    assert reader.asked == [(0, SHAPE[0])]


@given(
    planes=st.lists(st.integers(0, 200), unique=True, max_size=40),
    deepest=st.integers(1, 60),
    along=st.integers(0, 12),
)
@settings(max_examples=200, deadline=None)
def test_groups_hold_every_plane_once(planes, deepest, along):
    groups = list(rows_on_disk._groups(np.array(sorted(planes), np.int64), deepest, along))
    for plane in planes:
        assert sum(first <= plane < last for first, last in groups) == 1
    assert all(last - first <= deepest for first, last in groups)
    assert all(first in planes and last - 1 in planes for first, last in groups)


# ---- training


def _bytes(path, classifier):
    save_classifier(path, classifier)
    return path.read_bytes()


@pytest.mark.parametrize(
    ("name", "bins", "with_held_out"),
    [("ilastik", "none", False), ("ilastik", "uint8", True), ("fast", "uint16", False), ("planar", "none", True)],
)
def test_the_model_file_is_that_of_training_in_memory(
    volume, labels, truth, engine, tmp_path, name, bins, with_held_out
):
    held_out = np.zeros(SHAPE, np.uint8)
    held_out[25, 5:20, 5:30] = 1 + truth[25, 5:20, 5:30]
    held_out[16, 25:, :20] = 1 + truth[16, 25:, :20]  # partly trained on

    def train(image, drawn, judged, **options):
        return train_classifier(
            image,
            drawn,
            SETS[name],
            "ilastik",
            5,
            engine,
            bins=bins,
            held_out=judged if with_held_out else None,
            **options,
        )[0]

    whole = train(volume, labels, held_out)
    most = {"most_bytes": 300_000}
    sparse = train(Reader(volume), Strokes.of(labels), Strokes.of(held_out), **most)
    expected = _bytes(tmp_path / "a.npz", whole)
    assert _bytes(tmp_path / "b.npz", sparse) == expected


def test_model_files_tell_one_voxel_of_another_class(volume, labels, engine, tmp_path):
    """The test above can fail; lists and label images on disk are taken too."""
    moved = labels.copy()
    moved[2, 20, 20] = 3 - moved[2, 20, 20]

    def made(image, drawn):
        return _bytes(tmp_path / "a.npz", train_classifier(image, drawn, SPEC, "ilastik", 5, engine)[0])

    listed = made([Reader(volume)], [labels])
    assert listed == made(Reader(volume), Strokes.of(labels))
    assert listed != made(Reader(volume), Strokes.of(moved))


def test_images_in_memory_and_on_disk_may_be_mixed(volume, labels, engine):
    images, drawn = [volume[:15].copy(), volume[15:].copy()], [labels[:15].copy(), labels[15:].copy()]
    whole = collect_rows(images, drawn, SPEC, engine, n_sample=900)
    mixed = collect_rows([Reader(images[0]), images[1]], [Strokes.of(drawn[0]), drawn[1]], SPEC, engine, n_sample=900)
    for field in ("features", "sample"):
        np.testing.assert_array_equal(getattr(mixed, field), getattr(whole, field))
    for field in ("image", "place", "value"):
        np.testing.assert_array_equal(getattr(mixed.pixels, field), getattr(whole.pixels, field))
    assert set(whole.pixels.image.tolist()) == {0, 1}


def test_strokes_of_another_image_are_refused(volume, labels, engine):
    with pytest.raises(AnnotationError, match="annotations: are 32 x 36 x 39 pixels, the image is 32 x 36 x 40"):
        train_classifier(Reader(volume), Strokes.of(labels[:, :, 1:].copy()), SPEC, "ilastik", 0, engine)
    with pytest.raises(AnnotationError, match="no pixel of them is free"):
        train_classifier(Reader(volume), Strokes.of(labels), SPEC, "ilastik", 0, engine, held_out=Strokes.of(labels))


@given(seed=st.integers(0, 9999), depth=st.integers(1, 9), n_axes=st.integers(2, 3))
@settings(max_examples=80, deadline=None)
def test_the_gap_around_kept_back_pixels_is_found_on_small_canvases(seed, depth, n_axes):
    """The slow way compares every pixel with every kept-back one."""
    draw = np.random.default_rng(seed)
    shape = draw.integers(1, 25, n_axes)
    labels = draw.random(shape) < 0.15
    place = np.argwhere(labels)
    if not len(place):
        return
    place = place - place.min(axis=0)
    test = draw.random(len(place)) < 0.1
    apart = np.abs(place[:, np.newaxis] - place[np.newaxis]).max(axis=2)
    slow = ((apart <= holdout.GAP_PX) & test).any(axis=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(holdout, "CANVAS_PX", depth * int(np.prod(place.max(axis=0)[1:] + 1)))
        np.testing.assert_array_equal(holdout._within_gap(place, test), slow)


@pytest.fixture(scope="module")
def forests(volume, labels, engine):
    return tuple(train_classifier(volume, labels, SPEC, "ilastik", seed, engine)[0].forest for seed in (0, 1, 2))


@pytest.mark.parametrize("rule", [{}, {"min_size": 9, "connectivity": 26}, {"threshold": 2.0}])
def test_what_bins_change_is_counted_in_runs(volume, forests, engine, rule):
    """Objects, areas and differences of the label images in memory; none at all above every probability."""
    rule = SegmentRule(**{"foreground": 1, "connectivity": 6, **rule})
    scenes = Scenes(images=[volume, volume[:20].copy()], spec=SPEC, rule=rule, backend=engine)
    on_disk = [Reader(volume), Reader(volume[:20].copy())]
    whole = mask_effect(forests, scenes)
    for most in (1, 1 << 30):
        assert mask_effect(forests, dataclasses.replace(scenes, images=on_disk, most_bytes=most)) == whole
    assert (whole.changed_px > 0) == (rule.threshold < 1)


# ---- masks


@given(
    seed=st.integers(0, 999),
    share=st.floats(0.001, 0.999),
    samples=st.integers(2, 3000),
    prior=st.sampled_from(["natural", "balanced"]),
)
@settings(max_examples=100, deadline=None)
def test_voxels_drawn_of_a_mask_on_disk_are_those_in_memory(seed, share, samples, prior):
    mask = np.random.default_rng(seed).random((11, 12, 13)) < share
    mask[0, 0, 0], mask[10, 11, 12] = True, False
    options = {"samples": samples, "prior": prior}
    expected = annotations_from_mask(mask, mask.shape, seed, **options)
    for high in (1, 255):
        found = strokes_from_mask(Reader(high * mask.astype(np.uint8), most=8), mask.shape, seed, **options)
        _same(found, expected)


def test_masks_that_are_none_are_refused():
    mask = (np.arange(2 * 3 * 4) % 3).reshape(2, 3, 4).astype(np.uint8)
    with pytest.raises(AnnotationError, match="mask: holds more values than 0 and 2"):
        strokes_from_mask(Reader(mask), mask.shape, 0)
    with pytest.raises(AnnotationError, match="mask: is 2 x 3 x 4 pixels, the image is 2 x 3 x 5"):
        strokes_from_mask(Reader(mask % 2), (2, 3, 5), 0)
    for flat, words in ((mask * 0, "mask: holds no object"), (mask * 0 + 9, "mask: is full")):
        with pytest.raises(AnnotationError, match=words):
            strokes_from_mask(Reader(flat), mask.shape, 0)
    with pytest.raises(ConfigError, match="prior 'odd' does not exist"):
        strokes_from_mask(Reader(mask % 2), mask.shape, 0, prior="odd")


# ---- the study's classifier


@pytest.fixture(scope="module")
def files(volume, labels, truth, tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    held_out = np.zeros(SHAPE, np.uint8)
    held_out[25, 5:20, 5:30] = 1 + truth[25, 5:20, 5:30]
    for name, array in (("raw", volume), ("labels", labels), ("held_out", held_out), ("mask", 255 * truth)):
        tifffile.imwrite(folder / f"{name}.tif", array.astype(np.uint16 if name == "raw" else np.uint8))
    return folder


TRAININGS = {
    "labels": ({"labels": "labels.tif"}, None),
    "held out": ({"labels": "labels.tif", "held_out": "held_out.tif", "bins": "uint8"}, None),
    "crop": ({"labels": "labels.tif"}, ((0, 32), (2, 35), (1, 40))),
    "planes": ({"labels": "labels.tif"}, ((1, 32), (0, 36), (0, 40))),
    "mask": ({"mask": "mask.tif", "samples": 1500}, None),
    "balanced": ({"mask": "mask.tif", "samples": 900, "prior": "balanced"}, ((3, 30), (2, 35), (1, 40))),
}


def _config(files, segmenter, crop=None, **compute):
    named = {key: str(files / value) if str(value).endswith(".tif") else value for key, value in segmenter.items()}
    cut = {} if crop is None else {"crop": ",".join(f"{first}:{last}" for first, last in crop)}
    data = {
        "schema_version": 1,
        "input": {"raw": str(files / "raw.tif"), **cut},
        "calibration": {"estimate": True},
        "segmenter": {"preset": "ilastik", "sigma": [0.7, 1.6], **named},
        "codec": [{"id": "identity"}],
        "compute": compute,
    }
    return parse_config(data, "study.toml")


@pytest.mark.parametrize("name", TRAININGS)
def test_a_study_trains_the_same_classifier_on_disk(files, volume, engine, tmp_path, name):
    segmenter, crop = TRAININGS[name]
    config = _config(files, segmenter, crop, max_memory="2MiB")
    image = volume if crop is None else np.ascontiguousarray(volume[tuple(slice(*span) for span in crop)])
    whole = obtain_classifier(config, image, engine, Silence())
    with closing(DiskVolume(files / "raw.tif", crop=crop)) as on_disk:
        found = obtain_classifier(config, on_disk, engine, Silence())
    assert _bytes(tmp_path / "a.npz", found.classifier) == _bytes(tmp_path / "b.npz", whole.classifier)
    assert (found.report, found.warnings) == (whole.report, whole.warnings)


def test_a_model_file_serves_a_volume_on_disk(files, volume, engine, tmp_path):
    trained = obtain_classifier(_config(files, TRAININGS["labels"][0]), volume, engine, Silence()).classifier
    save_classifier(tmp_path / "model.npz", trained)
    data = _config(files, {"labels": "labels.tif"}).model_dump(mode="json", exclude_none=True)
    data["segmenter"] = {"model": str(tmp_path / "model.npz")}
    found = obtain_classifier(parse_config(data, "study.toml"), Reader(volume), engine, Silence())
    assert found.classifier.ndim == 3
    assert found.report["label_source"] == "model file model.npz"


def test_a_threshold_needs_the_whole_volume(files, volume, engine):
    levels = {"background_below_dn": 480, "foreground_above_dn": 700}
    config = _config(files, {"threshold_annotation": levels})
    with pytest.raises(ConfigError, match="threshold_annotation looks at the whole volume") as caught:
        obtain_classifier(config, Reader(volume), engine, Silence())
    assert "compdistort train" in caught.value.remedy


@pytest.mark.parametrize("role", ["labels", "mask"])
def test_annotations_of_another_field_are_refused(files, volume, engine, role):
    tifffile.imwrite(files / "other.tif", np.ones((4, 8, 8), np.uint8), photometric="minisblack")
    with pytest.raises(AnnotationError, match=r"other\.tif.* 4 x 8 x 8 pixels, the image is 32 x 36 x 40"):
        obtain_classifier(_config(files, {role: "other.tif"}), Reader(volume), engine, Silence())
    config = _config(files, {role: "other.tif"}, ((0, 32), (0, 36), (0, 30)))
    with pytest.raises(ImageFormatError, match=r"other\.tif: crop .* is not inside"):
        obtain_classifier(config, Reader(volume[:, :, :30]), engine, Silence())
