"""Hashes of back-projected images and of surface counts; ``python tests/golden/volume_hashes.py`` prints them anew.

Plan, projections and labels come from integer arithmetic alone, so they are the same everywhere.
"""

import hashlib

import numpy as np

from compdistort.backend.base import VOLUME_COLUMNS, BeamPlan
from compdistort.backend.beam import PLACE_BITS
from compdistort.backend.surface import SURFACE_COLUMNS

N_ANGLES, N_SAMPLES, SIZE, PLANES = 11, 40, 29, 3
SCALE = 1427 / 4096
SHAPE = (9, 17, 70)
COUNTS = ("Volume", *SURFACE_COLUMNS)
BEAMS = {
    1: "a38449acd459545306bf664c790cc3da64c72efe1f99bd903e331d6d7a9f1def",
    2: "af4f1b865abd19f030ffc18f979f3f88b3c0c9655a3a11de2a3fb7e6c1e878b4",
    4: "61961a473874d38e210a8e5422418b37503d322967755c84fd8acaa24ebb4890",
}
"""By the number of taps, of the images as little-endian float32."""
SURFACE = "514d723240f717a958e5c141a50c8f765c59e090d799c4cef891ef88d423735d"
"""Of the columns `COUNTS` of the objects of `label_volume`, as little-endian int64."""


def scrambled(n, multiplier=2654435761):
    """Return 0 .. n - 1, hashed to 0 .. 2^16 - 1, int64."""
    return ((np.arange(1, n + 1, dtype=np.uint64) * np.uint64(multiplier) >> np.uint64(9)) & np.uint64(0xFFFF)).astype(
        np.int64
    )


def plan_of(taps):
    """Places that step forwards and backwards by up to a sample, and leave the detector on both sides."""
    step = scrambled(2 * N_ANGLES).reshape(2, N_ANGLES) - (1 << 15)
    columns, rows = step << (PLACE_BITS - 15)
    half = SIZE // 2
    centre = (N_SAMPLES << PLACE_BITS) // 2 + scrambled(N_ANGLES, 40503)
    left = scrambled(SIZE, 48271) % half
    return BeamPlan(
        starts=centre - half * (columns + rows),
        columns=columns.copy(),
        rows=rows.copy(),
        first=0,
        last=(N_SAMPLES - taps) << PLACE_BITS,
        n_samples=N_SAMPLES,
        taps=taps,
        left=left.astype(np.int32),
        right=(SIZE - left // 2).astype(np.int32),
        scale=SCALE,
    )


def projections(plan):
    """Multiples of 1/1024 from -32 to 32, shape (PLANES, N_ANGLES, N_SAMPLES), float32."""
    values = scrambled(PLANES * plan.n_angles * plan.n_samples) - (1 << 15)
    return (values.astype(np.float32) / 1024).reshape(PLANES, plan.n_angles, plan.n_samples)


def label_volume():
    """Objects of every density, side by side, numbered in the order of their first voxels: shape `SHAPE`, int32."""
    words = scrambled(np.prod(SHAPE)).reshape(SHAPE)
    column = np.arange(SHAPE[2])
    ids = np.where(words % 70 < column, 1 + column // 9 + 8 * (np.arange(SHAPE[0])[:, None, None] // 4), 0)
    found, first = np.unique(ids, return_index=True)
    order = np.zeros(int(found.max()) + 1, np.int32)
    order[found[found > 0][np.argsort(first[found > 0])]] = np.arange(1, np.count_nonzero(found) + 1)
    return order[ids]


def image_hash(images):
    return hashlib.sha256(np.ascontiguousarray(images, "<f4")).hexdigest()


def count_hash(table):
    counts = table[:, [VOLUME_COLUMNS.index(name) for name in COUNTS]]
    return hashlib.sha256(np.ascontiguousarray(np.rint(counts), "<i8")).hexdigest()


def main():
    from compdistort import get_backend

    plain = get_backend("numpy")
    for taps in BEAMS:
        plan = plan_of(taps)
        print(f'    {taps}: "{image_hash(plain.backproject(projections(plan), plan))}",')
    print(f'SURFACE = "{count_hash(plain.measure(label_volume()))}"')


if __name__ == "__main__":
    main()
