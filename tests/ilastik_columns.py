"""Columns of the ilastik oracle against ours: names, and how far they may be apart.

GS, LoG, GGM, DoG: 2e-6 of the image's maximum. Eigenvalues (last axis, largest first): a share of the column's standard
deviation, as the oracle's README saw between the programs and a re-statement in float64. In 3D ilastik finds them in
float32 with trigonometric functions; in 2D it is exact to rounding.
"""

import numpy as np

from compdistort.features import FeatureSpec, build_bank

BOUND = 2e-6
KINDS = {"ST": "ST", "HoG": "HE"}
"""The oracle's names of eigenvalues, and ours."""


def pairs_of(column, values):
    """The pairs that make one column of the oracle, such as HoG_s1.0, which has an axis of eigenvalues."""
    operator, sigma = column.split("_s")
    if operator not in KINDS:
        return [(operator, float(sigma))]
    return [(f"{KINDS[operator]}{rank + 1}", float(sigma)) for rank in range(values.shape[-1])]


def bound(column, values, maximum, name):
    """Largest difference allowed."""
    operator, sigma = column.split("_s")
    if operator not in KINDS:
        return BOUND * maximum
    return _share(operator, float(sigma), values.shape[-1], name) * values.std()


def _share(operator, sigma, ranks, name):
    if ranks == 2:
        return 4e-4 if sigma >= 10 and name == "ilastik" else 1e-4
    if name == "vigra":
        return 1e-4 if operator == "ST" else 2e-3
    if operator == "ST":
        return 5e-4
    return 4e-2 if sigma < 0.5 else 3e-3 if sigma <= 1 else 1.4e-3


def shares(backend, image, columns, name, planes=slice(None), *, planar=False):
    """Largest difference of each column of the oracle to the backend's, as a share of what is allowed.

    `columns` are arrays by name, of the planes (rows in 2D) `planes`; `planar` makes every sigma planar.
    """
    pairs = {column: pairs_of(column, values) for column, values in columns.items()}
    every = tuple(pair for some in pairs.values() for pair in some)
    sigmas = tuple(dict.fromkeys(sigma for _, sigma in every)) if planar else ()
    spec = FeatureSpec(set=name, pairs=every, planar=sigmas)
    image = image.astype(np.float32)
    stack = backend.feature_stack(image, build_bank(spec, image.ndim, image.shape))
    ours = dict(zip(every, stack[:, planes], strict=True))
    found = {}
    for column, values in columns.items():
        made = np.stack([ours[pair] for pair in pairs[column]], -1)
        made = made if column.split("_s")[0] in KINDS else made[..., 0]
        assert made.shape == values.shape, column
        found[column] = float(np.abs(made - values).max() / bound(column, values, image.max(), name))
    return found
