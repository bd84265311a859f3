"""Codecs of other programs: decoded files and their size, programs that work, and every way in which they can fail."""

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import external_tool
import numpy as np
import pytest

from compdistort.codecs import RatioSearch, build_codec, codec_ids, compress_planes
from compdistort.codecs.base import ConfigCodec
from compdistort.codecs.external import External
from compdistort.codecs.external_command import ExternalCommand
from compdistort.codecs.external_file import ExternalFile
from compdistort.codecs.planewise import DecodedPlanes
from compdistort.config_codec import portable_settings
from compdistort.errors import (
    CodecRangeError,
    CompdistortError,
    ConfigError,
    ImageFormatError,
    InputError,
    ResourceError,
)
from compdistort.io.images import write_png, write_tiff
from compdistort.io.planes import as_reader

TOOL = [sys.executable, "-I", "-S", external_tool.__file__]
PACK = {
    "format": "npy",
    "encode": [*TOOL, "encode", "{in}", "{out}", "{level}"],
    "decode": [*TOOL, "decode", "{in}", "{out}"],
}
NAMES = {cls.__name__: cls for cls in (External, ExternalCommand, ExternalFile, RatioSearch)}


@pytest.fixture(scope="module")
def raw():
    return np.random.default_rng(5).integers(0, 4096, (24, 40)).astype(np.uint16)


def build(**settings):
    return build_codec({"id": "external", **settings}, allow_code=True)


def fails(what, *more, **settings):
    """Return a codec whose first program does `what`, and whose second one copies."""
    line = [*TOOL, what, "{in}", "{out}", *map(str, more)]
    return build(format="npy", encode=line, decode=["cp", "{in}", "{out}"], **settings)


def no_levels():
    raise AssertionError("this codec takes nothing from the grey levels")


def check_data(codec):
    """The configuration is JSON and gives the codec back; so does the repr."""
    config = json.loads(json.dumps(codec.get_config(), allow_nan=False))
    assert build_codec({**config, "name": "any"}, allow_code=True) == codec
    assert eval(repr(codec), NAMES) == codec
    assert codec.describe()
    with pytest.raises(ConfigError, match="'external' has no setting 'qualitty'"):
        build_codec({**config, "qualitty": 3}, allow_code=True)
    with pytest.raises((AttributeError, TypeError)):
        codec.source = None


# ---- programs ----


def test_two_programs_are_a_codec(raw):
    codec = build(**PACK, level=4, integer=True)
    check_data(codec)
    result = codec.prepare(raw).apply(raw)
    np.testing.assert_array_equal(result.decoded, raw & 0xFFF0)
    assert result.decoded.dtype == np.uint16
    assert result.ratio == 2 * raw.size / result.encoded_bytes
    assert result.record == {"codec": "external", "level": 4}
    assert not codec.raw_alone
    stack = np.stack([raw, raw // 2])
    np.testing.assert_array_equal(codec.apply(stack).decoded, stack & 0xFFF0)
    assert "level 4" in codec.describe()
    assert "{in} {out} {level}" in codec.describe()


def test_one_program_leaves_the_compressed_file_beside(raw):
    codec = build(command=[*TOOL, "both", "{in}", "{out}", "{encoded}", "3"], encoded="image.z", format="npy")
    check_data(codec)
    result = codec.apply(raw)
    np.testing.assert_array_equal(result.decoded, raw & 0xFFF8)
    twin = build(**PACK, level=3, integer=True).apply(raw)
    assert result.encoded_bytes == twin.encoded_bytes


def test_tiff_is_what_programs_are_given_by_default(raw):
    codec = build(encode=["cp", "{in}", "{out}"], decode=["cp", "{in}", "{out}"])
    np.testing.assert_array_equal(codec.apply(raw).decoded, raw)
    np.testing.assert_array_equal(codec.apply(raw[None]).decoded, raw[None])
    np.testing.assert_array_equal(codec.apply(np.stack([raw] * 3)).decoded, np.stack([raw] * 3))
    assert codec.source.encoded == "encoded"


def test_a_folder_counts_with_all_its_files(raw):
    codec = build(format="npy", encode=[*TOOL, "folder", "{in}", "{out}"], decode=[*TOOL, "unfolder", "{in}", "{out}"])
    assert codec.apply(raw).encoded_bytes == external_tool.HEADER + raw.nbytes + 3


@pytest.mark.parametrize(
    ("what", "error", "message"),
    [
        (
            "fail",
            InputError,
            r"ended with exit code 3 \(it said: nothing to see\); mend the command; it runs in a folder of its own",
        ),
        ("die", InputError, r"ended with signal 9"),
        ("nothing", InputError, r"no compressed file encoded was written; let the command write"),
        ("link", InputError, r"no compressed file encoded was written"),
        ("empty", InputError, r"encoded is empty"),
        ("touch_input", InputError, r"changed its input; let it work on a copy"),
        ("remove_input", InputError, r"changed its input"),
        ("talk", InputError, r"exit code 1 \(it said: .{200,300} the last words\)"),
    ],
)
def test_a_program_that_fails_is_named(raw, what, error, message):
    with pytest.raises(error, match=message) as caught:
        fails(what).apply(raw)
    assert "codec 'external'" in caught.value.what
    assert len(str(caught.value)) < 1000


def _grows(log):
    before = log.stat().st_size
    time.sleep(0.15)
    return log.stat().st_size > before


@pytest.mark.parametrize("what", ["hang", "leave_child"])
def test_nothing_that_a_program_started_outlives_it(raw, tmp_path, what):
    log = tmp_path / "log"
    codec = fails(what, log, timeout=1.5 if what == "hang" else 60)
    if what == "hang":
        began = time.monotonic()
        with pytest.raises(ResourceError, match=r"took more than timeout = 1.5 s, and was ended; raise timeout"):
            codec.apply(raw)
        assert time.monotonic() - began < 20
    else:
        codec.apply(raw)
    assert log.stat().st_size > 0
    assert not _grows(log)


def test_a_flood_of_output_is_ended(raw, monkeypatch):
    from compdistort.codecs import external_job

    monkeypatch.setattr(external_job, "_SPARE_BYTES", 2**20)
    with pytest.raises(InputError, match=r"wrote more than \d+ bytes, and was ended"):
        fails("bomb").apply(raw)


def test_no_shell_and_no_folder_of_the_user_is_involved(raw, tmp_path, monkeypatch):
    """What a shell would act on arrives as it is, and the program works in an empty folder."""
    monkeypatch.chdir(tmp_path)
    words = ["; touch gone", "$(touch gone)", "`touch gone`", "*", "a b", ">gone"]
    fails("args", tmp_path / "args", *words).apply(raw)
    assert (tmp_path / "args").read_text() == repr(tuple(words))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["args"]


@pytest.mark.parametrize(
    ("made", "error", "message"),
    [
        (lambda raw: raw[:-1], CodecRangeError, r"has shape \(23, 40\), not \(24, 40\)"),
        (lambda raw: np.stack([raw, raw]), CodecRangeError, r"has shape \(2, 24, 40\)"),
        (lambda raw: raw.astype(np.float64), CodecRangeError, r"holds float64 pixels; save it on the scale of the raw"),
        (lambda raw: raw.astype(np.uint8), CodecRangeError, r"holds uint8 pixels"),
        (lambda raw: raw.astype(np.float32) - 5000, CodecRangeError, r"holds values -\d+ to -\d+, outside 0 to 65535"),
        (lambda raw: np.where(raw > 9, raw, np.nan).astype(np.float32), ImageFormatError, r"NaN or infinite"),
    ],
)
def test_what_comes_back_is_checked_wherever_it_comes_from(raw, tmp_path, made, error, message):
    """From a program, and from a file."""
    np.save(tmp_path / "made.npy", made(raw))
    serve = [*TOOL, "serve", "{in}", "{out}", str(tmp_path / "made.npy")]
    codec = build(format="npy", encode=["cp", "{in}", "{out}"], decode=serve)
    with pytest.raises(error, match=message):
        codec.apply(raw)
    file = build(decoded=str(tmp_path / "made.npy"), encoded_bytes=100)
    with pytest.raises(error, match=message.replace("not", "not that of the raw image,")):
        file.prepare(raw)


def test_a_missing_decoded_image_is_named(raw):
    codec = build(format="npy", encode=["cp", "{in}", "{out}"], decode=[*TOOL, "nothing", "{in}", "{out}"])
    with pytest.raises(InputError, match=r"no decoded image decoded.npy was written"):
        codec.apply(raw)


def test_float32_may_come_back(raw, tmp_path):
    np.save(tmp_path / "made.npy", raw.astype(np.float32) + np.float32(0.25))
    result = build(decoded=str(tmp_path / "made.npy"), encoded_bytes=100).prepare(raw).apply(raw)
    assert result.decoded.dtype == np.float32
    assert (result.encoded_bytes, result.ratio) == (100, 2 * raw.size / 100)


def test_threads_do_not_meet(raw):
    codec = build(**PACK, level=2, integer=True)
    images = [raw + number for number in range(8)]
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(codec.apply, images))
    for image, result in zip(images, results, strict=True):
        np.testing.assert_array_equal(result.decoded, image & 0xFFFC)


def test_the_level_of_a_ratio_is_found_on_the_raw_image(raw):
    asked = build(**PACK, ratio=3, low=0, high=12, integer=True)
    with pytest.raises(ConfigError, match="no level yet; call prepare"):
        asked.apply(raw)
    codec = asked.prepare(raw)
    check_data(codec)
    ratios = {level: build(**PACK, level=level, integer=True).apply(raw).ratio for level in range(13)}
    best = min(ratios, key=lambda level: abs(np.log(ratios[level] / 3)))
    assert codec.source.level == best
    result = codec.apply(raw)
    assert result.ratio == ratios[best]
    assert result.record["raw_ratio"] == result.ratio
    assert result.record["reached"] == (abs(result.ratio / 3 - 1) <= 0.05)
    assert 3 <= result.record["encodes"] <= 13
    assert codec.prepare(raw // 2) == codec
    far = build(**PACK, ratio=1000, low=0, high=3, integer=True).prepare(raw)
    assert (far.source.level, far.source.search.reached, far.source.search.limit) == (3, False, "range")


def test_programs_take_whole_volumes_alone(raw):
    codec = build(**PACK, level=4, integer=True)
    for call in (codec.prepare_planes, codec.plane_coder):
        with pytest.raises(ConfigError, match="codes several planes together"):
            call(as_reader(np.stack([raw, raw])), no_levels)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "has no decoded image; give decoded = FILE"),
        ({"encode": ["a", "{in}", "{out}"]}, "has no decoded image"),
        ({"command": ["a", "{in}", "{out}"], **PACK}, "has no decoded image"),
        ({"command": ["a", "{in}", "{out}"]}, r"nothing tells how large .* encoded = "),
        ({"command": "tool {in} {out}", "encoded": "a"}, r"command = 'tool \{in\} \{out\}' is no list of words"),
        ({"command": [], "encoded": "a"}, r"is no list of words"),
        ({"command": ["a", 3, "{in}", "{out}"], "encoded": "a"}, r"is no list of words"),
        ({"command": ["{in}", "{out}"], "encoded": "a"}, r"\{in\} is no program"),
        ({"command": ["a", "{in}"], "encoded": "a"}, r"command has no \{out\}"),
        ({"command": ["a", "{in}", "{out}", "{what}"], "encoded": "a"}, r"\{what\} means nothing there; use \{in\}"),
        ({**PACK, "decode": ["a", "{in}", "{out}", "{encoded}"], "level": 1}, r"decode: \{encoded\} means nothing"),
        ({**PACK, "level": 1, "encoded": "../a"}, "no plain name"),
        ({**PACK, "level": 1, "encoded": "raw.npy"}, "another file's name"),
        ({**PACK, "level": 1, "format": "png"}, "format = 'png' is unknown; use tiff or npy"),
        ({**PACK, "level": 1, "timeout": 0}, "timeout = 0 is not possible"),
        ({**PACK}, r"no level is given for \{level\}"),
        ({**PACK, "level": "high"}, "level = 'high' is no number"),
        ({**PACK, "level": 2, "ratio": 10, "low": 1, "high": 9}, "has ratio = 10 and level = 2; give one of them"),
        ({**PACK, "level": 2.5, "integer": True}, "level = 2.5 is no whole number"),
        ({**PACK, "ratio": 10, "low": 1, "high": 9.5, "integer": True}, "high = 9.5 is no whole number"),
        ({**PACK, "level": 2, "integer": "yes"}, "integer = 'yes' is no truth"),
        ({**PACK, "level": 1, "format": ["tiff"]}, r"format = \['tiff'\] is unknown"),
        ({**PACK, "level": 1, "search": {"knob": 3}}, "search = .* is none"),
        ({**PACK, "ratio": 10}, "low = None, high = None are no ends"),
        ({**PACK, "ratio": 10, "low": 0, "high": 5, "log": True}, "above 0 where log = true"),
        ({**PACK, "ratio": 10, "low": 5, "high": 5}, "are no ends of a level"),
        ({**PACK, "ratio": 0.5, "low": 1, "high": 5}, "ratio = 0.5 is not possible"),
        ({**PACK, "level": 2, "low": 1, "high": 5}, "low and high do nothing without ratio"),
        ({"command": ["a", "{in}", "{out}"], "encoded": "a", "level": 2}, r"do nothing without \{level\}"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        build(**settings)


def test_a_program_that_does_not_exist_is_named_before_anything_runs(raw):
    codec = build(encode=["no-such-tool", "{in}", "{out}"], decode=["cp", "{in}", "{out}"])
    with pytest.raises(ConfigError, match="program 'no-such-tool' does not exist; install it"):
        codec.prepare(raw)
    with pytest.raises(ConfigError, match="program 'no-such-tool' does not exist"):
        codec.apply(raw)


def test_programs_are_not_built_unless_allowed():
    with pytest.raises(ConfigError, match=r"codec 'mine' runs the program .*; read the command, then allow it"):
        build_codec({"id": "external", "name": "mine", **PACK, "level": 1})
    assert build_codec({"id": "external", "decoded": "a.tif", "encoded_bytes": 1}).raw_alone
    assert {"external", "jetraw"} <= set(codec_ids())


def test_the_temporary_folder_is_left_empty(raw, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    build(**PACK, level=1, integer=True).apply(raw)
    with pytest.raises(InputError):
        fails("fail").apply(raw)
    assert not list(tmp_path.iterdir())


# ---- files ----


@pytest.fixture
def files(raw, tmp_path):
    """Folder with a decoded volume, a plane of it, and what they were compressed to."""
    volume = np.stack([raw + 16 * number for number in range(4)])
    write_tiff(tmp_path / "volume.tif", volume)
    write_png(tmp_path / "plane.png", volume[2])
    (tmp_path / "packed").mkdir()
    (tmp_path / "packed" / "a.bin").write_bytes(bytes(500))
    (tmp_path / "packed" / "b.bin").write_bytes(bytes(100))
    return tmp_path


def test_a_decoded_file_is_a_codec_of_the_raw_image(raw, files):
    codec = build(decoded=str(files / "plane.png"), compressed=str(files / "packed" / "a.bin"))
    check_data(codec)
    assert codec.raw_alone
    with pytest.raises(ConfigError, match=r"plane.png belongs to no image yet; call prepare"):
        codec.apply(raw)
    prepared = codec.prepare(raw)
    check_data(prepared)
    result = prepared.apply(raw)
    np.testing.assert_array_equal(result.decoded, raw + 32)
    assert (result.encoded_bytes, result.ratio) == (500, 2 * raw.size / 500)
    assert result.record == {
        "codec": "external", "decoded": "plane.png", "part": "whole", "file_pixels": raw.size, "file_bytes": 500,
    }  # fmt: skip
    assert codec.describe() == "decoded elsewhere: plane.png; size of a.bin"


def test_no_other_image_goes_through_a_decoded_file(raw, files):
    codec = build(decoded=str(files / "plane.png"), encoded_bytes=300).prepare(raw)
    for other in (raw + 1, raw[None], raw.T):
        with pytest.raises(
            CodecRangeError, match=r"was decoded from the raw image, and this is another; give the tool"
        ):
            codec.apply(other)


@pytest.mark.parametrize(
    ("cut", "settings", "part"),
    [
        (np.s_[:], {}, "whole"),
        (np.s_[2], {"page": 2}, "page 2"),
        (np.s_[:, 4:20, 8:40], {"crop": "4:20,8:40"}, "crop 4:20,8:40"),
        (np.s_[1:3, 4:20, 8:40], {"crop": "1:3,4:20,8:40"}, "crop 1:3,4:20,8:40"),
        (np.s_[3, 4:20, 8:40], {"page": 3, "crop": "4:20,8:40"}, "page 3, crop 4:20,8:40"),
    ],
)
def test_the_part_of_the_study_is_taken_of_a_larger_file(raw, files, cut, settings, part):
    """The same part of pixels and bytes; a file that is cut already is taken as it is."""
    volume = np.stack([raw + 16 * number for number in range(4)])
    seen = np.ascontiguousarray(volume[cut])
    whole = build(decoded=str(files / "volume.tif"), compressed=str(files / "packed"), **settings).prepare(seen)
    result = whole.apply(seen)
    np.testing.assert_array_equal(result.decoded, seen)
    assert result.record["part"] == part
    assert result.record["file_bytes"] == 600
    assert result.encoded_bytes == round(600 * seen.size / volume.size)
    write_tiff(files / "cut.tif", seen)
    ready = build(decoded=str(files / "cut.tif"), encoded_bytes=77, **settings).prepare(seen).apply(seen)
    np.testing.assert_array_equal(ready.decoded, seen)
    assert (ready.record["part"], ready.encoded_bytes) == ("whole", 77)


@pytest.mark.parametrize("cut", [np.s_[:], np.s_[1:3, 4:20, 8:40]])
def test_planes_of_a_volume_on_disk_are_those_of_the_file(raw, files, cut):
    volume = np.stack([raw + 16 * number for number in range(4)])
    seen = np.ascontiguousarray(volume[cut])
    settings = {} if seen.shape == volume.shape else {"crop": "1:3,4:20,8:40"}
    codec = build(decoded=str(files / "volume.tif"), compressed=str(files / "packed"), **settings)
    other = as_reader(seen + 1)  # nothing is taken from the planes themselves
    prepared = codec.prepare_planes(other, no_levels)
    outcome = compress_planes(prepared, other, no_levels)
    whole = codec.prepare(seen).apply(seen)
    assert (outcome.encoded_bytes, outcome.ratio, outcome.record) == (whole.encoded_bytes, whole.ratio, whole.record)
    planes = DecodedPlanes(prepared, other, no_levels)
    np.testing.assert_array_equal(planes.read_planes(0, len(seen)), whole.decoded)
    np.testing.assert_array_equal(planes.read_planes(1, 2), whole.decoded[1:2])
    with pytest.raises(CodecRangeError, match=r"volume.tif has shape \(4, 24, 40\), not that of the raw image, \(3, 2"):
        codec.prepare_planes(as_reader(np.stack([raw] * 3)), no_levels)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"decoded": "a.tif"}, "the size of a.tif is given never; give either compressed"),
        ({"decoded": "a.tif", "compressed": "b", "encoded_bytes": 3}, "is given twice"),
        ({"decoded": "", "encoded_bytes": 3}, "decoded = '' names no file"),
        ({"decoded": "a.tif", "compressed": 5}, "compressed = 5 names no file"),
        ({"decoded": "a.tif", "encoded_bytes": 0}, "encoded_bytes = 0 is not possible"),
        ({"decoded": "a.tif", "encoded_bytes": 2.5}, "encoded_bytes = 2.5 is not possible"),
        ({"decoded": "a.tif", "encoded_bytes": 3, "page": -1}, "page = -1 is not possible"),
        ({"decoded": "a.tif", "encoded_bytes": 3, "crop": "4:5"}, "crop '4:5' is not readable"),
        ({"decoded": "a.tif", "encoded_bytes": 3, "crop": 5}, "crop '5' is not readable"),
        ({"decoded": "a.tif", "encoded_bytes": 3, "encode": ["a"]}, "has no setting 'encode'"),
    ],
)
def test_settings_of_a_file_that_mean_nothing_are_refused(settings, message):
    with pytest.raises(CompdistortError, match=message):
        build(**settings)


def test_files_that_are_missing_or_do_not_fit_are_named(raw, files):
    with pytest.raises(ImageFormatError, match=r"gone.tif: does not exist"):
        build(decoded=str(files / "gone.tif"), encoded_bytes=1).prepare(raw)
    with pytest.raises(InputError, match=r"gone.bin does not exist; correct the path of the compressed file"):
        build(decoded=str(files / "plane.png"), compressed=str(files / "gone.bin")).prepare(raw)
    (files / "empty").mkdir()
    with pytest.raises(InputError, match=r"empty is empty"):
        build(decoded=str(files / "plane.png"), compressed=str(files / "empty")).prepare(raw)
    with pytest.raises(
        CodecRangeError, match=r"\(24, 40\), not that of the raw image, \(4, 40\), and no such part \(c"
    ):
        build(decoded=str(files / "plane.png"), encoded_bytes=1, crop="0:9,0:40").prepare(raw[:4])


def test_the_list_of_codecs_tells_the_settings_of_files_and_programs():
    from compdistort.pipeline.codec_list import codec_facts, describe_codec

    facts = codec_facts("external")
    assert {"decoded", "compressed", "encoded_bytes", "encode", "decode", "ratio", "timeout"} <= set(facts["settings"])
    assert not {"source", "search", "raw_digest"} & set(facts["settings"])
    assert json.loads(json.dumps(facts)) == facts
    assert "timeout = 60.0" in describe_codec(facts)


def test_any_codec_but_a_file_takes_every_image():
    assert ConfigCodec().raw_alone is False


def test_folders_of_the_machine_are_left_out_of_what_is_kept():
    settings = {"id": "external", "decoded": "/data/seen/a.h5::x/y", "compressed": "/data/a.bin", "level": 3}
    assert portable_settings(settings) == {**settings, "decoded": "a.h5::x/y", "compressed": "a.bin"}
    assert portable_settings({"id": "jetraw", "dat": str(Path("/x/y.dat"))})["dat"] == "y.dat"
    assert portable_settings({"id": "jpeg", "decoded": "/x/a"})["decoded"] == "/x/a"
