"""Small committed .vsq files and hashes of what they decode to; ``python tests/golden/vsq_files.py`` writes them anew.

A file of an older version of this program, or of another machine, decodes to the same bits. The raw image comes from
integer arithmetic.
"""

import hashlib
import json
from pathlib import Path

import numpy as np

from compdistort.codecs.vsq.container import VsqSettings, decode_array, encode_array
from compdistort.codecs.vsq.noise import NoiseLaw, NoiseMaps
from compdistort.codecs.vsq.quantiser import Quantiser

FOLDER = Path(__file__).parent
HASHES = Path(__file__).with_suffix(".json")
CASES = ("jxl", "jpegls", "dither-aware", "maps", "lattice")
SHAPE = (2, 40, 50)


def path_of(case):
    return FOLDER / f"vsq_{case}.vsq"


def made_up(low, high, shape=SHAPE):
    """Whole numbers from low to high - 1, by a multiplicative hash of the pixel's number."""
    number = np.arange(np.prod(shape), dtype=np.uint64).reshape(shape)
    word = (number + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    return low + (word >> np.uint64(40)) % np.uint64(high - low)


def raw(case):
    rows, columns = np.mgrid[: SHAPE[1], : SHAPE[2]]
    image = (100 + rows * columns + made_up(0, 40)).astype(np.uint16)
    image[:, 3, 5:9] = 65535 if case != "lattice" else 4095
    return image << 4 if case == "lattice" else image


def law_of(case):
    maps = None
    if case == "maps":
        flat = made_up(0, 64, SHAPE[1:]).astype(np.float64) / 64
        maps = NoiseMaps(offset_dn=99 + 2 * flat, gain_dn_per_e=2 + flat / 4, read_noise_dn=3 + flat)
    return NoiseLaw(offset_dn=100.0, gain_dn_per_e=2.0, read_noise_dn=3.0, maps=maps)


def encode(case):
    lattice = 16 if case == "lattice" else 1
    quantiser = Quantiser(law_of(case), step=2.0, lattice=lattice, top=65520 if case == "lattice" else None)
    seed = 7 if case == "maps" else "content"
    backend = case if case in ("jxl", "dither-aware") else "jpegls"
    return encode_array(raw(case), quantiser, VsqSettings(tile=32, seed=seed, backend=backend))


def digest(data):
    return hashlib.sha256(decode_array(data)[0].astype("<u2").tobytes()).hexdigest()


if __name__ == "__main__":
    for each in CASES:
        path_of(each).write_bytes(encode(each))
    HASHES.write_text(json.dumps({each: digest(path_of(each).read_bytes()) for each in CASES}, indent=1) + "\n")
