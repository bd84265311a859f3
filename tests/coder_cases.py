"""Every coder at one level, and the arrays of all types that the tests of coders give them."""

import math

import numpy as np

from compdistort.codecs import (
    Aec,
    Avif,
    Blosc2,
    Fpack,
    Htj2k,
    Htj2kLossless,
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
    Rice,
    Sperr,
    SperrRate,
    Sz3,
    WebP,
    Zfp,
    ZfpRate,
    Zstd,
)

CODECS = [
    Jpeg(quality=90),
    Jpeg(bits=12, quality=90),
    Jpeg2000(psnr=60),
    Htj2k(step=0.001),
    JpegXl(distance=0.5, effort=3),
    JpegXr(quality=0.9),
    JpegLs(near=8),
    JpegLs(near=0),
    Avif(quality=90),
    Avif(bits=8, quality=90),
    WebP(quality=95),
    Sperr(max_error=8),
    SperrRate(rate=8),
    Sz3(max_error=8),
    Zfp(max_error=8),
    ZfpRate(rate=8),
    Lerc(max_error=8),
    Lerc(max_error=0),
    Fpack(q=4),
    Fpack(q=4, compression="hcompress"),
    JpegSof3(),
    Jpeg2000Lossless(),
    Htj2kLossless(),
    JpegXlLossless(effort=3),
    Png(),
    Zstd(effort=3),
    Blosc2(),
    Rice(),
    Aec(),
]
"""Each coder of the register, at a gentle level."""

CODERS = [(codec.coder, codec.level()) for codec in CODECS]
IDS = [f"{coder.name}-{level:g}" for coder, level in CODERS]


def scene(shape, top, seed=0):
    """Smooth waves of another period along every axis, with photon noise, from 0 to `top`."""
    places = np.indices(shape).astype(float)
    waves = np.prod([np.sin(place / 17.0 + axis) for axis, place in enumerate(places)], axis=0)
    counts = np.random.default_rng(seed).poisson((0.5 + 0.4 * waves) * 2000)
    return np.clip(np.rint(counts / 4095.0 * top), 0, top)


def arrays(shape):
    """One array of each type: 8 bit, 12 bit in 16, 16 bit, 16 bit with a sign, and float32 with fractions."""
    return {
        "u8": scene(shape, 255).astype(np.uint8),
        "12 bit": scene(shape, 4095).astype(np.uint16),
        "u16": scene(shape, 65535).astype(np.uint16),
        "i16": (scene(shape, 4095) - 2048).astype(np.int16),
        "f32": (scene(shape, 4095) + 0.25).astype(np.float32),
    }


SHAPES = {"2D": (72, 104), "3D": (6, 40, 56)}
CASES = {f"{kind} {axes}": array for axes, shape in SHAPES.items() for kind, array in arrays(shape).items()}


def takes(coder, array):
    """Whether a coder says that it takes an array."""
    fits = coder.largest is None or array.max() <= coder.largest
    return array.dtype.name in coder.dtypes and array.ndim in coder.ndims and fits


def scale_of(coder, array):
    """The whole scale that a coder takes its integers to fill; that of the image where it is float."""
    if array.dtype.kind == "f":
        return float(array.max())
    return coder.largest or 2 ** (8 * array.dtype.itemsize) - 1


def rms_limit(coder, level, array):
    """Largest rms error of a coder that promises nothing of a pixel.

    JPEG: at quality 90 no step of the quantisation table exceeds 24, and an error uniform in a step has rms step / sqrt
    12. JPEG 2000: the level is the PSNR against the whole scale, so the rms error is given; half as much again, because
    OpenJPEG estimates what it cuts (the most seen is 1.37 times), and a grey level for whole coefficients and pixels.
    HTJ2K: the level is the step of the quantiser, in the whole scale, and an error stays below a step. By rate: no
    worse than a plain quantiser of the range with as many bits. fpack: half a step, noise / q, where the noise is at
    most sqrt 2000 counts. The others have a level without a unit: near its gentle end an error of 2 % of the scale
    would be no image any more.
    """
    if coder.name in ("jpeg", "jpeg of 12 bit"):
        return 24 / math.sqrt(12)
    if coder.name == "jpeg2000":
        return 1.5 * scale_of(coder, array) * 10 ** (-level / 20) + 1
    if coder.name == "htj2k":
        return level * scale_of(coder, array)
    if coder.name in ("zfp-rate", "sperr-rate"):
        return float(np.ptp(array)) / 2**level / math.sqrt(12)
    if coder.name.startswith("fpack"):
        return math.sqrt(2000) / level / 2
    return 0.02 * scale_of(coder, array)


def rms(back, array):
    """Root mean square of the difference."""
    return math.sqrt(np.mean((back.astype(np.float64) - array) ** 2))
