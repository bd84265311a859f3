"""`compdistort synth`: replicates as files with a manifest."""

import json

import numpy as np
import pytest
import tifffile
import zarr
from filelock import FileLock

from compdistort.backend import get_backend
from compdistort.cli.app import main
from compdistort.errors import EXIT_INPUT, EXIT_RESOURCE, EXIT_USAGE
from compdistort.io.files import sha256_file
from compdistort.io.images import write_tiff
from compdistort.replicate import draw, noise_tables, tables_sha256
from compdistort.rng import derive_key
from compdistort.sensor.model import SensorModel
from compdistort.sensor.sensor_file import save_sensor

SENSOR = SensorModel.scalar(offset_dn=100, gain_e_per_dn=0.5, read_noise_e=3.0)


@pytest.fixture
def files(tmp_path):
    """A raw image of noise that fits its sensor, and both files."""
    flat = np.full((64, 72), 1500, np.uint16)
    flat[:, 36:] = 900
    raw = draw(flat, noise_tables(SENSOR), get_backend("numpy"), 40, range(1))[0]
    write_tiff(tmp_path / "raw.tif", raw)
    save_sensor(tmp_path / "sensor.json", SENSOR)
    return tmp_path, raw


def synth(folder, *words, out="out"):
    return main(
        ["synth", str(folder / "raw.tif"), "--sensor", str(folder / "sensor.json"), "-o", str(folder / out), *words]
    )


def manifest(folder, out="out"):
    return json.loads((folder / out / "manifest.json").read_text())


def test_writes_the_replicates_that_draw_gives(files, capsys):
    folder, raw = files
    assert synth(folder, "-n", "3", "--seed", "7", "--first", "2", "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    tables = noise_tables(SENSOR)
    expected = draw(raw, tables, get_backend("numpy"), 7, range(2, 5))
    assert sorted(p.name for p in (folder / "out").iterdir()) == [
        ".lock", "manifest.json", "replicate_00002.tif", "replicate_00003.tif", "replicate_00004.tif",
    ]  # fmt: skip
    for number, image in zip(range(2, 5), expected, strict=True):
        assert np.array_equal(tifffile.imread(folder / "out" / f"replicate_{number:05d}.tif"), image)
    found = manifest(folder)
    assert found["seed"] == 7
    assert found["key"] == list(derive_key(7, 1))
    assert found["tables_sha256"] == tables_sha256(tables)
    assert found["raw"]["sha256"] == sha256_file(folder / "raw.tif")
    assert found["files"]["replicate_00003.tif"] == {
        "replicates": [3],
        "sha256": sha256_file(folder / "out" / "replicate_00003.tif"),
    }
    assert printed["files"] == found["files"]
    assert printed["kept"] == 0


def test_every_engine_writes_the_same_bytes(files):
    folder, _ = files
    for device in ("numpy", "numba"):
        assert synth(folder, "-n", "2", "--device", device, out=device) == 0
    assert manifest(folder, "numpy") == manifest(folder, "numba")


def test_the_same_command_goes_on_and_repairs(files, capsys):
    folder, _ = files
    assert synth(folder, "-n", "2") == 0
    whole = manifest(folder)
    (folder / "out" / "replicate_00001.tif").write_bytes(b"damaged")
    before = (folder / "out" / "replicate_00000.tif").stat().st_mtime_ns
    capsys.readouterr()
    assert synth(folder, "-n", "4") == 0
    assert "1 files were there already" in capsys.readouterr().out
    assert (folder / "out" / "replicate_00000.tif").stat().st_mtime_ns == before
    again = manifest(folder)
    assert list(again["files"]) == [f"replicate_{k:05d}.tif" for k in range(4)]
    assert {k: again["files"][k] for k in whole["files"]} == whole["files"]


def test_a_run_that_stopped_before_its_manifest_was_complete_goes_on(files, monkeypatch):
    """As after a kill: replicates of a batch are there, the manifest does not name them yet."""
    folder, _ = files
    assert synth(folder, "-n", "3") == 0
    whole = manifest(folder)
    path = folder / "out" / "manifest.json"
    path.write_text(json.dumps(whole | {"files": {}}))
    (folder / "out" / "replicate_00002.tif").unlink()
    assert synth(folder, "-n", "3") == 0
    assert manifest(folder) == whole


def test_ome_zarr_holds_the_replicates_along_t(files):
    folder, raw = files
    assert synth(folder, "-n", "3", "--format", "ome-zarr") == 0
    (name,) = manifest(folder)["files"]
    group = zarr.open_group(folder / "out" / name, mode="r")
    axes = [axis["name"] for axis in group.attrs["ome"]["multiscales"][0]["axes"]]
    assert axes == ["t", "y", "x"]
    expected = draw(raw, noise_tables(SENSOR), get_backend("numpy"), 1, range(3))
    assert np.array_equal(group["0"][:], expected)
    assert manifest(folder)["files"][name]["sha256"] == sha256_file(folder / "out" / name)


def test_volumes_are_drawn_too(files):
    folder, raw = files
    write_tiff(folder / "raw.tif", np.stack([raw, raw[::-1]]))
    assert synth(folder, "-n", "1", "--law", "gaussian") == 0
    image = tifffile.imread(folder / "out" / "replicate_00000.tif")
    expected = draw(np.stack([raw, raw[::-1]]), noise_tables(SENSOR, "gaussian"), get_backend("numpy"), 1, range(1))
    assert np.array_equal(image, expected[0])


def test_what_a_killed_run_left_half_written_is_cleared_away(files):
    folder, _ = files
    assert synth(folder, "-n", "1") == 0
    (folder / "out" / ".replicate_00001.99-0.partial.tif").write_bytes(b"half")
    (folder / "out" / ".replicates.99-1.partial.zarr").mkdir()
    assert synth(folder, "-n", "2") == 0
    names = sorted(p.name for p in (folder / "out").iterdir())
    assert names == [".lock", "manifest.json", "replicate_00000.tif", "replicate_00001.tif"]


def test_two_processes_do_not_write_to_one_folder(files, capsys):
    folder, _ = files
    (folder / "out").mkdir()
    with FileLock(folder / "out" / ".lock"):
        assert synth(folder) == EXIT_RESOURCE
    assert "another process" in capsys.readouterr().err
    assert synth(folder, "-n", "1") == 0


def besides_the_engine(capsys):
    """Lines on stderr, but for the one that says which engine was chosen."""
    return [line for line in capsys.readouterr().err.splitlines() if not line.startswith("engine: ")]


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["--law", "poisson"], EXIT_USAGE, "noise law 'poisson' is unknown"),
        (["--format", "png"], EXIT_USAGE, "--format png is unknown"),
        (["--seed", str(2**64)], EXIT_USAGE, "64 bits"),
        (["--first", str(2**32), "-n", "2"], EXIT_USAGE, "cannot be drawn"),
    ],
)
def test_unusable_options_are_one_line_and_write_nothing(files, capsys, words, code, text):
    folder, _ = files
    assert synth(folder, *words) == code
    (error,) = besides_the_engine(capsys)
    assert text in error
    assert not (folder / "out").exists()


def test_other_recipes_and_strangers_are_not_mixed(files, capsys):
    folder, _ = files
    assert synth(folder, "-n", "1") == 0
    assert synth(folder, "-n", "1", "--seed", "2") == EXIT_USAGE
    assert "another recipe (other seed, key)" in capsys.readouterr().err
    (folder / "out" / "manifest.json").write_text("[]")
    assert synth(folder, "-n", "1") == EXIT_USAGE
    (folder / "out" / "manifest.json").unlink()
    assert synth(folder, "-n", "1") == EXIT_USAGE
    assert "replicate_00000.tif but no manifest.json" in capsys.readouterr().err


def test_an_image_that_does_not_fit_writes_nothing(files, capsys):
    folder, raw = files
    write_tiff(folder / "raw.tif", raw // 20)
    assert synth(folder) == EXIT_INPUT
    assert not (folder / "out").exists()
    (folder / "raw.tif").write_bytes(b"II*\0")
    assert synth(folder) == EXIT_INPUT
    assert "raw.tif" in capsys.readouterr().err


def test_a_folder_that_cannot_be_made_is_one_line(files, capsys):
    folder, _ = files
    (folder / "file").write_text("")
    assert synth(folder, out="file/out") == EXIT_RESOURCE
    assert len(besides_the_engine(capsys)) == 1


def test_estimated_sensors_are_marked(files, capsys):
    folder, _ = files
    sensor = SensorModel.scalar(offset_dn=100, gain_e_per_dn=0.5, read_noise_e=3.0, estimated=True)
    save_sensor(folder / "sensor.json", sensor)
    assert synth(folder, "-n", "1") == 0
    assert "estimated from a single image" in capsys.readouterr().out
    assert manifest(folder)["sensor"]["estimated"] is True
