"""Hashes of feature planes of one made-up image; ``python tests/golden/feature_hashes.py`` writes them anew.

The image comes from integer arithmetic alone, so it is the same everywhere.
"""

import hashlib
import json
from pathlib import Path

import numpy as np

from compdistort.features import FeatureSpec, build_bank

FILE = Path(__file__).with_name("features.json")
CASES = {
    "weka 2D": (FeatureSpec(set="weka"), (53, 67)),
    "ilastik 2D": (FeatureSpec(set="ilastik"), (53, 67)),
    "plain 2D": (FeatureSpec(set="plain"), (53, 67)),
    "ilastik 3D": (FeatureSpec(set="ilastik"), (36, 37, 41)),
    "plain 3D": (FeatureSpec(set="plain"), (40, 41, 43)),
    "vigra 2D": (FeatureSpec(set="vigra"), (53, 67)),
    "vigra 3D": (FeatureSpec(set="vigra", sigmas=(0.3, 1.0, 3.5)), (21, 23, 37)),
    "vigra planar": (FeatureSpec(set="vigra", sigmas=(0.7, 1.6, 3.5), planar=(0.7, 3.5)), (21, 23, 37)),
    "ilastik planar": (FeatureSpec(set="ilastik", sigmas=(0.3, 1.0, 3.5), planar=(1.0, 3.5)), (21, 23, 37)),
    "plain planar": (FeatureSpec(set="plain", sigmas=(1.0, 3.5), planar=(3.5,)), (21, 23, 37)),
}


def made_up_image(shape):
    """16-bit pixels from a multiplicative hash of the pixel's number, with a bright square."""
    number = np.arange(np.prod(shape), dtype=np.uint64).reshape(shape)
    image = ((number * np.uint64(2654435761)) >> np.uint64(7)) & np.uint64(1023)
    image[..., 10:20, 12:30] += np.uint64(40000)
    return image.astype(np.float32)


def bank_of(case):
    spec, shape = CASES[case]
    return build_bank(spec, len(shape), shape)


def plane_hashes(names, stack):
    return {
        name: hashlib.sha256(np.ascontiguousarray(plane)).hexdigest() for name, plane in zip(names, stack, strict=True)
    }


def main():
    from compdistort.backend.base import WekaBank
    from compdistort.backend.plain.convolve import separable_stack
    from compdistort.backend.plain.weka import weka_stack

    hashes = {}
    for case, (_, shape) in CASES.items():
        bank = bank_of(case)
        stack_of = weka_stack if isinstance(bank, WekaBank) else separable_stack
        hashes[case] = plane_hashes(bank.names, stack_of(made_up_image(shape), bank))
    FILE.write_text(json.dumps(hashes, indent=1) + "\n")


if __name__ == "__main__":
    main()
