"""Small noisy images and quantisers that the tests of VSQ files share, and files forged with valid checksums."""

import io
import json

import numpy as np

from compdistort.codecs.vsq.container_format import Front, pack_front, read_front
from compdistort.codecs.vsq.noise import NoiseLaw, NoiseMaps
from compdistort.codecs.vsq.quantiser import Quantiser

OFFSET, GAIN, READ = 100.0, 2.17, 3.4
LAW = NoiseLaw(offset_dn=OFFSET, gain_dn_per_e=GAIN, read_noise_dn=READ)


def noisy(shape, seed=1, brightest=400.0, saturated=True):
    """Poisson-Gaussian image of a gradient with a bright blob; a few pixels are saturated."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[: shape[-2], : shape[-1]]
    light = 5 + brightest * np.exp(-((rows / shape[-2] - 0.4) ** 2 + (columns / shape[-1] - 0.6) ** 2) / 0.1)
    electrons = rng.poisson(np.broadcast_to(light, shape))
    image = np.rint(OFFSET + GAIN * electrons + rng.normal(0, READ, shape)).clip(0, 60000).astype(np.uint16)
    if saturated:
        image[..., 2, 3:6] = 65535
    return image


def maps_law(rows, columns, seed=2):
    """Noise law with one offset, gain and read noise a pixel."""
    rng = np.random.default_rng(seed)
    maps = NoiseMaps(
        offset_dn=rng.normal(OFFSET, 2, (rows, columns)),
        gain_dn_per_e=rng.normal(GAIN, 0.05, (rows, columns)),
        read_noise_dn=rng.uniform(2, 6, (rows, columns)),
    )
    return NoiseLaw(offset_dn=OFFSET, gain_dn_per_e=GAIN, read_noise_dn=READ, maps=maps)


def quantiser(step=2.0, law=LAW, **settings):
    return Quantiser(law, step=step, **settings)


def front_of(data):
    return read_front("a file", io.BytesIO(data), len(data))


def forged(data, edit):
    """Return a file whose header `edit` changed, and whose checksums all hold."""
    front: Front = front_of(data)
    header = json.loads(json.dumps(front.header))
    edit(header)
    return repacked(data, json.dumps(header).encode())


def repacked(data, header):
    """Return a file with another header and the same parts."""
    front = front_of(data)
    body = data[front.parts[0].offset :]
    start = len(pack_front(header, front.parts))
    moved = [
        type(part)(part.offset - front.parts[0].offset + start, part.length, part.stored_crc, part.content_crc)
        for part in front.parts
    ]
    return pack_front(header, moved) + body
