"""`compdistort segment` of volumes: slab by slab with the files of the whole volume in memory, and what is refused."""

import json

import h5py
import numpy as np
import pytest

from compdistort.backend import get_backend
from compdistort.backend.base import SegmentRule
from compdistort.cli import main
from compdistort.errors import ResourceError
from compdistort.features import FeatureSpec, build_bank
from compdistort.forest import save_classifier, train_classifier
from compdistort.io.files import sha256_file
from compdistort.io.images import read_image, write_tiff
from compdistort.io.volume import open_volume
from compdistort.io.volume_write import volume_writer
from compdistort.pipeline import segment_volume, segmentation
from compdistort.pipeline.raw_volume import DiskVolume
from compdistort.segment import segment

SHAPE = (14, 40, 50)
UM = (6.0, 1.6, 1.6)
SPEC = FeatureSpec(set="plain", sigmas=(0.7, 1.6))


@pytest.fixture(scope="module")
def volume():
    """Blobs, uint16."""
    draw = np.random.default_rng(7)
    z, y, x = np.indices(SHAPE)
    mean = np.full(SHAPE, 200.0)
    for cz, cy, cx in draw.uniform(0, SHAPE, (20, 3)):
        mean += 900 * np.exp(-((z - cz) ** 2 + (y - cy) ** 2 + (x - cx) ** 2) / (2 * 2.2**2))
    return draw.poisson(mean).astype(np.uint16)


@pytest.fixture(scope="module")
def classifier(volume):
    labels = np.where(volume > 700, 2, np.where(volume < 260, 1, 0)).astype(np.uint8)
    labels[np.random.default_rng(1).random(SHAPE) > 0.1] = 0
    return train_classifier(volume, labels, SPEC, preset="ilastik", seed=3, backend=get_backend("cpu"))[0]


@pytest.fixture(scope="module")
def files(tmp_path_factory, volume, classifier):
    """Model and volume files."""
    folder = tmp_path_factory.mktemp("segment")
    save_classifier(folder / "model.npz", classifier)
    for name in ("raw.tif", "raw.zarr"):
        with volume_writer(folder / name, SHAPE, np.uint16, voxel_um=UM) as writer:
            writer.write_planes(volume)
    with h5py.File(folder / "raw.h5", "w") as file:
        file["volume"] = volume
    return folder


@pytest.fixture
def too_large(monkeypatch):
    """Every volume is too large for memory."""
    monkeypatch.setattr(segmentation, "exceeds", lambda *_: True)


def _run(capsys, files, raw, out, *more):
    words = ("segment", files / raw, "--model", files / "model.npz", "-o", out, "--device", "cpu", "--json", *more)
    code = main([str(word) for word in words])
    printed = capsys.readouterr()
    return code, json.loads(printed.out) if code == 0 else printed.err


@pytest.mark.parametrize("raw", ["raw.tif", "raw.zarr", "raw.h5"])
@pytest.mark.parametrize("suffix", [".tif", ".zarr"])
def test_files_are_those_of_the_volume_in_memory(files, tmp_path, capsys, monkeypatch, volume, classifier, raw, suffix):
    found, calls = {}, []
    slabs = segmentation.segment_slabs
    monkeypatch.setattr(segmentation, "segment_slabs", lambda *words: calls.append(1) or slabs(*words))
    for kind in ("memory", "slabs"):
        monkeypatch.setattr(segmentation, "exceeds", lambda *_, kind=kind: kind == "slabs")
        (tmp_path / kind).mkdir()
        mask, ids = (tmp_path / kind / f"{name}{suffix}" for name in ("mask", "labels"))
        code, result = _run(capsys, files, raw, mask, "--labels-out", ids, "--min-size", 3)
        assert code == 0
        numbers = (result["objects"], result["total_area_px"])
        found[kind] = (*numbers, *map(sha256_file, (mask, ids)))
    assert calls == [1]
    assert found["memory"] == found["slabs"]
    rule = SegmentRule(foreground=classifier.foreground, connectivity=6, min_size=3)
    parts = segment(volume, classifier, rule, get_backend("cpu"))
    assert found["slabs"][:2] == (parts.labels.max(), np.count_nonzero(parts.mask))
    assert parts.labels.max() > 5
    for path, wanted in ((mask, parts.mask * np.uint8(255)), (ids, parts.labels.astype(np.uint16))):
        with open_volume(path, kind="any") as written:
            np.testing.assert_array_equal(written.read_planes(0, SHAPE[0]), wanted)
            assert written.dtype == wanted.dtype
            assert written.voxel_um == (None if raw == "raw.h5" else UM)


def test_another_threshold_gives_other_files(files, tmp_path, capsys, too_large):
    """Negative control."""
    for name, more in (("a.tif", ()), ("b.tif", ("--threshold", 0.9))):
        assert _run(capsys, files, "raw.tif", tmp_path / name, *more)[0] == 0
    a, b = (read_image(tmp_path / name, kind="any") for name in ("a.tif", "b.tif"))
    assert np.count_nonzero(a) > np.count_nonzero(b) > 0


def test_many_objects_are_written_as_32_bit(tmp_path):
    labels = np.arange(1, 70_001, dtype=np.int32).reshape(7, 100, 100)
    pixels = segment_volume.write_volume(labels.shape, labels, 70_000, tmp_path / "m.tif", tmp_path / "l.zarr", None)
    assert pixels == 70_000
    with open_volume(tmp_path / "l.zarr", kind="any") as written:
        assert written.dtype == np.int32
        np.testing.assert_array_equal(written.read_planes(0, 7), labels)


def test_a_volume_is_too_large_where_its_forecast_is_above_the_limit(files, classifier, monkeypatch):
    monkeypatch.setattr(segment_volume, "_held", lambda: 1000)
    volume, engine = DiskVolume(files / "raw.tif", kind="any"), get_backend("numpy")
    own = engine.working_bytes(SHAPE, build_bank(SPEC, 3, SHAPE), classifier.forest)
    needed = 1000 + np.prod(SHAPE) * (2 + segment_volume.BYTES_PER_VOXEL) + own
    assert segment_volume.exceeds(volume, classifier, engine, needed - 1)
    assert not segment_volume.exceeds(volume, classifier, engine, needed)
    volume.close()


def test_memory_for_no_slab_at_all_is_refused_by_name(files, tmp_path, capsys):
    code, said = _run(capsys, files, "raw.tif", tmp_path / "m.tif", "--max-memory", "1MiB")
    assert code == 4
    assert "raw.tif: a memory limit of 1 MiB is too small: slabs of one plane need" in said
    assert "raise --max-memory" in said
    assert not list(tmp_path.iterdir())


REFUSED = {
    "probability": (("--probability", "p.tif"), 2, "its probability is not written; raise --max-memory"),
    "smoothing": (("--smoothing", "1"), 2, "smoothing_px = 1 needs the probability of a whole volume"),
    "connectivity": (("--connectivity", "8"), 2, "connectivity 8 does not belong to an image of 3 axes"),
    "labels of a plane's format": (("--labels-out", "l.png"), 2, "l.png: a volume is not written as '.png'"),
    "no size": (("--max-memory", "much"), 2, "'much' is no size"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_done_slab_by_slab_is_refused_and_nothing_written(
    files, tmp_path, capsys, monkeypatch, too_large, name
):
    monkeypatch.chdir(tmp_path)
    more, expected, words = REFUSED[name]
    code, said = _run(capsys, files, "raw.tif", "m.tif", *more)
    assert code == expected
    assert words in said
    assert not list(tmp_path.iterdir())


def test_a_mask_of_a_planes_format_is_refused_in_memory_too(files, tmp_path, capsys):
    code, said = _run(capsys, files, "raw.tif", tmp_path / "m.png")
    assert code == 2
    assert "m.png: a volume is not written as '.png'" in said


def _bad(folder, files, name):
    path = folder / "bad.tif"
    if name == "8 bit":
        write_tiff(path, np.ones(SHAPE, np.uint8))
    elif name == "plane":
        write_tiff(path, np.ones(SHAPE[1:], np.uint16))
    elif name == "not finite":
        write_tiff(path, np.full(SHAPE, np.nan, np.float32))
    elif name == "truncated":
        data = (files / "raw.tif").read_bytes()
        path.write_bytes(data[: len(data) // 2])
    elif name == "no image":
        path.write_text("hello")
    return path


@pytest.mark.parametrize("name", ["8 bit", "plane", "not finite", "truncated", "no image", "missing"])
def test_wrong_input_is_refused_as_where_memory_holds_it(files, tmp_path, capsys, monkeypatch, name):
    raw, told = _bad(tmp_path, files, name), []
    for large in (False, True):
        monkeypatch.setattr(segmentation, "exceeds", lambda *_, large=large: large)
        told.append(_run(capsys, files, raw, tmp_path / "m.tif"))
    (code, said), (other_code, other_said) = told
    assert code == other_code == (2 if name == "plane" else 3)
    assert all("bad.tif" in words for words in (said, other_said))
    assert not (tmp_path / "m.tif").exists()


def test_a_disk_without_room_leaves_nothing(files, tmp_path, capsys, monkeypatch, too_large):
    def full(*_words):
        raise ResourceError("the disk is full", "free some space")

    monkeypatch.setattr("compdistort.io.volume_write.require_space", full)
    code, said = _run(capsys, files, "raw.tif", tmp_path / "m.tif", "--labels-out", tmp_path / "l.tif")
    assert code == 4
    assert "the disk is full" in said
    assert not list(tmp_path.iterdir())
