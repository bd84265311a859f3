"""Speed of the codec chains beside the bare coder: pixels in, pixels out, one plane of 1024 x 1024.

And of the coders of VSQ's indices, both ways, on one chunk of 512 x 512 pixels.
"""

import imagecodecs
import numpy as np
import pytest

from compdistort.codecs import BitDepth, Codec, Identity, Jpeg
from compdistort.codecs.vsq.index_coder import decode_indices, encode_indices
from compdistort.codecs.vsq.noise import NoiseLaw
from compdistort.codecs.vsq.quantiser import Quantiser
from compdistort.grey_levels import GreyLevels
from compdistort.synthetic.codec_scenes import codec_scene

CHAINS: dict[str, Codec] = {
    "identity": Identity(),
    "bit-depth": BitDepth(),
    "jpeg-8": Jpeg(quality=88),
    "jpeg-12": Jpeg(bits=12, quality=35),
}


@pytest.fixture(scope="module")
def raw():
    rng = np.random.default_rng(0)
    slope = np.linspace(1500, 2500, 1024)
    return np.rint(slope[:, None] + rng.normal(0, 25, (1024, 1024))).astype(np.uint16)


@pytest.mark.parametrize("name", CHAINS)
def test_chain(benchmark, raw, name):
    benchmark.extra_info["megabytes"] = raw.nbytes / 1e6
    assert benchmark(CHAINS[name].apply, raw).ratio >= 1


@pytest.mark.parametrize("bits", [8, 12])
def test_bare_jpeg(benchmark, raw, bits):
    benchmark.extra_info["megabytes"] = raw.nbytes / 1e6
    quality = 88 if bits == 8 else 35
    codes = Jpeg(bits=bits, quality=quality).link.scale(lambda: GreyLevels.of_planes([raw])).reduce(raw)

    def there_and_back():
        return imagecodecs.jpeg8_decode(
            imagecodecs.jpeg8_encode(codes, level=quality, bitspersample=bits, optimize=True)
        )

    assert benchmark(there_and_back).shape == raw.shape


def test_ratio_search(benchmark, raw):
    assert benchmark(Jpeg(ratio=10).prepare, raw).search.reached


INDEX_CODERS = ("jxl", "jpegls", "dither-aware")


@pytest.fixture(scope="module")
def chunk():
    """Indices of dim fluorescence at a step of two standard deviations, the index of saturated pixels, the dither."""
    scene = codec_scene("fluor", (512, 512))
    quantiser = Quantiser(NoiseLaw.from_sensor(scene.sensor), step=2.0)
    return quantiser.quantise(scene.raw, 1), quantiser.saturated, quantiser.dither_of((512, 512), 1)


@pytest.mark.parametrize("backend", INDEX_CODERS)
def test_index_encoder(benchmark, chunk, backend):
    stream = benchmark(encode_indices, *chunk, backend, 7)
    benchmark.extra_info |= {"megapixels": chunk[0].size / 1e6, "ratio": 2 * chunk[0].size / len(stream)}
    assert len(stream) < chunk[0].size / 4


@pytest.mark.parametrize("backend", INDEX_CODERS)
def test_index_decoder(benchmark, chunk, backend):
    indices, saturated, dither = chunk
    stream = encode_indices(*chunk, backend, 7)
    benchmark.extra_info["megapixels"] = indices.size / 1e6
    back = benchmark(decode_indices, stream, indices.shape, saturated, dither, backend)
    np.testing.assert_array_equal(back, indices)
