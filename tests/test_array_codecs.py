"""Coders of floats and bytes as codecs: volumes as a whole, rates and bounds, what counts as size, and FITS."""

import builtins
import importlib.util
import io
import json
import math
import sys

import codec_checks as checks
import coder_cases as cases
import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from compdistort.codecs import (
    Aec,
    Blosc2,
    DecodedPlanes,
    Fpack,
    JpegXlLossless,
    Lerc,
    Png,
    RatioSearch,
    Rice,
    Sperr,
    SperrRate,
    Sz3,
    Zfp,
    ZfpRate,
    Zstd,
    build_codec,
    compress_planes,
    fits_library,
)
from compdistort.codecs.coder import round_trip
from compdistort.errors import CodecRangeError, ConfigError
from compdistort.io.planes import as_reader

BY_VOLUME = [
    Sperr(max_error=20, axes="volume"),
    SperrRate(rate=2, axes="volume"),
    Sz3(max_error=20, axes="volume"),
    Zfp(max_error=20, axes="volume"),
    ZfpRate(ratio=9, axes="volume"),
    ZfpRate(rate=1, axes="volume"),
    Blosc2(effort=3, axes="volume"),
]
LOSSLESS = [Png(), Zstd(effort=3), Blosc2(effort=3), Rice(), Aec(), Lerc(max_error=0)]
NAMES = {type(codec).__name__: type(codec) for codec in cases.CODECS} | {"RatioSearch": RatioSearch}


@pytest.fixture(scope="module")
def scene():
    return checks.phase_scene()


@pytest.fixture(scope="module")
def stack():
    """Ten planes of a smooth body with photon noise, 12 bit: neighbours along every axis are alike."""
    rng = np.random.default_rng(3)
    smooth = gaussian_filter(rng.normal(size=(10, 64, 80)), (4, 6, 6))
    return rng.poisson(400 + 300 * smooth / np.abs(smooth).max()).astype(np.uint16)


# ---- all planes together ----


@pytest.mark.parametrize("codec", BY_VOLUME, ids=repr)
class TestWholeVolumes:
    def test_configuration(self, codec, stack):
        for each in (codec, codec.prepare(stack)):
            config = json.loads(json.dumps(each.get_config(), allow_nan=False))
            assert config["axes"] == "volume"
            assert build_codec(config) == each
            assert eval(repr(each), NAMES) == each
        assert "all planes together" in codec.describe()

    def test_results(self, codec, stack):
        for image in (stack, stack[:1], stack[0], stack[:, ::2, 5:]):
            result = checks.check_result(codec, image)
            assert result.record["axes"] == "volume"
            assert result.decoded.flags.writeable

    def test_planes_are_refused(self, codec, stack):
        planes = as_reader(stack)
        prepared = codec.prepare(stack)
        for call in (
            lambda: prepared.prepare_planes(planes, None),
            lambda: DecodedPlanes(prepared, planes, None),
            lambda: compress_planes(prepared, planes, None),
        ):
            with pytest.raises(ConfigError, match=f"'{codec.codec_id}' codes several planes together.*max_memory"):
                call()

    def test_limits(self, codec, stack):
        checks.check_limits(codec, stack[0])


def test_the_third_axis_pays(stack):
    """At the same bound SZ3 and SPERR need less for the whole volume; at the same rate ZFP is nearer to it.

    By a bound ZFP gains nothing on noise: in three dimensions it keeps more bits in hand.
    """
    exact = stack.astype(np.float64)
    for codec in (Sperr(max_error=20), Sz3(max_error=20)):
        whole, planes = build_codec({**codec.get_config(), "axes": "volume"}).apply(stack), codec.apply(stack)
        assert whole.encoded_bytes < planes.encoded_bytes
        for result in (whole, planes):
            assert np.abs(result.decoded - exact).max() <= codec.coder.bound(20)
    for codec in (ZfpRate(rate=1), ZfpRate(rate=5)):
        whole, planes = build_codec({**codec.get_config(), "axes": "volume"}).apply(stack), codec.apply(stack)
        assert cases.rms(whole.decoded, exact) < cases.rms(planes.decoded, exact)


def test_the_bytes_of_a_volume_are_those_of_one_codestream(stack):
    values = stack.astype(np.float32)
    stream = imagecodecs.sz3_encode(values, mode="abs", abs=20.0)
    result = Sz3(max_error=20, axes="volume").apply(stack)
    assert result.encoded_bytes == len(stream)
    np.testing.assert_array_equal(result.decoded, imagecodecs.sz3_decode(stream, shape=stack.shape, dtype=np.float32))
    planes = [imagecodecs.sz3_encode(plane, mode="abs", abs=20.0) for plane in values]
    assert Sz3(max_error=20).apply(stack).encoded_bytes == sum(map(len, planes))


@pytest.mark.parametrize("codec", [Sz3, SperrRate, ZfpRate, Blosc2])
def test_unknown_axes(codec):
    wrong = {"axes": "volumes"} | ({"ratio": 10} if codec is not Blosc2 else {})
    with pytest.raises(ConfigError, match="axes = 'volumes' is unknown; use planes or volume"):
        codec(**wrong)


@given(
    cls=st.sampled_from([Sperr, SperrRate, Sz3, Zfp, ZfpRate, Lerc, Fpack]),
    place=st.floats(0, 1),
    ratio=st.one_of(st.none(), st.floats(1.5, 1000)),
    axes=st.sampled_from(["planes", "volume"]),
    compression=st.sampled_from(["rice", "hcompress"]),
    lattice=st.sampled_from(["keep", "remove"]),
)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_any_configuration_is_json_and_its_repr(cls, place, ratio, axes, compression, lattice):
    knob = cls.knob
    setting = knob.low + place * (knob.high - knob.low)
    chosen = {knob.name: int(setting) if knob.integer else setting, "ratio": ratio}
    if ratio is not None:
        chosen["search"] = RatioSearch(target=ratio, knob=setting, ratio=9.5, reached=False, limit="step", encodes=9)
    extra = {"axes": axes, "compression": compression, "lattice": lattice}
    codec = cls(**chosen, **{name: value for name, value in extra.items() if name in cls.__dataclass_fields__})
    config = json.loads(json.dumps(codec.get_config(), allow_nan=False))
    assert build_codec(config) == codec == eval(repr(codec), NAMES)
    for beyond in (knob.low - 1, knob.high + 1):
        with pytest.raises(ConfigError, match=f"'{cls.codec_id}': {knob.name} = .* is not possible"):
            cls(**{knob.name: int(beyond) if knob.integer else beyond})


# ---- ratios ----


@pytest.mark.parametrize(
    "codec",
    [Sperr(ratio=10), SperrRate(ratio=10), Sz3(ratio=10), ZfpRate(ratio=10), Lerc(ratio=10)],
    ids=lambda codec: codec.codec_id,
)
def test_wanted_ratios_are_reached(codec, scene):
    prepared = codec.prepare(scene[0])
    result = prepared.apply(scene[0])
    assert prepared.search.reached
    assert result.ratio == pytest.approx(prepared.search.ratio)
    assert abs(result.ratio / codec.ratio - 1) <= 0.05
    assert result.record["encodes"] == prepared.search.encodes
    assert eval(repr(prepared), NAMES) == prepared == build_codec(json.loads(json.dumps(prepared.get_config())))


def test_a_bound_in_powers_of_two_says_that_it_is_not_reached(scene):
    """ZFP rounds its bound down to a power of two, so between two of them it has one ratio only."""
    prepared = Zfp(ratio=4).prepare(scene[0])
    ratios = {Zfp(max_error=e).apply(scene[0]).ratio for e in (16, 20, 31)}
    assert len(ratios) == 1
    assert Zfp(max_error=32).apply(scene[0]).ratio not in ratios
    found = prepared.search
    assert found.limit == ("" if abs(found.ratio / 4 - 1) <= 0.01 else "step")
    assert found.reached == (abs(found.ratio / 4 - 1) <= 0.05)


@pytest.mark.parametrize("axes", ["planes", "volume"])
@pytest.mark.parametrize("target", [2.0, 5.5, 10.0, 20.0, 28.0, 60.0, 100.0, 113.0, 500.0])
def test_zfp_by_rate_needs_no_search_and_has_a_floor(target, axes):
    """Bits a block are whole numbers of at least 9; the header of the codestream and nothing else comes on top."""
    image = np.random.default_rng(1).integers(0, 4096, (16, 128, 128)).astype(np.uint16)
    image = image if axes == "volume" else image[0]
    values = 4**image.ndim
    wanted = 16 * values / target
    prepared = ZfpRate(ratio=target, axes=axes).prepare(image)
    found = prepared.search
    bits = prepared.rate * values
    assert bits == int(bits) >= 9
    assert (found.encodes, found.knob) == (1, prepared.rate)
    assert abs(math.log(bits / wanted)) <= abs(math.log((bits + 1) / wanted))
    if bits > 9:
        assert abs(math.log(bits / wanted)) <= abs(math.log((bits - 1) / wanted))
    assert found.ratio == pytest.approx(16 * values / bits, rel=0.03)
    assert found.ratio == prepared.apply(image).ratio
    if target > 1.05 * 16 * values / 9:
        assert (found.reached, found.limit, bits) == (False, "range", 9)
        assert prepared.apply(image).record["reached"] is False
    if found.reached:
        assert abs(found.ratio / target - 1) <= 0.05


def test_below_its_floor_zfp_spends_what_it_likes_and_we_refuse(scene):
    values = scene[0].astype(np.float32)
    sizes = [len(imagecodecs.zfp_encode(values, level=rate, mode="r")) for rate in (9 / 16, 0.3, 0.1)]
    assert sizes[0] == sizes[1] == sizes[2]  # the trap
    with pytest.raises(CodecRangeError, match=r"coder 'zfp-rate' failed.*9 bits, so the rate is at least 0.5625"):
        ZfpRate(rate=0.3).apply(scene[0])
    assert ZfpRate(rate=0.3, axes="volume").apply(np.stack([scene[0]] * 4)).ratio > 50


def test_a_stack_is_searched_on_some_planes_and_reported_on_all(stack):
    codec = Sz3(ratio=8).prepare(stack)
    assert codec.search.ratio != codec.apply(stack).ratio
    assert codec.search.ratio == pytest.approx(codec.apply(stack).ratio, rel=0.1)
    whole = Sz3(ratio=8, axes="volume").prepare(stack)
    assert whole.search.ratio == whole.apply(stack).ratio


# ---- what they do to an image ----


def test_bad_examples_are_bad_and_keep_their_word(scene):
    """LERC and ZFP bias an image that SZ3 and SPERR at the same ratio do not; no pixel is beyond its bound."""
    raw, sigma = scene
    biases = {}
    for codec in (Lerc(ratio=10), Zfp(ratio=10), Sz3(ratio=10), Sperr(ratio=10)):
        prepared = codec.prepare(raw)
        back = prepared.apply(raw).decoded
        assert np.abs(back.astype(np.float64) - raw).max() <= prepared.coder.bound(prepared.max_error)
        biases[codec.codec_id] = checks.in_sigma(back, raw, sigma)[1]
    assert biases["lerc"] < -0.5
    assert max(abs(biases["sz3"]), abs(biases["sperr"])) < 0.02


@pytest.mark.parametrize("codec", LOSSLESS, ids=repr)
def test_lossless(codec, stack, scene):
    for image in (stack, scene[0], stack << 4, np.arange(65536, dtype=np.uint16).reshape(256, 256)):
        result = codec.apply(image)
        np.testing.assert_array_equal(result.decoded, image)
        assert result.decoded.dtype == np.uint16
    assert codec.apply(np.full((64, 64), 7, np.uint16)).ratio > 10


def test_black_planes_of_any_size():
    """The trap: Blosc2 makes 32 bytes of zeros, and cannot decode them unless their number is a multiple of 8."""
    options = {"level": 9, "compressor": "zstd", "shuffle": "bitshuffle", "typesize": 2, "numthreads": 1}
    with pytest.raises(imagecodecs.Blosc2Error):
        imagecodecs.blosc2_decode(imagecodecs.blosc2_encode(bytes(2 * 5 * 9), **options))
    for codec in LOSSLESS:
        for shape in ((5, 9), (101, 103), (64, 64), (3, 17, 19)):
            black = np.zeros(shape, np.uint16)
            np.testing.assert_array_equal(codec.apply(black).decoded, black)
    whole = Blosc2(axes="volume").apply(np.zeros((3, 17, 19), np.uint16))
    assert not whole.decoded.any()


def test_lossless_ratios_stay_below_the_noise(scene):
    """12 bit with noise of some 28 DN cannot be coded by 3:1; who knows images comes nearer to that."""
    ratios = {codec.codec_id: codec.apply(scene[0]).ratio for codec in (*LOSSLESS, JpegXlLossless(effort=3))}
    assert all(1.2 < ratio < 3 for ratio in ratios.values())
    assert ratios["jpegxl-lossless"] > max(ratios["png"], ratios["zstd"], ratios["blosc2"])


def test_the_lattice_of_12_bit_words_in_the_upper_bits(scene):
    high = scene[0] << 4
    for codec in (Rice(), Aec()):
        kept = codec.apply(high)
        removed = build_codec({**codec.get_config(), "lattice": "remove"}).apply(high)
        np.testing.assert_array_equal(removed.decoded, high)
        assert removed.encoded_bytes == codec.apply(scene[0]).encoded_bytes + 1 < kept.encoded_bytes
        assert (removed.record["step_dn"], removed.record["side_bytes"]) == (16, 1)


def test_effort_changes_the_size_alone(scene):
    for codec, efforts in ((Png, (1, 9)), (Zstd, (1, 22)), (Blosc2, (1, 9))):
        image = scene[0][:128, :128]
        sizes = [codec(effort=effort).apply(image).encoded_bytes for effort in efforts]
        assert sizes[0] > sizes[1]
        for wrong in (0, 23, 2.0, True, "9"):
            with pytest.raises(ConfigError, match=f"'{codec.codec_id}': effort = .*whole number, 1 to {efforts[-1]}"):
                codec(effort=wrong)


def test_what_a_float_coder_sends_beyond_the_words_is_clipped_and_counted():
    image = np.zeros((64, 64), np.uint16)
    image[::2, ::2] = 65535
    result = ZfpRate(rate=2).apply(image)
    assert result.record["decoded_outside"] > 0
    assert (result.decoded.min(), result.decoded.max()) == (0, 65535)


# ---- FITS ----

needs_astropy = pytest.mark.skipif(not importlib.util.find_spec("astropy"), reason="astropy is in the [test] extra")


@needs_astropy
def test_fpack_is_a_fits_file(scene):
    from astropy.io import fits

    codec = Fpack(q=2)
    stream = codec.coder.encode(scene[0].astype(np.float32), 2.0)
    with fits.open(io.BytesIO(stream)) as pages:
        assert len(pages) == 2
        stored = np.asarray(pages[1].data).astype(np.float32)
    result = codec.apply(scene[0])
    np.testing.assert_array_equal(result.decoded, np.clip(stored, 0, 65535))
    assert result.encoded_bytes == len(stream)
    assert len(stream) % 2880 == 0


@needs_astropy
def test_fpack_dithers_and_steps_by_the_noise(scene):
    """A uniform error of step noise / q, no bias (262144 pixels at rms 0.44: standard error 0.0009).

    The noise is estimated from the image, and texture counts as noise: here it is taken for half as much again.
    """
    raw, sigma = scene
    found = {}
    for compression, q in (("rice", 1.0), ("rice", 4.0), ("hcompress", 4.0)):
        rms, bias = checks.in_sigma(Fpack(q=q, compression=compression).apply(raw).decoded, raw, sigma)
        assert abs(bias) < 0.003
        found[compression, q] = rms
    assert 1 < found["rice", 1.0] * math.sqrt(12) < 2
    assert found["rice", 1.0] / found["rice", 4.0] == pytest.approx(4, rel=0.02)
    assert found["hcompress", 4.0] < 1 / 4


@needs_astropy
def test_fpack_reaches_a_ratio(scene):
    """FITS files are multiples of 2880 bytes, here steps of 4 %: a ratio may lie half a step away."""
    prepared = Fpack(ratio=4).prepare(scene[0][:256])
    result = prepared.apply(scene[0][:256])
    assert (prepared.search.reached, result.record["reached"]) == (True, True)
    assert abs(result.ratio / 4 - 1) <= 0.05


@needs_astropy
def test_fpack_takes_its_dither_from_the_image(scene):
    """Equal images give equal bytes; two frames have errors that are not alike (n = 262144: standard error 0.002)."""
    raw, sigma = scene
    first = Fpack(q=1).apply(raw)
    np.testing.assert_array_equal(Fpack(q=1).apply(raw.copy()).decoded, first.decoded)
    other = raw.copy()
    other[0] += 1
    again = Fpack(q=1).apply(other)
    errors = [((each.decoded - image) / sigma)[1:].ravel() for each, image in ((first, raw), (again, other))]
    assert abs(np.corrcoef(*errors)[0, 1]) < 0.01


@needs_astropy
def test_hcompress_needs_tiles_of_some_rows():
    with pytest.raises(CodecRangeError, match="coder 'fpack-hcompress' failed on float32 of shape"):
        Fpack(q=1, compression="hcompress").apply(np.arange(40, dtype=np.uint16)[None])


def test_unknown_compression():
    with pytest.raises(ConfigError, match="compression = 'gzip' is unknown; use rice or hcompress"):
        Fpack(q=1, compression="gzip")
    with pytest.raises(ConfigError, match=r"compression = \['rice'\] is unknown"):
        Fpack(q=1, compression=["rice"])


def test_without_astropy(monkeypatch, scene):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "astropy" else find(name))
    words = r"codec 'fpack' is not available; install astropy \(pip install 'compdistort\[fits\]'\)"
    for call in (Fpack(q=1).apply, Fpack(ratio=10).prepare):
        with pytest.raises(ConfigError, match=words):
            call(scene[0])
    assert Fpack(q=1).describe().startswith("words as float32; fpack (rice), q 1; ")


def importing(monkeypatch, error):
    """Let the import of astropy fail."""
    original = builtins.__import__

    def fail(name, *arguments, **keywords):
        if name.startswith("astropy"):
            raise error
        return original(name, *arguments, **keywords)

    for name in [each for each in sys.modules if each.split(".")[0] == "astropy"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", fail)


def test_the_trap_of_zfpy(monkeypatch, scene):
    """numcodecs reads the version of zfpy 1.0.1.post0 by int() and fails, and astropy with it."""
    importing(monkeypatch, ValueError("invalid literal for int() with base 10: 'post0'"))
    monkeypatch.setattr(fits_library, "version", lambda name: "1.0.1.post0")
    monkeypatch.setattr(fits_library, "missing", lambda: "")
    for call in (Fpack(q=1).apply, Fpack(ratio=10).prepare):
        with pytest.raises(ConfigError, match=r"'post0'.*uninstall zfpy 1\.0\.1\.post0.*imagecodecs"):
            call(scene[0])


def test_other_faults_of_astropy(monkeypatch):
    importing(monkeypatch, ValueError("numpy.dtype size changed"))
    with pytest.raises(ConfigError, match=r"size changed.*repair the installation of astropy"):
        fits_library.fits()
    importing(monkeypatch, ModuleNotFoundError("No module named 'erfa'"))
    with pytest.raises(ConfigError, match=r"No module named 'erfa'.*install astropy"):
        fits_library.fits()


@pytest.mark.data
@pytest.mark.slow
def test_real_micrograph(shared_data):
    """What the note says of the ends: ZFP by rate and fpack cannot reach 100:1, and say so; the others can."""
    from compdistort.io.images import read_image

    raw = read_image(shared_data / "nuclei-speckles/foci_h2ax.tif")
    for codec in LOSSLESS:
        assert 1.4 < codec.apply(raw).ratio < 3
    for cls in (Sperr, SperrRate, Sz3, ZfpRate, Lerc):
        result = cls(ratio=10).prepare(raw).apply(raw)
        assert result.record["reached"]
        assert abs(result.ratio / 10 - 1) < 0.05
    reached = {}
    for cls in (Sperr, SperrRate, Sz3, ZfpRate, Lerc, Fpack):
        record = cls(ratio=100).prepare(raw).apply(raw).record
        reached[cls.codec_id] = (record["reached"], record["limit"])
    assert {name for name, (good, _) in reached.items() if not good} == {"zfp-rate", "fpack"}
    assert reached["zfp-rate"] == reached["fpack"] == (False, "range")


# ---- bare coders ----


def test_bounds_hold_for_all_of_the_16_bit_scale():
    """The worst that words can do: uniform noise over the whole scale, at bounds from the least to the largest."""
    array = np.random.default_rng(4).integers(0, 65536, (61, 83)).astype(np.float32)
    for cls in (Sperr, Sz3, Zfp):
        for error in (cls.knob.low, 0.3, 1, 100, 30000, cls.knob.high):
            codec = cls(max_error=error)
            back, _ = round_trip(codec.coder, array, codec.level())
            assert np.abs(back.astype(np.float64) - array).max() <= error + (cls is Sperr) / 512
