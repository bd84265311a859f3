"""The law of a digital number, as mathematics in float64: exact, and as the normal quantile with a skew term.

A grey level y at or above the offset stands for ``mu = (y - offset) / K`` electrons. Its exact law is that of
``round(offset + K (Poisson(mu) + Normal(0, read noise)))``, clipped to the converter's range; rounding adds the
1/12 DN^2 that the read noise excludes.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Float64 = NDArray[np.float64]

OCTAVES = 31
PIECES = 16
REACH = 9.0
"""Standard deviations beyond which a normal tail (1e-19) is taken as 0 or 1."""


def quantile_cubics() -> NDArray[np.float32]:
    """Return cubics of the standard normal quantile on the lower half of the 32-bit words.

    Octave e (1..31, the number of leading zeros) and piece s (0..15, the next four bits) hold the words
    ``2**(31 - e) (1 + (s + f) / 16)``; ``z(f) = c0 + c1 f + c2 f^2 + c3 f^3`` interpolates the quantile of
    ``(word + 1/2) / 2**32`` at the four Chebyshev nodes. The tail keeps its relative accuracy to 6.1 sigma.

    Returns
    -------
    ndarray of shape (496, 4), float32
        Row ``(e - 1) * 16 + s``; error of z below 6e-7.
    """
    from scipy.special import ndtri  # noqa: PLC0415  SciPy is not loaded for drawing

    nodes = 0.5 - 0.5 * np.cos((np.arange(4) + 0.5) * np.pi / 4)
    octave = np.arange(1, OCTAVES + 1)[:, None, None]
    piece = np.arange(PIECES)[:, None]
    words = 2.0 ** (31 - octave) * (1 + (piece + nodes) / PIECES)
    z = ndtri((words + 0.5) * 2.0**-32)
    cubics: Any = _newton_to_powers(nodes, z.reshape(-1, 4))
    return np.ascontiguousarray(cubics, np.float32)


def _newton_to_powers(nodes: Float64, values: Float64) -> Float64:
    """Return coefficients of the cubics through four points each, by divided differences (no LAPACK: same digits)."""
    table = values.T.copy()
    for order in range(1, 4):
        table[order:] = (table[order:] - table[order - 1 : -1]) / (nodes[order:] - nodes[: 4 - order])[:, None]
    powers = np.zeros_like(table)
    powers[0] = table[3]
    for k in (2, 1, 0):
        powers = np.vstack([np.zeros_like(powers[:1]), powers[:3]]) - nodes[k] * powers
        powers[0] += table[k]
    return powers.T


def poisson_pmf(k: NDArray[np.int64], mu: float) -> Float64:
    """Return the Poisson probabilities of the counts `k` at mean `mu`, shape of `k`, float64."""
    from scipy.special import gammaln, xlogy  # noqa: PLC0415

    out: Float64 = np.exp(xlogy(k, mu) - mu - gammaln(k + 1.0))
    return out


def exact_cdf(mu: float, offset_dn: float, gain: float, read_noise_e: float, top: int) -> tuple[int, Float64]:
    """Return the cumulative exact law of a digital number over the range where it rises from 0 to 1.

    Parameters
    ----------
    mu : float
        Mean number of electrons, >= 0.
    offset_dn : float
        DN.
    gain : float
        K in DN/e-.
    read_noise_e : float
        e-, without the converter's 1/12 DN^2.
    top : int
        Largest digital number; 0 and `top` take what lies beyond them.

    Returns
    -------
    first : int
        Digital number of the first entry.
    cdf : ndarray of shape (n,), float64
        ``P(value <= first + i)``; the last entry is 1.

    Examples
    --------
    >>> first, cdf = exact_cdf(0.0, 10.0, 1.0, 0.5, 255)
    >>> float(round(cdf[10 - first] - cdf[9 - first], 6))  # one sigma each way
    0.682689
    """
    from scipy.special import ndtr  # noqa: PLC0415

    spread = REACH * np.sqrt(mu)
    k = np.arange(max(0, int(mu - spread - 4)), int(mu + spread + 30))
    reach = REACH * read_noise_e
    first = int(np.clip(np.floor(offset_dn + gain * (k[0] - reach)), 0, top))
    last = int(np.clip(np.ceil(offset_dn + gain * (k[-1] + reach)) + 1, 0, top))
    edges = (np.arange(first, last) + 0.5 - offset_dn) / gain
    # Read noise reaches a few counts only: fewer ones are surely below the edge, more ones surely above.
    lowest = np.clip(np.ceil(edges - reach), k[0], k[-1] + 1).astype(np.int64) - k[0]
    band = np.arange(int(np.ceil(2 * reach)) + 2)
    pmf = np.append(poisson_pmf(k, mu), np.zeros(band.size))
    at = lowest[:, None] + band
    near = ndtr((edges[:, None] - (k[0] + at)) / max(read_noise_e, 1e-9)) * pmf[at]
    surely = np.append(0.0, np.cumsum(pmf))[lowest]
    return first, np.append(np.minimum(surely + near.sum(axis=1), 1.0), 1.0)


def quantile_cdf(values: NDArray[Any], mean: float, sd: float, skew: float) -> Float64:
    """Return the law of ``round(mean + sd (z + skew (z^2 - 1)))``, z standard normal, in closed form.

    Parameters
    ----------
    values : ndarray of shape (n,), int
        Digital numbers.
    mean, sd : float
        DN.
    skew : float
        Skewness / 6, >= 0.

    Returns
    -------
    ndarray of shape (n,), float64
        ``P(value <= values[i])``, before clipping to the converter's range.
    """
    from scipy.special import ndtr  # noqa: PLC0415

    q = (values + 0.5 - mean) / max(sd, 1e-12)
    if skew < 1e-9:
        return np.asarray(ndtr(q), np.float64)
    root = np.sqrt(np.maximum(1 + 4 * skew * (skew + q), 0))
    return np.asarray(ndtr((root - 1) / (2 * skew)) - ndtr((-root - 1) / (2 * skew)), np.float64)


def skewness_sixth(mu: ArrayLike, variance_e2: ArrayLike) -> Float64:
    """Return the skewness / 6 of Poisson plus Gaussian counts; 0 where the variance is 0.

    Parameters
    ----------
    mu : array_like of any shape
        Mean electrons, >= 0.
    variance_e2 : array_like of any shape
        Total variance, e-^2.

    Returns
    -------
    ndarray of the common shape, float64
    """
    mu, variance = np.asarray(mu, np.float64), np.asarray(variance_e2, np.float64)
    safe = np.where(variance > 0, variance, 1.0)
    return np.where(variance > 0, mu / safe**1.5 / 6, 0.0)
