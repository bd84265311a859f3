"""The plug-in for Jetraw: the order of its calls, their statuses and their memory, on libraries that are not real."""

import ctypes
import json
import zlib

import numpy as np
import pytest

from compdistort.codecs import build_codec, jetraw
from compdistort.codecs.jetraw import Jetraw, Libraries, available, declare, load_libraries
from compdistort.errors import CodecRangeError, ConfigError, ResourceError

SETTINGS = {"id": "jetraw", "identifier": "0001-fast", "dat": "cameras/0001.dat", "error_bound": 1.5}
STATUSES = {
    4: b"license missing",
    7: b"file corrupt",
    8: b"unknown identifier",
    10: b"image too small",
    13: b"bad image",
}


def _pixels(pointer, n):
    return np.ctypeslib.as_array(pointer, (n,))


class Fake:
    """Both libraries in one: noise replacement clears the lowest bit, coding is Deflate; every call is noted."""

    def __init__(self, **wrong):
        self.calls, self.wrong = [], wrong

    def dpcore_init(self):
        self.calls.append(("init",))
        return 3  # calibration files found: no status

    def dpcore_load_parameters(self, path):
        self.calls.append(("load", path))
        return self.wrong.get("load", 0)

    def dpcore_prepare_image(self, pointer, n, identifier, error_bound):
        self.calls.append(("prepare", n, identifier, error_bound))
        if n < 6:
            return 10
        pixels = _pixels(pointer, n)
        pixels &= 0xFFFE
        return self.wrong.get("prepare", 0)

    def jetraw_encode(self, pointer, width, height, buffer, length):
        self.calls.append(("encode", width, height))
        stream = zlib.compress(_pixels(pointer, width * height).tobytes())
        room = ctypes.cast(length, ctypes.POINTER(ctypes.c_int32)).contents
        assert len(stream) <= room.value <= len(buffer)
        ctypes.memmove(buffer, stream, len(stream))
        room.value = self.wrong.get("length", len(stream))
        return self.wrong.get("encode", 0)

    def jetraw_decode(self, buffer, length, pointer, n):
        self.calls.append(("decode", length, n))
        pixels = np.frombuffer(zlib.decompress(ctypes.string_at(buffer, length)), np.uint16)
        _pixels(pointer, n)[:] = pixels + self.wrong.get("shift", 0)
        return self.wrong.get("decode", 0)

    def jetraw_version(self):
        return b"23.03.16.4"

    def dp_status_description(self, status):
        return STATUSES[status]


@pytest.fixture
def fake(monkeypatch):
    """Return a maker of libraries that are found instead of the real ones."""

    def install(**wrong):
        one = Fake(**wrong)
        monkeypatch.setattr(jetraw, "load_libraries", lambda: Libraries(one, one))
        return one

    return install


@pytest.fixture(scope="module")
def raw():
    return np.random.default_rng(3).integers(0, 4096, (12, 20)).astype(np.uint16)


def test_the_prepared_plane_is_the_decoded_image(raw, fake):
    library = fake()
    before = raw.copy()
    result = build_codec(SETTINGS).apply(raw)
    np.testing.assert_array_equal(raw, before)
    np.testing.assert_array_equal(result.decoded, raw & 0xFFFE)
    size = len(zlib.compress((raw & 0xFFFE).tobytes()))
    assert result.encoded_bytes == size
    assert result.record == {"codec": "jetraw", "version": "23.03.16.4"}
    assert library.calls == [
        ("init",),
        ("load", b"cameras/0001.dat"),
        ("prepare", 240, b"0001-fast", 1.5),
        ("encode", 20, 12),
        ("decode", size, 240),
    ]


def test_a_stack_goes_plane_by_plane(raw, fake):
    library = fake()
    stack = np.stack([raw, raw[::-1], raw // 2])
    codec = build_codec(SETTINGS)
    result = codec.prepare(stack).apply(stack[:, :, ::2])
    np.testing.assert_array_equal(result.decoded, stack[:, :, ::2] & 0xFFFE)
    names = [call[0] for call in library.calls]
    assert names == ["init", "load", "init", "load", *["prepare", "encode", "decode"] * 3]
    assert [call[1:] for call in library.calls if call[0] == "encode"] == [(10, 12)] * 3
    assert result.encoded_bytes == sum(codec.apply(plane).encoded_bytes for plane in stack[:, :, ::2])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"load": 7}, r"file corrupt \(status 7\) at calibration file 0001.dat; correct dat"),
        ({"prepare": 8}, r"unknown identifier \(status 8\) at plane of 12 x 20 pixels; check identifier and dat"),
        ({"encode": 4}, r"license missing \(status 4\) at plane of 12 x 20 pixels; check the licence"),
        ({"decode": 13}, r"bad image \(status 13\) at codestream of a plane"),
        ({"shift": 1}, r"did not give a plane of 12 x 20 pixels back as it was prepared"),
        ({"length": 0}, r"coded a plane of 12 x 20 pixels in 0 bytes"),
        ({"length": 10**6}, r"in 1000000 bytes"),
    ],
)
def test_whatever_a_library_refuses_is_said_in_its_words(raw, fake, wrong, message):
    library = fake(**wrong)
    with pytest.raises(CodecRangeError, match=f"codec 'jetraw'.*{message}"):
        build_codec(SETTINGS).apply(raw)
    if "length" in wrong:  # never read beyond the buffer
        assert library.calls[-1][0] == "encode"


def test_a_plane_that_is_too_small_is_named(raw, fake):
    fake()
    with pytest.raises(
        CodecRangeError, match=r"image too small \(status 10\) at plane of 1 x 5 pixels; .* large enough"
    ):
        build_codec(SETTINGS).apply(raw[:1, :5])


def test_a_calibration_that_is_refused_stops_the_study_before_it_starts(raw, fake):
    fake(load=7)
    with pytest.raises(CodecRangeError, match="file corrupt"):
        build_codec(SETTINGS).prepare(raw)


def test_configuration():
    codec = build_codec(SETTINGS)
    assert build_codec(json.loads(json.dumps(codec.get_config()))) == codec
    assert eval(repr(codec), {"Jetraw": Jetraw}) == codec
    assert codec.describe() == "noise replaced by dpcore (0001-fast of 0001.dat, error bound 1.5), coded by jetraw"
    assert Jetraw(identifier="a", dat="b").error_bound == 1
    for wrong in ({"identifier": ""}, {"dat": 5}, {"error_bound": 0}, {"error_bound": float("nan")}, {"bound": 1}):
        with pytest.raises(ConfigError, match=f"'jetraw'.*{next(iter(wrong))}"):
            build_codec({**SETTINGS, **wrong})
    for name in ("identifier", "dat"):
        with pytest.raises(ConfigError, match=f"codec 'jetraw' has no {name}; give {name}"):
            build_codec({key: value for key, value in SETTINGS.items() if key != name})


def test_limits(raw, fake):
    library = fake()
    for image in (raw.astype(np.float32), raw[0]):
        with pytest.raises(CodecRangeError, match="codec 'jetraw' takes"):
            build_codec(SETTINGS).apply(image)
    assert library.calls == []


def test_missing_libraries_are_named(raw, monkeypatch):
    monkeypatch.setattr(ctypes.util, "find_library", lambda name: None)
    assert not available()
    assert Jetraw.missing() == "the libraries jetraw and dpcore of Dotphoton"
    with pytest.raises(ResourceError, match=r"the library jetraw is not installed; install Jetraw .* codec 'external'"):
        build_codec(SETTINGS).prepare(raw)


def test_a_library_that_is_none_is_named(monkeypatch, tmp_path):
    (tmp_path / "none.so").write_bytes(b"no library")
    monkeypatch.setattr(ctypes.util, "find_library", lambda name: str(tmp_path / "none.so"))
    assert available()
    assert Jetraw.missing() == ""
    with pytest.raises(ResourceError, match=r"codec 'jetraw': a library cannot be loaded"):
        load_libraries()


class _Functions:
    """Any function by its name, as a loaded library gives it."""

    def __getattr__(self, name):
        function = type("Function", (), {})()
        setattr(self, name, function)
        return function


def test_every_function_that_is_called_is_declared():
    """Without its types ctypes would pass a float as an int, or cut a pointer to 32 bit."""
    libraries = declare(Libraries(_Functions(), _Functions()))
    names = {name for name in vars(Fake) if name.startswith(("dp", "jetraw"))}
    declared = {name: function for library in libraries for name, function in vars(library).items()}
    assert set(declared) == names
    assert declared["dpcore_prepare_image"].argtypes[-1] is ctypes.c_float
    assert all(hasattr(function, "restype") for function in declared.values())
    for name, function in declared.items():
        arguments = getattr(Fake, name).__code__.co_argcount - 1
        assert len(function.argtypes) == arguments, name


def test_real_libraries(raw):
    """Only where Jetraw and a licence are installed, with JETRAW_DAT and JETRAW_IDENTIFIER set."""
    import os

    if not (available() and os.environ.get("JETRAW_DAT") and os.environ.get("JETRAW_IDENTIFIER")):
        pytest.skip("the libraries of Jetraw are not installed, or JETRAW_DAT and JETRAW_IDENTIFIER are not set")
    large = np.random.default_rng(1).normal(1000, 20, (512, 512)).astype(np.uint16)
    codec = Jetraw(identifier=os.environ["JETRAW_IDENTIFIER"], dat=os.environ["JETRAW_DAT"])
    result = codec.prepare(large).apply(large)
    assert result.ratio > 1
    again = codec.apply(result.decoded)
    np.testing.assert_array_equal(again.decoded, result.decoded)
