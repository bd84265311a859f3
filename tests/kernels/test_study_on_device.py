"""Everything the program does with images, on the CUDA engine: the same bytes as on the CPU engine.

The kernels run on the CPU (level `plain`), and on a device where there is one and the whole program is installed.
"""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cudahost.levels import open_engine

# ruff: noqa: E402 - what the imports below need must be asked for first
for _needed in ("zarr", "imagecodecs", "pydantic", "matplotlib"):
    pytest.importorskip(_needed, reason="the whole program is needed, not the engine alone")

from compdistort.backend import get_backend
from compdistort.errors import DeviceMemoryError
from compdistort.features import FeatureSpec
from compdistort.io.images import read_image, write_tiff
from compdistort.pipeline import inputs, training
from compdistort.pipeline.calibration import CalibrateOptions, calibrate_files
from compdistort.pipeline.chain import Chain
from compdistort.pipeline.demo_inputs import write_demo_inputs
from compdistort.pipeline.feature_export import export_features
from compdistort.pipeline.inputs import build_chain, read_sensor
from compdistort.pipeline.measurement import MeasureOptions, measure_file
from compdistort.pipeline.progress import Silence
from compdistort.pipeline.raw_image import read_raw
from compdistort.pipeline.reference import load_reference, restore_classifier
from compdistort.pipeline.rows import replicate_rows
from compdistort.pipeline.stopping import StopFlag
from compdistort.pipeline.study import run_study
from compdistort.pipeline.synthesis import SynthOptions, synthesize
from compdistort.pipeline.training import SegmentOptions, TrainOptions, segment_file, train_files
from compdistort.store import StudyStore
from compdistort.study_file import load_config

SIZE = 64
REPLICATES = 2
SETS = {"weka": (), "ilastik": ("segmenter.preset='ilastik'", "segmenter.set='ilastik'")}


@pytest.fixture(params=["plain", "device"])
def level(request):
    """The kernels on the CPU, and on a device."""
    return request.param


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Folder with the files of a small simulated study: identity, 8 bits and JPEG 10:1."""
    folder = tmp_path_factory.mktemp("inputs")
    write_demo_inputs(folder, "spheres", size=SIZE, seed=1, n_replicates=REPLICATES)
    text = (folder / "study.toml").read_text()
    (folder / "study.toml").write_text(text[: text.rindex("[[codec]]")])
    return folder


def _config(files, name):
    return load_config(files / "study.toml", ("compute.block=1", "compute.threads=2", *SETS[name]))


def _study(files, name, folder):
    run_study(_config(files, name), folder, progress=Silence(), stop=StopFlag())
    return folder


def _hashes(folder, *parts):
    found = [path for part in parts for path in (folder / part).rglob("*") if path.is_file()]
    found += [folder / part for part in parts if (folder / part).is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


def _results(folder):
    hashes = _hashes(folder, "data.zarr", "report/report.json", "report/tables", "model.npz")
    assert len(hashes) > 20
    return hashes


@pytest.fixture(scope="module")
def finished(files, tmp_path_factory):
    """Finished studies of the CPU engine, by feature set."""
    folder = tmp_path_factory.mktemp("cpu")
    return {name: _study(files, name, folder / f"{name}.cdist") for name in SETS}


@pytest.mark.parametrize("name", SETS)
def test_a_study_gives_the_bytes_of_the_cpu_engine(files, finished, tmp_path, monkeypatch, level, name):
    engine = open_engine(level)
    monkeypatch.setattr(inputs, "get_backend", lambda *_names: engine)
    assert _results(_study(files, name, tmp_path / "a.cdist")) == _results(finished[name])


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"voter": "cpu"}, marks=pytest.mark.slow),
        pytest.param({"slab_bytes": 30_000}, marks=pytest.mark.slow),
        {"slab_bytes": 30_000, "voter": "cpu"},
    ],
    ids=str,
)
def test_voter_and_slabs_leave_no_trace(files, finished, tmp_path, monkeypatch, level, options):
    engine = open_engine(level, **options)
    monkeypatch.setattr(inputs, "get_backend", lambda *_names: engine)
    assert _results(_study(files, "ilastik", tmp_path / "b.cdist")) == _results(finished["ilastik"])


def _chain(files, finished, name):
    """Return chain (CPU engine) and reference of a finished study."""
    config, store = _config(files, name), StudyStore.open(finished[name])
    raw = read_raw(config)
    classifier = restore_classifier(store).classifier
    chain = build_chain(config, raw, read_sensor(config, raw.pixels), classifier, get_backend("cpu"))
    return chain, load_reference(store, config, chain.sensor)


@pytest.mark.parametrize("voter", ["device", "cpu"])
@pytest.mark.parametrize("name", SETS)
def test_a_device_too_small_for_all_features_halves_its_slabs(files, finished, name, voter):
    """No single allocation may be larger than the largest table, the features of all rows are."""
    chain, _ = _chain(files, finished, name)
    chain = replace(chain, raw=np.tile(chain.raw, (3, 3)))
    forest = chain.classifier.forest
    largest = max(chain.noise.level.nbytes, 16 * forest.feature.size, forest.leaf_value.nbytes)
    assert largest < 4 * len(chain.bank.names) * chain.raw.size
    tables, engines = [], (chain.backend, open_engine("plain", voter=voter, largest=largest))
    for engine in engines:
        raw, rule = engine.to_device(chain.raw), chain.rule
        tables.append(engine.replicate_tables(raw, chain.noise, chain.key, chain.bank, forest, rule, range(3, 5)))
    for found, wanted in zip(*tables, strict=True):
        np.testing.assert_array_equal(found, wanted)
        assert len(found)
    assert engines[1].cuda.cp.get_default_memory_pool().freed > 0


def test_a_device_without_room_for_one_row_says_so(files, finished):
    chain, reference = _chain(files, finished, "ilastik")
    small = Chain.rebuild(chain.host_parts(), open_engine("plain", largest=SIZE * SIZE * 2))
    with pytest.raises(DeviceMemoryError, match="too little free memory"):
        replicate_rows(small, reference, 1, StopFlag())


def test_raw_goes_up_once_and_a_replicate_comes_down_once(files, finished, monkeypatch):
    chain, reference = _chain(files, finished, "ilastik")
    engine = open_engine("plain")
    up, down = [], []
    to_device, to_host = engine.to_device, engine.to_host
    monkeypatch.setattr(engine, "to_device", lambda array: up.append(array) or to_device(array))
    monkeypatch.setattr(engine, "to_host", lambda array: down.append(array) or to_host(array))
    moved = Chain.rebuild(chain.host_parts(), engine)
    for index in range(4):
        replicate_rows(moved, reference, index, StopFlag())
    assert sum(array is chain.raw for array in up) == 1
    assert len(up) == 1 + 4 * 2
    assert sum(array.dtype == np.uint16 for array in down) == 4


def _synth(files, out, backend):
    synthesize(files / "raw.tif", files / "sensor.json", out / "r", SynthOptions(n=2), backend)


def _features(files, out, backend):
    for name in SETS:
        export_features(files / "raw.tif", out / f"{name}.npz", FeatureSpec(set=name), backend)


def _measure(files, out, backend):
    measure_file(files / "truth.tif", out / "objects.csv", MeasureOptions(labelled=True), backend)
    write_tiff(out / "mask.tif", (read_image(files / "truth.tif") > 0).astype(np.uint8))
    measure_file(out / "mask.tif", out / "mask.csv", MeasureOptions(include_holes=True), backend)


def _calibrate(files, out, backend):
    pairs = [[files / f"{kind}_{side}.tif" for side in "ab"] for kind in ("flat", "dark")]
    calibrate_files(*pairs, out / "sensor.json", CalibrateOptions(), backend)


def _train_and_segment(files, out, backend):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "get_backend", lambda *_names: backend)
        train_files([files / "raw.tif"], [files / "labels.tif"], out / "model.npz", TrainOptions())
        options = SegmentOptions(probability=out / "p.tif", labels=out / "l.tif", smoothing_px=1.0, include_holes=True)
        segment_file(files / "raw.tif", out / "model.npz", out / "mask.tif", options)


@pytest.mark.parametrize("command", [_synth, _features, _measure, _calibrate, _train_and_segment])
def test_every_command_writes_the_bytes_of_the_cpu_engine(files, tmp_path, level, command):
    written = []
    for name, engine in (("cpu", get_backend("cpu")), ("cuda", open_engine(level))):
        place: Path = tmp_path / name
        place.mkdir()
        command(files, place, engine)
        written.append(_hashes(place, "."))
    assert written[0] == written[1]
    assert written[0]
