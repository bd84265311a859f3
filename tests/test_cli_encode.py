"""`compdistort encode` and `decode`: any format in, the same image back, every refusal in one line with its code."""

import json
import math
from collections import Counter
from contextlib import nullcontext

import h5py
import numpy as np
import pytest
import zarr
from disk_reader import Reader
from vsq_case import GAIN, OFFSET, READ, front_of, noisy

from compdistort.cli import main
from compdistort.codecs.vsq.codec import Vsq
from compdistort.codecs.vsq.container import decode_array
from compdistort.io.images import read_image, write_png, write_tiff
from compdistort.io.volume import open_volume
from compdistort.io.volume_write import volume_writer
from compdistort.pipeline import encoding
from compdistort.pipeline.encoding import encode_file
from compdistort.pipeline.encoding_sensor import averaged, choose_sensor
from compdistort.sensor.model import SensorMaps, SensorModel
from compdistort.sensor.sensor_file import save_sensor

VOLUME = noisy((4, 96, 112))
UM = (4.0, 0.5, 0.25)
SENSOR = SensorModel.scalar(offset_dn=OFFSET, gain_e_per_dn=1 / GAIN, read_noise_e=READ / GAIN)
NUMBERS = ["--offset-dn", str(OFFSET), "--gain-e-per-dn", str(1 / GAIN), "--read-noise-e", str(READ / GAIN)]
QUICK = ["--backend", "jpegls", "--tile", "64"]


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run words in a folder with raw files and a sensor; return code, JSON and what was said on stderr."""
    monkeypatch.chdir(tmp_path)
    with volume_writer("raw.tif", VOLUME.shape, "u2", voxel_um=UM) as writer:
        writer.write_planes(VOLUME)
    write_tiff("plane.tif", VOLUME[0])
    save_sensor("sensor.json", SENSOR)

    def run_words(*words, as_json=True):
        code = main([*words, *(["--json"] if as_json else [])])
        out, err = capsys.readouterr()
        return code, (json.loads(out) if as_json and out else out), err

    return run_words


def twin(image, **settings):
    """The study codec's decoded image."""
    chosen = {"step": 2.0, "backend": "jpegls", "tile": 64} | settings
    return Vsq(**chosen).with_sensor(SENSOR).apply(image).decoded


def test_a_volume_there_and_back(run, tmp_path):
    code, told, _ = run("encode", "raw.tif", "a.vsq", "--sensor", "sensor.json", *QUICK)
    assert code == 0
    decoded = twin(VOLUME)
    change = decoded.astype(float) - VOLUME
    variance = SENSOR.variance_dn2(VOLUME).clip(READ**2)
    assert told["measured"]["added_db"] == pytest.approx(
        10 * math.log10(1 + np.square(change).mean() / variance.mean())
    )
    data = (tmp_path / "a.vsq").read_bytes()
    assert told["bytes"] == len(data)
    assert told["ratio"] == pytest.approx(VOLUME.nbytes / len(data))
    assert told["ratio"] > 4
    assert told["header"]["added_db"]["nominal"] == pytest.approx(1.249, abs=0.001)
    assert told["header"]["calibration"]["sensor"] == "sensor.json"
    assert told["header"]["voxel_um"] == list(UM)
    code, told, _ = run("decode", "a.vsq", "back.tif")
    assert code == 0
    assert (told["shape"], told["dtype"], told["damaged"]) == ([4, 96, 112], "uint16", [])
    for name in ("back.tif", "back.zarr", "back.npy"):
        assert run("decode", "a.vsq", name)[0] == 0
        np.testing.assert_array_equal(read_image(name), decoded)
    for name in ("back.tif", "back.zarr"):
        with open_volume(name) as volume:
            assert volume.voxel_um == UM
    attributes = zarr.open_group("back.zarr", mode="r").attrs["compdistort"]
    assert attributes["decoded_from"] == front_of(data).header


def test_typed_numbers_are_the_sensor_file(run):
    assert run("encode", "raw.tif", "a.vsq", *NUMBERS, *QUICK, "--step", "1.5")[0] == 0
    assert run("decode", "a.vsq", "a.npy")[0] == 0
    np.testing.assert_array_equal(np.load("a.npy"), twin(VOLUME, step=1.5))
    code, told, _ = run("encode", "raw.tif", "a.vsq", *NUMBERS, *QUICK, "--max-dn", "4095")
    assert (code, told) == (3, "")  # brighter pixels than the camera has


def test_every_input_format_gives_the_same_pixels(run, tmp_path):
    np.save("raw.npy", VOLUME)
    with h5py.File("raw.h5", "w") as file:
        file.create_dataset("volume", data=VOLUME)
    with volume_writer("raw.zarr", VOLUME.shape, "u2") as writer:
        writer.write_planes(VOLUME)
    (tmp_path / "folder").mkdir()
    for number, plane in enumerate(VOLUME):
        write_tiff(f"folder/p{number}.tif", plane)
    for name in ("raw.npy", "raw.h5::volume", "raw.zarr", "folder"):
        assert run("encode", name, "a.vsq", "--sensor", "sensor.json", *QUICK)[0] == 0
        assert run("decode", "a.vsq", "a.npy")[0] == 0
        np.testing.assert_array_equal(np.load("a.npy"), twin(VOLUME))


def test_planes_are_images_of_two_axes(run):
    write_png("plane.png", VOLUME[0])
    for name in ("plane.tif", "plane.png"):
        code, told, _ = run("encode", name, "a.vsq", "--sensor", "sensor.json", *QUICK)
        assert (code, told["header"]["shape"], told["header"]["axes"]) == (0, [96, 112], "yx")
        for out in ("b.tif", "b.zarr", "b.npy", "b.png"):
            assert run("decode", "a.vsq", out)[0] == 0
            assert read_image(out).shape == (96, 112)
            np.testing.assert_array_equal(read_image(out), twin(VOLUME[0]))


def test_some_planes_and_fractions(run):
    assert run("encode", "raw.tif", "a.vsq", "--sensor", "sensor.json", *QUICK)[0] == 0
    decoded = twin(VOLUME)
    for words, part in (("2", decoded[2]), ("1:3", decoded[1:3]), ("0:4", decoded)):
        assert run("decode", "a.vsq", "b.npy", "--planes", words)[0] == 0
        np.testing.assert_array_equal(np.load("b.npy"), part)
    code, told, _ = run("decode", "a.vsq", "b.tif", "--fractions")
    assert (code, told["dtype"]) == (0, "float32")
    np.testing.assert_array_equal(read_image("b.tif", kind="any"), twin(VOLUME, output="float32"))
    for words in ("4", "2:2", "1:9", "-1", "a"):
        code, _, err = run("decode", "a.vsq", "c.npy", f"--planes={words}")
        assert (code, "--planes" in err) == (2, True)


def test_info_and_check(run):
    assert run("encode", "raw.tif", "a.vsq", "--sensor", "sensor.json", *QUICK, "--seed", "5")[0] == 0
    code, told, _ = run("decode", "a.vsq", "--info")
    assert (code, told["header"]["seed"], told["header"]["axes"]) == (0, 5, "zyx")
    code, out, _ = run("decode", "a.vsq", "--info", as_json=False)
    assert "voxel 4 x 0.5 x 0.25 um" in out
    assert "1.249 dB of noise added nominally, at most" in out
    assert "sensor sensor.json, sha256" in out
    code, out, _ = run("decode", "a.vsq", "--check", as_json=False)
    assert (code, "all chunks hold" in out) == (0, True)


def test_damage_is_named_and_costs_code_3(run, tmp_path):
    assert run("encode", "raw.tif", "a.vsq", "--sensor", "sensor.json", *QUICK)[0] == 0
    data = bytearray((tmp_path / "a.vsq").read_bytes())
    part = front_of(bytes(data)).parts[5]
    data[part.offset + 20] ^= 1
    (tmp_path / "a.vsq").write_bytes(data)
    code, _, err = run("decode", "a.vsq", "b.tif")
    assert code == 3
    assert "a.vsq: chunk 5 (plane 1, rows 0:64, columns 64:112) is damaged" in err
    assert not (tmp_path / "b.tif").exists()
    code, told, _ = run("decode", "a.vsq", "b.tif", "--keep-going")
    assert code == 3
    assert "chunk 5" in told["damaged"][0]
    expected = twin(VOLUME)
    expected[1, :64, 64:] = 0
    np.testing.assert_array_equal(read_image("b.tif"), expected)
    code, out, _ = run("decode", "a.vsq", "--check", as_json=False)
    assert code == 3
    assert "damaged: a.vsq: chunk 5" in out
    code, out, _ = run("decode", "a.vsq", "b.tif", "--keep-going", as_json=False)
    assert "lost, written as 0: a.vsq: chunk 5" in out


def test_a_decoded_image_is_coded_again_to_the_same_file(run, tmp_path):
    assert run("encode", "raw.tif", "a.vsq", "--sensor", "sensor.json", *QUICK)[0] == 0
    assert run("decode", "a.vsq", "b.tif")[0] == 0
    assert run("encode", "b.tif", "c.vsq", "--like", "a.vsq")[0] == 0
    assert (tmp_path / "c.vsq").read_bytes() == (tmp_path / "a.vsq").read_bytes()
    assert run("encode", "plane.tif", "c.vsq", "--like", "a.vsq")[0] == 3
    assert run("encode", "b.tif", "c.vsq", "--like", "a.vsq", "--step", "1")[0] == 2
    assert run("encode", "b.tif", "c.tif", "--like", "a.vsq")[0] == 2


def test_like_takes_no_other_image_and_no_settings(run, tmp_path):
    assert run("encode", "raw.tif", "a.vsq", "--sensor", "sensor.json", *QUICK)[0] == 0
    other = twin(VOLUME)
    other[0, 0, 0] += 300
    write_tiff(tmp_path / "other.tif", other)
    code, _, err = run("encode", "other.tif", "c.vsq", "--like", "a.vsq")
    assert (code, "decode to other pixels" in err) == (3, True)
    for words in (("--backend", "archive"), ("--tile", "64"), ("--allow-estimated",)):
        code, _, err = run("encode", "raw.tif", "c.vsq", "--like", "a.vsq", *words)
        assert (code, f"leave out {words[0]}" in err) == (2, True)
    assert not (tmp_path / "c.vsq").exists()
    code, _, err = run("decode", "a.vsq", "--info", "--planes", "0")
    assert (code, "give OUT, too" in err) == (2, True)


def test_a_wanted_ratio_and_a_wanted_noise(run):
    code, told, _ = run("encode", "raw.tif", "a.vsq", "--sensor", "sensor.json", *QUICK, "--ratio", "6")
    assert (code, told["reached"]) == (0, True)
    assert told["ratio"] == pytest.approx(6, rel=0.05)
    code, told, _ = run("encode", "raw.tif", "a.vsq", "--sensor", "sensor.json", *QUICK, "--added-db", "0.5")
    assert told["header"]["added_db"]["nominal"] == pytest.approx(0.5)
    code, told, _ = run("encode", "raw.tif", "a.vsq", "--sensor", "sensor.json", *QUICK, "--max-db", "0.5")
    assert told["header"]["added_db"]["guaranteed"] <= 0.5 + 1e-9
    assert run("encode", "raw.tif", "a.vsq", "--sensor", "sensor.json", "--step", "2", "--ratio", "6")[0] == 2
    _, out, _ = run(
        "encode", "plane.tif", "a.vsq", "--sensor", "sensor.json", *QUICK, "--ratio", "500", as_json=False
    )  # fmt: skip
    assert "wanted ratio 500:1: not reached: the step can go no farther" in out


@pytest.mark.parametrize("backend", ["jxl", "deflate"])
def test_index_pages_in_tiff(run, backend):
    words = ("encode", "raw.tif", "a.tif", "--sensor", "sensor.json", "--backend", backend, "--seed", "9")
    code, told, _ = run(*words)
    assert (code, "tile" in told["header"]) == (0, False)
    code, _, err = run("encode", "a.tif", "b.vsq", "--sensor", "sensor.json")
    assert (code, "not intensities" in err) == (3, True)
    assert run("decode", "a.tif", "b.npy")[0] == 0
    np.testing.assert_array_equal(np.load("b.npy"), twin(VOLUME, tile=128, seed=9))
    assert run("decode", "a.tif", "--check")[1]["damaged"] == []
    assert "a page a plane" in run("decode", "a.tif", "--info", as_json=False)[1]
    code, _, err = run("decode", "raw.tif", "b.npy")
    assert (code, "holds an image" in err) == (3, True)
    assert run("encode", "raw.tif", "c.tif", "--sensor", "sensor.json", "--backend", "jpegls")[0] == 2


def test_an_estimated_sensor_only_on_purpose(run):
    estimated = SensorModel.scalar(
        offset_dn=OFFSET, gain_e_per_dn=1 / GAIN, read_noise_e=READ / GAIN, estimated=True
    )  # fmt: skip
    save_sensor("guess.json", estimated)
    code, _, err = run("encode", "raw.tif", "a.vsq", "--sensor", "guess.json", *QUICK)
    assert (code, "estimate" in err) == (3, True)
    code, told, _ = run("encode", "raw.tif", "a.vsq", "--sensor", "guess.json", *QUICK, "--allow-estimated")
    assert (code, told["header"]["law"]["estimated"]) == (0, True)
    assert "ESTIMATED from a single image" in run("decode", "a.vsq", "--info", as_json=False)[1]


def test_maps_of_a_sensor_go_into_the_file(run, tmp_path):
    rng = np.random.default_rng(4)
    maps = SensorMaps(
        gain_e_per_dn=rng.normal(1 / GAIN, 0.01, (96, 112)),
        offset_dn=rng.normal(OFFSET, 1, (96, 112)),
        read_noise_e=rng.uniform(1, 2, (96, 112)),
    )
    save_sensor("maps.json", SensorModel(regions=SENSOR.regions, maps=maps, frame_shape=(96, 112)))
    assert run("encode", "raw.tif", "a.vsq", "--sensor", "maps.json", *QUICK)[0] == 0
    (tmp_path / "maps.maps.npz").unlink()
    assert run("decode", "a.vsq", "b.npy")[0] == 0
    decoded, header = decode_array((tmp_path / "a.vsq").read_bytes())
    np.testing.assert_array_equal(np.load("b.npy"), decoded)
    np.testing.assert_array_equal(header.quantiser.law.maps.offset_dn, maps.offset_dn)
    assert "medians of per-pixel maps" in run("decode", "a.vsq", "--info", as_json=False)[1]
    assert run("encode", "raw.tif", "a.tif", "--sensor", "maps.json")[0] == 3  # its maps are gone


REFUSED = {
    "no sensor": (["encode", "raw.tif", "a.vsq"], 2, "from one source"),
    "two sensors": (["encode", "raw.tif", "a.vsq", "--sensor", "sensor.json", *NUMBERS], 2, "from one source"),
    "two numbers": (["encode", "raw.tif", "a.vsq", *NUMBERS[:4]], 2, "from one source"),
    "odd top": (["encode", "raw.tif", "a.vsq", *NUMBERS, "--max-dn", "4000"], 2, "is no largest grey level"),
    "no file": (["encode", "none.tif", "a.vsq", *NUMBERS], 3, "does not exist"),
    "suffix": (["encode", "raw.tif", "a.jpg", *NUMBERS], 2, "end the name in .vsq or .tif"),
    "itself": (["encode", "raw.tif", "raw.tif", *NUMBERS], 2, "would be overwritten"),
    "coder": (["encode", "raw.tif", "a.vsq", *NUMBERS, "--backend", "zip"], 2, "backend 'zip'"),
    "seed": (["encode", "raw.tif", "a.vsq", *NUMBERS, "--seed", "time"], 2, "seed"),
    "step": (["encode", "raw.tif", "a.vsq", *NUMBERS, "--step", "99"], 2, "step"),
    "plain step": (["encode", "raw.tif", "a.vsq", *NUMBERS, "--step", "2", "--dither", "none"], 2, "1.5"),
    "folder": (["encode", "raw.tif", "none/a.vsq", *NUMBERS], 4, "does not exist"),
    "quiet image": (["encode", "mean.tif", "a.vsq", *NUMBERS], 3, "noise variance is"),
    "nothing to do": (["decode", "raw.tif"], 2, "give OUT, --info or --check"),
    "too much to do": (["decode", "raw.tif", "--info", "--check"], 2, "give OUT, --info or --check"),
    "no VSQ": (["decode", "mean.npy", "a.tif"], 3, "is no .vsq file"),
    "kind": (["decode", "a.vsq", "a.jpg"], 2, "use one of .tif"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refusals_in_one_line(run, tmp_path, case):
    mean = noisy((40, 96, 112), 8, saturated=False).mean(0)
    write_tiff("mean.tif", np.rint(mean).astype(np.uint16))
    np.save("mean.npy", mean)
    words, wanted, said = REFUSED[case]
    code, out, err = run(*words, as_json=False)
    assert (code, out) == (wanted, "")
    assert said in err
    assert len(err.strip().splitlines()) == 1
    assert not (tmp_path / "a.vsq").exists()


def test_the_mean_of_frames_has_less_noise(run):
    frames = noisy((16, 96, 112), 3, saturated=False)
    write_tiff("mean.tif", np.rint(frames.mean(0)).astype(np.uint16))
    code, told, _ = run("encode", "mean.tif", "a.vsq", "--sensor", "sensor.json", *QUICK, "--frames", "16")
    assert code == 0
    assert told["header"]["law"]["gain_dn_per_e"] == pytest.approx(GAIN / 16)
    assert run("encode", "mean.tif", "a.vsq", "--sensor", "sensor.json", *QUICK)[0] == 3
    gain, offset, variance = averaged(SENSOR, 16).parameters()
    assert (gain, offset, variance) == pytest.approx((GAIN / 16, OFFSET, READ**2 / 16))


def test_a_volume_is_read_a_few_planes_at_a_time(run, tmp_path, monkeypatch):
    reader = Reader(np.concatenate([VOLUME] * 6), most=8)
    monkeypatch.setattr(encoding, "opened_image", lambda path: nullcontext((reader, None)))
    sensor = choose_sensor(tmp_path / "sensor.json", (None, None, None), None)
    encode_file(tmp_path / "raw.tif", tmp_path / "a.vsq", {"step": 2.0, "backend": "jpegls"}, sensor)
    assert set(Counter(reader.planes_asked).values()) <= {2, 3}  # counted, coded; one is compared with the sensor
    np.testing.assert_array_equal(
        decode_array((tmp_path / "a.vsq").read_bytes())[0], np.concatenate([twin(VOLUME, tile=1024)] * 6)
    )


def test_the_file_does_not_depend_on_threads(run, tmp_path):
    sensor = choose_sensor(tmp_path / "sensor.json", (None, None, None), None)
    for threads in (1, 4):
        encode_file(
            tmp_path / "raw.tif",
            tmp_path / f"{threads}.vsq",
            {"step": 1.0, "backend": "jpegls", "tile": 32},
            sensor,
            threads=threads,
        )
    assert (tmp_path / "1.vsq").read_bytes() == (tmp_path / "4.vsq").read_bytes()
