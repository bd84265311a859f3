"""The checks that every codec has to pass, and the simulated scenes that they are made on."""

import json

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from compdistort.codecs import (
    Aec,
    Avif,
    BitDepth,
    Blosc2,
    Fpack,
    Htj2k,
    Htj2kLossless,
    Identity,
    Jpeg,
    Jpeg2000,
    Jpeg2000Lossless,
    JpegLs,
    JpegSof3,
    JpegXl,
    JpegXlLossless,
    JpegXr,
    Lerc,
    Png,
    RatioSearch,
    Rice,
    Sperr,
    SperrRate,
    Sz3,
    WebP,
    Zfp,
    ZfpRate,
    Zstd,
    build_codec,
)
from compdistort.errors import CodecRangeError, ConfigError
from compdistort.grey_levels import GreyLevels

CODECS = [
    Identity(),
    BitDepth(),
    BitDepth(inverse="naive255"),
    BitDepth(inverse="shift"),
    BitDepth(inverse="shift", camera_bits=12),
    BitDepth(inverse="shift", range="bits(12)"),
    BitDepth(inverse="midpoint", range="full", rounding="floor", camera_bits=12),
    BitDepth(inverse="none"),
    BitDepth(range="display(900, 2500)", rounding="round"),
    BitDepth(range="percentile(0.35)", rounding="round"),
    Jpeg(ratio=10),
    Jpeg(ratio=30, inverse="shift", camera_bits=12),
    Jpeg(quality=90, range="percentile(1)"),
    Jpeg(bits=12, ratio=10.5),
    Jpeg(bits=12, quality=75, range="bits(12)"),
    Jpeg(bits=12, ratio=12, range="full"),
    Jpeg2000(psnr=60),
    Jpeg2000(psnr=55, range="full", camera_bits=12, rounding="floor"),
    Htj2k(step=0.003),
    JpegXl(distance=1, effort=3),
    JpegXr(quality=0.8),
    JpegXr(quality=0.6, range="percentile(0.35)", rounding="round", inverse="midpoint"),
    JpegLs(near=20),
    JpegLs(near=2, lattice="remove"),
    JpegLs(near=0),
    Avif(quality=80),
    Avif(bits=8, quality=60),
    WebP(quality=80),
    JpegSof3(),
    Jpeg2000Lossless(lattice="remove"),
    Htj2kLossless(),
    JpegXlLossless(effort=3),
    Sperr(max_error=20),
    SperrRate(rate=2),
    Sz3(max_error=20),
    Zfp(max_error=20),
    ZfpRate(rate=2),
    Lerc(max_error=20),
    Lerc(max_error=0, lattice="remove"),
    Fpack(q=1),
    Png(effort=1),
    Zstd(effort=3),
    Blosc2(effort=3),
    Rice(lattice="remove"),
    Aec(),
]
"""The built-in codecs, each way of theirs once."""

NAMES = {type(codec).__name__: type(codec) for codec in CODECS} | {"RatioSearch": RatioSearch}


def levels_of(image):
    """Count an image as codecs ask for it."""
    return lambda: GreyLevels.of_planes([image])


def phase_scene(n=512, seed=2):
    """A bright field with darker cells, 12 bit: (raw uint16, noise sigma DN)."""
    rng = np.random.default_rng(seed)
    cells = gaussian_filter((rng.random((n, n)) < 1 / 5000).astype(float), 9)
    texture = gaussian_filter(rng.normal(size=(n, n)), 1.5)
    electrons = 5000 * (1 - 0.35 * np.clip(cells / cells.max(), 0, 0.5) + 0.05 * texture / texture.std())
    gain, offset, read = 0.39, 8.0, 0.95
    clean = offset + gain * electrons
    raw = offset + gain * rng.poisson(electrons) + rng.normal(0, read, electrons.shape)
    return np.clip(np.rint(raw), 0, 4095).astype(np.uint16), np.sqrt(read**2 + gain * (clean - offset))


def in_sigma(decoded, raw, sigma):
    """Root mean square and mean of (decoded - raw) / sigma."""
    error = (decoded.astype(np.float64) - raw) / sigma
    return np.sqrt(np.mean(error**2)), error.mean()


def check_round_trips(codec):
    """The configuration is JSON and gives the codec back; so does the repr."""
    config = json.loads(json.dumps(codec.get_config(), allow_nan=False))
    assert config["id"] == codec.codec_id
    assert build_codec(config) == codec
    assert build_codec({**config, "name": "any label"}) == codec
    assert type(codec).from_config(config) == codec
    assert eval(repr(codec), NAMES) == codec
    assert codec.describe()
    with pytest.raises((AttributeError, TypeError)):
        codec.bits = 3
    with pytest.raises(ConfigError, match="no setting 'qualitty'"):
        build_codec({**config, "qualitty": 3})


def check_buffers(codec, raw):
    """Any layout of the same pixels gives the same result; the input stays as it is; stacks are planes."""
    prepared = codec.prepare(raw)
    before = raw.copy()
    expected = prepared.apply(raw)
    locked = raw.copy()
    locked.setflags(write=False)
    wide = np.zeros((raw.shape[0], 2 * raw.shape[1]), np.uint16)
    wide[:, ::2] = raw
    for same in (locked, np.asfortranarray(raw), wide[:, ::2]):
        result = prepared.apply(same)
        np.testing.assert_array_equal(result.decoded, expected.decoded)
        assert result.encoded_bytes == expected.encoded_bytes
    np.testing.assert_array_equal(raw, before)
    assert expected.decoded.flags.writeable
    stack = prepared.apply(np.stack([raw, raw]))
    np.testing.assert_array_equal(stack.decoded, np.stack([expected.decoded] * 2))


def check_result(codec, image):
    """Shape, type, range, the count of bytes, and a record that is JSON; twice the same."""
    prepared = codec.prepare(image)
    result = prepared.apply(image)
    assert result.decoded.shape == image.shape
    assert result.decoded.dtype in (np.uint16, np.float32)
    assert result.decoded.min() >= 0
    assert result.decoded.max() <= 65535
    assert result.ratio == pytest.approx(2 * image.size / result.encoded_bytes)
    json.dumps(result.record, allow_nan=False)
    again = codec.prepare(image).apply(image)
    np.testing.assert_array_equal(again.decoded, result.decoded)
    restored = prepared.restored(image)
    assert restored.dtype == result.decoded.dtype
    np.testing.assert_array_equal(restored, result.decoded)
    assert (again.encoded_bytes, again.record) == (result.encoded_bytes, result.record)
    return result


def check_limits(codec, raw):
    """What cannot be carried is refused by name, before anything is encoded."""
    prepared = codec.prepare(raw)
    name = f"codec '{codec.codec_id}'"
    for wrong in (raw.astype(np.uint8), raw.astype(np.int32), raw.astype(np.float32), raw.astype(">u2")):
        with pytest.raises(CodecRangeError, match=f"{name} takes uint16"):
            prepared.apply(wrong)
        with pytest.raises(CodecRangeError, match=f"{name} takes uint16"):
            prepared.restored(wrong)
    for wrong in (raw[0], raw[None, None], raw[:0]):
        with pytest.raises(CodecRangeError, match=f"{name} takes images and stacks"):
            prepared.apply(wrong)
        with pytest.raises(CodecRangeError, match=name):
            codec.prepare(wrong)
