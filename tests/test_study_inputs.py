"""What a study and its training read: data sets of HDF5 files like TIFF files, and images that memory may not hold."""

import hashlib

import h5py
import numpy as np
import pytest

from compdistort.cli import main
from compdistort.errors import (
    EXIT_RESOURCE,
    ConfigError,
    ImageFormatError,
    ImageTooLargeError,
    InputError,
    ResourceError,
)
from compdistort.io.images import read_image, write_tiff
from compdistort.io.names import short_name, split_dataset
from compdistort.io.volume import open_volume
from compdistort.pipeline.inputs import input_hashes, portable_config
from compdistort.pipeline.progress import Silence
from compdistort.pipeline.stopping import StopFlag
from compdistort.pipeline.study import resume_study, run_study
from compdistort.pipeline.training_inputs import TrainingFiles, TrainOptions, read_training
from compdistort.rng import Stream
from compdistort.study_file import load_config

SHAPE = (12, 30, 32)
STUDY = """
schema_version = 1
[input]
raw = "raw.tif"
truth = "truth.tif"
[calibration]
offset_dn = 100.0
gain_e_per_dn = 0.5
read_noise_e = 2.0
[noise]
replicates = 2
[segmenter]
preset = "ilastik"
set = "ilastik"
sigma = [1.0]
labels = "labels.tif"
held_out = "held_out.tif"
[[codec]]
id = "identity"
[compute]
threads = 1
"""


def _scene():
    """Return a raw volume (DN), the mask of its two balls, and sparse annotations, those held out in other pixels."""
    z, y, x = np.indices(SHAPE)
    mask = (z - 5) ** 2 + (y - 9) ** 2 + (x - 10) ** 2 <= 14
    mask |= (z - 6) ** 2 + (y - 20) ** 2 + (x - 21) ** 2 <= 19
    draw = np.random.Generator(np.random.Philox([int(Stream.SCENE), 23]))
    raw = np.rint(200 + 1500 * mask + draw.normal(0, 25, SHAPE)).astype(np.uint16)
    chance, classes = draw.random(SHAPE), (1 + mask).astype(np.uint8)
    return raw, mask, np.where(chance < 0.1, classes, 0), np.where(chance > 0.9, classes, 0)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Folder with raw volume, truth, mask and labels: a TIFF file each, and all of them in one HDF5 file."""
    folder = tmp_path_factory.mktemp("inputs")
    raw, mask, labels, held_out = _scene()
    truth = mask * np.uint8(1)
    write_tiff(folder / "held_out.tif", held_out)
    with h5py.File(folder / "all.h5", "w") as file:
        for name, array in (("raw", raw), ("truth", truth), ("mask", mask * np.uint8(255)), ("labels", labels)):
            write_tiff(folder / f"{name}.tif", array)
            file[f"volume/{name}"] = array
    with h5py.File(folder / "held_out.hdf5", "w") as file:
        file["exported_data"] = held_out
    (folder / "study.toml").write_text(STUDY)
    return folder


@pytest.mark.parametrize(("kind", "name"), [("raw", "raw"), ("labels", "labels"), ("mask", "mask"), ("any", "truth")])
def test_a_dataset_is_read_like_a_tiff_file(inputs, kind, name):
    path = f"{inputs}/all.h5::volume/{name}"
    for options in ({}, {"page": 5}, {"crop": ((2, 9), (3, 30))}, {"page": 0, "crop": ((0, 8), (1, 9))}):
        found, wanted = read_image(path, kind=kind, **options), read_image(inputs / f"{name}.tif", kind=kind, **options)
        assert found.dtype == wanted.dtype
        np.testing.assert_array_equal(found, wanted)
    assert found.any() or name != "raw"
    with open_volume(f"{inputs}/all.h5::/volume/raw") as volume:
        np.testing.assert_array_equal(volume.read_planes(0, 12), _scene()[0])


def test_the_only_dataset_needs_no_name(inputs):
    np.testing.assert_array_equal(read_image(inputs / "held_out.hdf5", kind="labels"), _scene()[3])


def test_chunks_that_were_never_written_are_empty_in_labels_and_masks_and_lost_in_raw(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        data = file.create_dataset("data", (1, 20, 20), "u2", chunks=(1, 10, 10))
        data[0, :10, :10] = 7
    for kind, value in (("labels", 7), ("mask", True)):
        found = read_image(tmp_path / "a.h5", kind=kind)
        assert found.shape == (20, 20)  # an axis of one plane is dropped
        assert found[3, 3] == value
        assert found.sum() == 100 * value
    with pytest.raises(ImageFormatError, match=r"the chunk of /data at plane 0, row 0, column 10 is missing"):
        read_image(tmp_path / "a.h5", kind="raw")


@pytest.mark.parametrize(
    ("name", "options", "error", "message"),
    [
        ("all.h5", {}, ImageFormatError, r"holds 4 volumes; give the name of one of them: /volume/labels"),
        ("all.h5::volume/nuclei", {}, ImageFormatError, r"all.h5: has no dataset 'volume/nuclei'; it holds these"),
        ("all.h5::volume", {}, ImageFormatError, r"'volume' is a group"),
        ("all.h5::volume/raw", {"page": 12}, ImageFormatError, r"has no page 12; choose one from 0 to 11"),
        ("all.h5::volume/raw", {"kind": "mask"}, ImageFormatError, r"is no mask"),
        ("all.h5::volume/labels", {"kind": "raw"}, ImageFormatError, r"uint8"),
        ("all.h5::", {}, ImageFormatError, r"all.h5::: does not exist"),
        ("none.h5::volume/raw", {}, ImageFormatError, r"none.h5: does not exist"),
        ("raw.tif::volume/raw", {}, ImageFormatError, r"raw.tif::volume/raw: does not exist"),
        ("all.h5::volume/raw", {"max_bytes": 20_000}, ImageTooLargeError, r"23040 bytes, above the limit of 20000"),
    ],
)
def test_what_cannot_be_read_is_named(inputs, name, options, error, message):
    with pytest.raises(error, match=message):
        read_image(f"{inputs}/{name}", **{"kind": "raw", **options})


def test_a_dataset_is_named_once(inputs):
    with pytest.raises(ConfigError, match=r"two data sets are named, 'volume/raw' and 'raw'; name one"):
        open_volume(f"{inputs}/all.h5::volume/raw", dataset="raw")


@pytest.mark.parametrize(
    ("path", "file", "dataset"),
    [
        ("a/b.h5::c/d", "a/b.h5", "c/d"),
        ("a/b.HDF5::c", "a/b.HDF5", "c"),
        ("a::b/c.nxs::/d::e", "a::b/c.nxs", "/d::e"),
        ("a/b.h5", "a/b.h5", None),
        ("a::b.tif", "a::b.tif", None),
        ("a.h5x::b", "a.h5x::b", None),
    ],
)
def test_only_behind_the_suffix_of_an_hdf5_file_is_there_a_dataset(path, file, dataset):
    found = split_dataset(path)
    assert (str(found[0]), found[1]) == (file, dataset)
    assert short_name(path) == file.rpartition("/")[2] + (f"::{dataset}" if dataset else "")


SETTINGS = (
    "input.truth='all.h5::volume/truth'",
    "segmenter.labels='all.h5::volume/labels'",
    "segmenter.held_out='held_out.hdf5'",
)


@pytest.fixture
def without_page(monkeypatch):
    """Let a study end with its store: its page is not what is looked at here."""
    monkeypatch.setattr("compdistort.pipeline.study.report_store", lambda store, _config: store)


def _run(inputs, folder, *settings, name="study.toml"):
    return run_study(load_config(inputs / name, settings), folder, progress=Silence(), stop=StopFlag())


def _arrays(folder):
    files = [path for path in (folder / "data.zarr").rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.usefixtures("without_page")
def test_a_study_of_datasets_is_the_study_of_tiff_files(inputs, tmp_path):
    tiff, hdf5 = _run(inputs, tmp_path / "tiff.cdist"), _run(inputs, tmp_path / "hdf5.cdist", *SETTINGS)
    assert len(tiff.read("reference/objects")) == 2
    assert _arrays(tiff.folder) == _arrays(hdf5.folder)
    assert (tiff.folder / "model.npz").read_bytes() == (hdf5.folder / "model.npz").read_bytes()
    resumed = resume_study(hdf5.folder, progress=Silence(), stop=StopFlag())
    assert _arrays(resumed.folder) == _arrays(tiff.folder)


@pytest.mark.usefixtures("without_page")
def test_a_mask_in_a_dataset_gives_the_same_classifier(inputs, tmp_path):
    text = STUDY.replace('held_out = "held_out.tif"', "samples = 500")
    text = text.replace('labels = "labels.tif"', 'mask = "mask.tif"')
    (inputs / "mask.toml").write_text(text)
    tiff = _run(inputs, tmp_path / "a.cdist", name="mask.toml")
    hdf5 = _run(inputs, tmp_path / "b.cdist", "segmenter.mask='all.h5::volume/mask'", name="mask.toml")
    assert _arrays(tiff.folder) == _arrays(hdf5.folder)


def test_the_record_names_file_and_dataset(inputs):
    config = load_config(inputs / "study.toml", SETTINGS)
    hashes = input_hashes(config)
    digest = hashlib.sha256((inputs / "all.h5").read_bytes()).hexdigest()
    assert hashes["truth"] == {"name": "all.h5::volume/truth", "sha256": digest}
    assert hashes["labels"] == {"name": "all.h5::volume/labels", "sha256": digest}
    assert portable_config(config)["segmenter"]["labels"] == "all.h5::volume/labels"
    gone = load_config(inputs / "study.toml", ("input.truth='gone.h5::truth'",))
    with pytest.raises(InputError, match=r"gone.h5::truth \(truth\): does not exist"):
        input_hashes(gone)


def test_training_reads_datasets(inputs):
    files = TrainingFiles(
        raws=[inputs / "all.h5::volume/raw"],
        masks=[inputs / "all.h5::volume/mask"],
        held_out=[inputs / "all.h5::volume/labels"],
    )
    plain = TrainingFiles(
        raws=[inputs / "raw.tif"], masks=[inputs / "mask.tif"], held_out=[inputs / "labels.tif"]
    )  # fmt: skip
    found, wanted = (read_training(each, TrainOptions(samples=300)) for each in (files, plain))
    for name in ("images", "annotations", "masks", "held_out"):
        np.testing.assert_array_equal(getattr(found, name)[0], getattr(wanted, name)[0])


def test_an_image_above_the_limit_is_a_matter_of_the_machine(inputs, tmp_path, capsys):
    write_tiff(inputs / "plane.tif", _scene()[0][5])
    with pytest.raises(ImageTooLargeError) as caught:
        read_image(inputs / "plane.tif", max_bytes=1000)
    assert isinstance(caught.value, ResourceError)
    assert isinstance(caught.value, ImageFormatError)
    assert caught.value.exit_code == EXIT_RESOURCE
    words = ["--set", "input.raw='plane.tif'", "--set", "compute.max_memory='1000B'", "-o", str(tmp_path / "a.cdist")]
    assert main(["run", str(inputs / "study.toml"), *words, "--progress", "none"]) == EXIT_RESOURCE
    said = capsys.readouterr().err
    assert "plane.tif: 30 x 32 uint16 pixels take 1920 bytes, above the limit of 1000" in said
    assert "crop the image or raise the memory limit" in said
    assert not (tmp_path / "a.cdist").exists()
