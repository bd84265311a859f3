"""Codecs: the same checks for each, ImageJ's 8-bit formula, the ways back from 8 bit, and the ratio search."""

import math
from importlib.metadata import EntryPoint

import codec_checks as checks
import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compdistort.codecs import BitDepth, Codec, Identity, Jpeg, build_codec, codec_ids, registry
from compdistort.codecs.depth_link import INVERSES, ROUNDINGS, DepthLink, parse_range
from compdistort.errors import CodecRangeError, ConfigError, UnknownCodecError


@pytest.fixture(scope="module")
def scene():
    return checks.phase_scene()


@pytest.fixture(scope="module")
def raw(scene):
    return scene[0][:160, :200].copy()


@pytest.mark.parametrize("codec", checks.CODECS, ids=repr)
class TestEveryCodec:
    def test_round_trips(self, codec, raw):
        checks.check_round_trips(codec)
        checks.check_round_trips(codec.prepare(raw))

    def test_buffers(self, codec, raw):
        checks.check_buffers(codec, raw)

    def test_results(self, codec, raw):
        checks.check_result(codec, raw)

    @pytest.mark.parametrize("value", [0, 1, 4095, 65535])
    def test_constant_images(self, codec, value):
        result = checks.check_result(codec, np.full((24, 40), value, np.uint16))
        assert len(np.unique(result.decoded)) == 1 or codec.codec_id == "sz3"  # it keeps its bound and nothing else

    def test_full_range(self, codec):
        ramp = np.arange(65536, dtype=np.uint16).reshape(256, 256)
        checks.check_result(codec, ramp)

    def test_one_pixel(self, codec):
        checks.check_result(codec, np.array([[1234]], np.uint16))

    def test_limits(self, codec, raw):
        checks.check_limits(codec, raw)


def test_identity_is_exact(raw):
    result = Identity().apply(raw)
    np.testing.assert_array_equal(result.decoded, raw)
    assert result.decoded.dtype == np.uint16
    assert result.ratio == 1
    assert result.decoded is not raw


# ---- depth ----


@pytest.mark.parametrize(
    ("low", "high", "pairs"),
    [
        # ImageJ 1.x, 16 to 8 bit with scaling, by hand: min(255, (int)((v - min) * 256 / (max - min + 1) + 0.5))
        (0, 65535, {0: 0, 127: 0, 128: 1, 383: 1, 384: 2, 32767: 128, 32768: 128, 65407: 255, 65408: 255, 65535: 255}),
        (0, 4095, {7: 0, 8: 1, 23: 1, 24: 2, 4071: 254, 4072: 255, 4087: 255, 4088: 255, 4095: 255}),
        (100, 355, {0: 0, 99: 0, 100: 0, 101: 1, 354: 254, 355: 255, 356: 255, 65535: 255}),
        (1000, 1099, {1000: 0, 1001: 3, 1050: 128, 1098: 251, 1099: 253, 1100: 255, 1101: 255}),
        (0, 299, {0: 0, 1: 1, 2: 2, 100: 85, 150: 128, 298: 254, 299: 255}),
    ],
)
def test_imagej_formula(low, high, pairs):
    values = np.array([list(pairs)], np.uint16)
    scale = DepthLink.resolved(8, 16, f"display({low},{high})", "imagej", "exact").scale(checks.levels_of(values))
    assert scale.reduce(values).dtype == np.uint8
    assert dict(zip(pairs, scale.reduce(values)[0].tolist(), strict=True)) == pairs


def test_imagej_exact_inverse_is_within_half_a_step(raw):
    result = BitDepth().apply(raw)
    step = (int(raw.max()) - int(raw.min()) + 1) / 256
    assert result.record["step_dn"] == step
    inside = raw < raw.max() - step  # the formula clips the last half step
    assert np.abs(result.decoded - raw.astype(float))[inside].max() <= step / 2 + 1e-3
    assert np.abs(result.decoded - raw.astype(float)).max() <= step


@given(
    low=st.integers(0, 60000),
    span=st.integers(1, 65535),
    rounding=st.sampled_from(ROUNDINGS),
    inverse=st.sampled_from(["exact", "midpoint"]),
    bits=st.sampled_from([8, 12]),
)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_every_honest_way_back_is_within_one_step(low, span, rounding, inverse, bits):
    high = min(low + span, 65535)
    values = np.arange(low, high + 1).astype(np.uint16)[None]
    scale = DepthLink.resolved(bits, 16, f"display({low},{high})", rounding, inverse).scale(checks.levels_of(values))
    codes = scale.reduce(values)
    assert (np.diff(codes[0].astype(int)) >= 0).all()
    error = np.abs(scale.restore(codes).astype(np.float64) - values)
    assert error.max() <= scale.step * (1 + 1e-6) + 0.01  # float32 near 65535 is good to 0.004
    if bits == 12 and high - low < 4096:
        assert error.max() == 0


def test_shift_is_a_shift():
    image = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    for camera_bits, n in ((16, 8), (12, 4), (10, 2)):
        inside = image & np.uint16(2**camera_bits - 1)
        result = BitDepth(inverse="shift", camera_bits=camera_bits).apply(inside)
        np.testing.assert_array_equal(result.decoded, (inside >> n) << n)
        assert result.decoded.dtype == np.uint16
        assert result.record["clipped_high"] == 0
    above = BitDepth(inverse="shift", camera_bits=12).apply(image)
    assert above.record["clipped_high"] == 65536 - 4096
    assert above.decoded.max() == 255 << 4


def test_none_leaves_the_codes(raw):
    result = BitDepth(inverse="none").apply(raw)
    assert result.decoded.dtype == np.uint16
    assert (result.decoded.min(), result.decoded.max()) == (0, 255)
    assert result.encoded_bytes == raw.size


def test_midpoint_is_the_mean_of_the_grey_levels_of_a_code():
    link = DepthLink.resolved(8, 12, "full", "floor", "midpoint")
    values = np.arange(4096, dtype=np.uint16)[None]
    scale = link.scale(checks.levels_of(values))
    np.testing.assert_array_equal(scale.levels, np.arange(256) * 16 + 7.5)
    odd = DepthLink.resolved(8, 16, "display(10,1009)", "imagej", "midpoint").scale(checks.levels_of(values))
    for code in (0, 1, 100, 254, 255):
        members = [v for v in range(10, 1010) if odd.codes[v] == code]
        assert odd.levels[code] == pytest.approx(np.mean(members), abs=1e-4)


def test_percentile_saturates_what_it_says(scene):
    image = scene[0]
    for percent in (0.35, 5.0):
        record = BitDepth(range=f"percentile({percent})").apply(image).record
        half = image.size * percent / 200
        assert record["clipped_low"] <= half + 1
        assert record["clipped_high"] <= half + 1
        assert np.count_nonzero(image <= record["low_dn"]) >= half
        assert np.count_nonzero(image >= record["high_dn"]) >= half
        low, high = np.percentile(image, (percent / 2, 100 - percent / 2), method="nearest")
        assert abs(record["low_dn"] - low) <= 1
        assert abs(record["high_dn"] - high) <= 1


def test_bits_scale_8_bit_policies_on_a_simulated_phase_scene(scene):
    """The table of the design note: bias and rms in units of the noise, standard error of a bias 0.0003 or less.

    One image of 512 x 512 with a step of 4 to 16 DN at sigma 28 DN; bands from the note's 1024 x 1024 scene (exact
    -0.0005, naive +0.114, shift -0.289, midpoint 0.000), widened by what another scene's range does to the step.
    """
    raw, sigma = scene
    step_in_sigma = (int(raw.max()) - int(raw.min()) + 1) / 256 / sigma.mean()
    rms, bias = checks.in_sigma(BitDepth().apply(raw).decoded, raw, sigma)
    assert abs(bias) < 0.002
    assert rms == pytest.approx(step_in_sigma / math.sqrt(12), rel=0.1)
    _, bias = checks.in_sigma(BitDepth(inverse="naive255").apply(raw).decoded, raw, sigma)
    assert bias > 0.05
    rms, bias = checks.in_sigma(BitDepth(inverse="shift", camera_bits=12).apply(raw).decoded, raw, sigma)
    assert bias == pytest.approx(-7.5 * np.mean(1 / sigma), abs=0.003)
    assert -0.32 < bias < -0.25
    middle = BitDepth(inverse="midpoint", range="full", rounding="floor", camera_bits=12)
    rms_middle, bias = checks.in_sigma(middle.apply(raw).decoded, raw, sigma)
    assert abs(bias) < 0.002
    assert rms_middle < 0.6 * rms
    _, bias = checks.in_sigma(BitDepth(range="percentile(0.35)", rounding="round").apply(raw).decoded, raw, sigma)
    assert abs(bias) < 0.01


def test_one_bright_speck_ruins_minmax(scene):
    raw, sigma = scene
    speck = raw.copy()
    speck[10:14, 10:14] = 60000
    rms, _ = checks.in_sigma(BitDepth().apply(speck).decoded[20:], raw[20:], sigma[20:])
    assert rms > 2
    robust = BitDepth(range="percentile(0.35)", rounding="round").apply(speck)
    assert checks.in_sigma(robust.decoded[20:], raw[20:], sigma[20:])[0] < 0.3
    assert robust.record["clipped_high"] >= 16


def test_minmax_is_stack_wide_and_taken_anew_from_every_image(raw):
    stack = np.stack([raw, raw // 2])
    codec = BitDepth().prepare(raw)
    record = codec.apply(stack).record
    assert (record["low_dn"], record["high_dn"]) == (int(stack.min()), int(stack.max()))
    assert codec.apply(raw // 2).record["high_dn"] == int(raw.max()) // 2


@pytest.mark.parametrize(
    ("settings_", "words"),
    [
        ({"bits": 12}, "bits = 12.*camera_bits"),
        ({"camera_bits": 17}, "camera_bits = 17.*8 to 16"),
        ({"range": "min-max"}, "range = 'min-max' is unknown; use full, minmax"),
        ({"range": 3}, "range = '3'"),
        ({"range": "display(9,9)"}, "display"),
        ({"range": "display(9,70000)"}, "65535"),
        ({"range": "percentile(100)"}, "percentile"),
        ({"range": "bits(7)"}, r"bits\(8\) to bits\(16\)"),
        ({"rounding": "ceil"}, "rounding = 'ceil' is unknown; use imagej, floor, round"),
        ({"inverse": "exakt"}, "inverse = 'exakt' is unknown; use exact"),
        ({"inverse": "shift", "range": "minmax"}, "'shift' does not go with range = 'minmax'"),
        ({"inverse": "shift", "rounding": "imagej"}, "'shift' does not go with"),
        ({"invers": "exact"}, "no setting 'invers'; did you mean 'inverse'"),
    ],
)
def test_bad_depth_settings(settings_, words):
    with pytest.raises(ConfigError, match=words):
        build_codec({"id": "bit-depth", **settings_})
    if "bits" not in settings_:
        with pytest.raises(ConfigError, match=words):
            build_codec({"id": "jpeg", "ratio": 10, **settings_})


def test_every_policy_says_itself_in_words():
    words = set()
    for inverse in INVERSES:
        words.add(BitDepth(inverse=inverse).describe().split("; ")[1])
    for range_ in ("full", "minmax", "display(1,9)", "percentile(2)", "bits(9)"):
        for rounding in ROUNDINGS:
            words.add(BitDepth(range=range_, rounding=rounding).describe().split("; ")[0])
    assert len(words) == len(INVERSES) + 5 * len(ROUNDINGS)
    assert parse_range("percentile(0.35)") == ("percentile", (0.35,))


# ---- JPEG ----


@pytest.mark.parametrize("bits", [8, 12])
@pytest.mark.parametrize("target", [10, 30])
def test_jpeg_reaches_a_ratio(scene, bits, target):
    codec = Jpeg(bits=bits, ratio=target).prepare(scene[0])
    result = codec.apply(scene[0])
    assert codec.search.reached
    assert result.record["reached"]
    assert result.ratio == pytest.approx(codec.search.ratio)
    assert abs(result.ratio / target - 1) <= 0.05
    assert 4 <= codec.search.encodes <= 12
    neighbours = [Jpeg(bits=bits, quality=codec.quality + d).apply(scene[0]).ratio for d in (-1, 1)]
    distances = [abs(math.log(ratio / target)) for ratio in (result.ratio, *neighbours)]
    assert min(distances) == distances[0]


def test_unreached_ratio_is_said(scene):
    codec = Jpeg(bits=12, ratio=1000).prepare(scene[0])
    record = codec.apply(scene[0]).record
    assert codec.quality == 1
    assert (record["reached"], record["limit"]) == (False, "range")
    assert record["target_ratio"] == 1000
    assert f"{record['raw_ratio']:.2f}:1 on the raw image" in codec.describe()


def test_knob_stays_and_range_moves(scene):
    raw = scene[0]
    codec = Jpeg(ratio=10).prepare(raw)
    assert codec.prepare(raw // 2) == codec
    other = codec.apply(raw // 2)
    assert other.record["quality"] == codec.quality
    assert other.record["high_dn"] == int(raw.max()) // 2
    assert build_codec(codec.get_config()).apply(raw).encoded_bytes == codec.apply(raw).encoded_bytes


def test_bytes_are_those_of_the_codestream(raw):
    result = Jpeg(bits=12, quality=60, range="bits(12)").apply(raw)
    stream = imagecodecs.jpeg8_encode(raw, level=60, bitspersample=12, optimize=True)
    assert result.encoded_bytes == len(stream) + 4
    np.testing.assert_array_equal(result.decoded, imagecodecs.jpeg8_decode(stream))
    assert result.decoded.dtype == np.uint16
    stack = np.stack([raw, raw[::-1]])
    sizes = [len(imagecodecs.jpeg8_encode(p, level=60, bitspersample=12, optimize=True)) for p in stack]
    assert Jpeg(bits=12, quality=60, range="bits(12)").apply(stack).encoded_bytes == sum(sizes) + 4


def test_12_bit_jpeg_of_brighter_images_is_handled_by_the_depth_link():
    ramp = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    cut = Jpeg(bits=12, quality=100, range="bits(12)").apply(ramp)
    assert cut.record["clipped_high"] == 65536 - 4096
    scaled = Jpeg(bits=12, quality=100).apply(ramp)
    assert scaled.record["clipped_high"] == 0
    assert scaled.record["step_dn"] == 16
    assert np.abs(scaled.decoded - ramp.astype(float)).max() < 8 * 16


def test_quality_100_is_close(scene):
    raw, sigma = scene
    for bits, bound in ((8, 0.35), (12, 0.1)):
        rms, bias = checks.in_sigma(Jpeg(bits=bits, quality=100).apply(raw).decoded, raw, sigma)
        assert rms < bound
        assert abs(bias) < 0.01


def test_a_stack_is_searched_on_some_planes_and_reported_on_all(raw):
    stack = np.stack([raw] * 20)
    codec = Jpeg(ratio=10).prepare(stack)
    assert codec.search.ratio == pytest.approx(codec.apply(stack).ratio, rel=0.002)


def test_sides_beyond_the_format_are_refused():
    for shape in ((1, 65501), (65501, 1)):
        with pytest.raises(CodecRangeError, match=f"at most 65500 rows and columns, not {shape[0]} x {shape[1]}"):
            Jpeg(quality=50).apply(np.zeros(shape, np.uint16))
    assert Jpeg(quality=50).apply(np.zeros((1, 65500), np.uint16)).ratio > 10


@pytest.mark.parametrize(
    ("settings_", "words"),
    [
        ({}, "neither ratio nor quality"),
        ({"ratio": 1}, "ratio = 1 is not possible"),
        ({"ratio": "10"}, "ratio = '10'"),
        ({"ratio": math.inf}, "ratio = inf"),
        ({"ratio": True}, "ratio = True"),
        ({"quality": 0}, "quality = 0"),
        ({"quality": 101}, "1 to 100"),
        ({"quality": 50.5}, "whole number"),
        ({"bits": 10, "ratio": 10}, "bits = 10.*8 or 12"),
        ({"qualty": 50}, "did you mean 'quality'"),
    ],
)
def test_bad_jpeg_settings(settings_, words):
    with pytest.raises(ConfigError, match=words):
        build_codec({"id": "jpeg", **settings_})


def test_apply_before_prepare(raw):
    with pytest.raises(ConfigError, match=r"no quality yet; call prepare\(raw\)"):
        Jpeg(ratio=10).apply(raw)


def test_a_decoder_that_lies_is_caught(raw, monkeypatch):
    decode = imagecodecs.jpeg8_decode
    for lie in (lambda s: decode(s)[:, :-1], lambda s: decode(s).astype(np.uint16), lambda s: decode(s).T):
        monkeypatch.setattr(imagecodecs, "jpeg8_decode", lie)
        with pytest.raises(CodecRangeError, match="decoded"):
            Jpeg(quality=50).apply(raw)


# ---- registry ----


def test_registry():
    assert codec_ids()[:3] == ("identity", "bit-depth", "jpeg")
    for config in ({"id": "identity"}, {"id": "jpeg", "name": "jpeg-10", "bits": 8, "ratio": 10, "range": "minmax"}):
        codec: Codec = build_codec(config)
        assert codec.codec_id == config["id"]
    with pytest.raises(UnknownCodecError, match=r"codec 'jpg' does not exist; did you mean 'jpeg'\? Known: identity"):
        build_codec({"id": "jpg"})
    with pytest.raises(UnknownCodecError, match="'zzz' does not exist"):
        build_codec({"id": "zzz"})
    for config in ({}, {"id": 3}):
        with pytest.raises(ConfigError, match="a codec has id"):
            build_codec(config)
    with pytest.raises(ConfigError, match="'identity' has no setting 'ratio'; it has no settings"):
        build_codec({"id": "identity", "ratio": 10})


def test_entry_points_of_other_packages(monkeypatch):
    points = {
        "other": EntryPoint("other", "compdistort.codecs.identity:Identity", registry.GROUP),
        "gone": EntryPoint("gone", "no_such_package_at_all:Codec", registry.GROUP),
        "half": EntryPoint("half", "pathlib:Path", registry.GROUP),
        "jpeg": EntryPoint("jpeg", "pathlib:Path", registry.GROUP),
    }
    monkeypatch.setattr(registry, "entry_points", lambda group: list(points.values()))
    assert codec_ids() == (*registry.CODECS, "external", "jetraw", "gone", "half", "other")
    assert registry.find_codec("other") is Identity
    assert registry.find_codec("jpeg") is Jpeg
    with pytest.raises(UnknownCodecError, match="'gone' of package 'no_such_package_at_all:Codec' cannot be imported"):
        build_codec({"id": "gone"})
    with pytest.raises(UnknownCodecError, match="lacks codec_id, from_config"):
        build_codec({"id": "half"})


@pytest.mark.data
def test_real_micrograph(shared_data):
    from compdistort.io.images import read_image

    raw = read_image(shared_data / "nuclei-speckles/foci_h2ax.tif")
    for target in (10, 100):
        codec = Jpeg(ratio=target).prepare(raw)
        result = checks.check_result(codec, raw)
        assert result.record["limit"] != "range"
        assert abs(result.ratio / target - 1) < 0.1
