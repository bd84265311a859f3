"""Filter banks: what a backend computes features with. `compdistort.backend.base` offers all names of this module."""

from dataclasses import dataclass

from compdistort.backend.records import Float32


@dataclass(frozen=True, slots=True, kw_only=True)
class SeparableScale:
    """Half kernels (taps 0..r, float32, computed in float64) of one sigma.

    Attributes
    ----------
    sigma_px : float
        The scale that the user named, in pixels.
    presmooth : ndarray of shape (r + 1,), float32, or None
        Even kernel applied along every axis first (preset `ilastik`).
    smooth, second, narrow : ndarray of shape (r + 1,), float32
        Even kernels: Gaussian, second derivative, and the narrower Gaussian of the difference of Gaussians.
    first : ndarray of shape (r + 1,), float32
        Odd kernel: response ``sum_k first[k] (x[+k] - x[-k])``; ``first[0]`` is 0.
    inner_smooth, inner_first : ndarray of shape (r + 1,), float32, or None
        Kernels, as `smooth` and `first`, of the gradient whose products `smooth` averages to the structure tensor; None
        where no column is one of its eigenvalues.
    planar : bool
        In a 3D image, each plane is filtered by itself, as a 2D image is: nothing runs along z.
    """

    sigma_px: float
    presmooth: Float32 | None
    smooth: Float32
    first: Float32
    second: Float32
    narrow: Float32
    inner_smooth: Float32 | None = None
    inner_first: Float32 | None = None
    planar: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SeparableBank:
    """A feature set of separable filters in 2D or 3D: GS, LoG, GGM, DoG, eigenvalues of Hessian and structure tensor.

    Attributes
    ----------
    names : tuple of str
        One name a feature, e.g. ``GS_s1.0``.
    columns : tuple of (str, int)
        Operator (``GS``, ``LoG``, ``GGM``, ``DoG``, ``HE1`` .. ``HE3``, ``ST1`` .. ``ST3``) and index into `scales`,
        one a feature.
    scales : tuple of SeparableScale
        The scales; in the set `vigra` the structure tensor of a sigma is one of its own.
    border : str
        ``"mirror"`` (d c b | a b c d | c b a) or ``"reflect"`` (c b a | a b c d | d c b).
    """

    names: tuple[str, ...]
    columns: tuple[tuple[str, int], ...]
    scales: tuple[SeparableScale, ...]
    border: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WekaScale:
    """ImageJ's accurate Gaussian of one Weka sigma.

    Attributes
    ----------
    sigma : float
        Weka's "sigma"; the standard deviation used is 0.4 sigma pixels.
    kernel : ndarray of shape (r,), float32
        Half kernel g_0..g_{r-1}, edge-corrected and normalised.
    tail : ndarray of shape (r,), float32
        Tail sums T_i that stand for the repeated edge pixel.
    """

    sigma: float
    kernel: Float32
    tail: Float32


@dataclass(frozen=True, slots=True, kw_only=True)
class WekaBank:
    """The 2D Trainable Weka set: Gaussian blur, Hessian, Sobel, difference of Gaussians.

    Attributes
    ----------
    names : tuple of str
        Plane names in Weka's order (70 of them for the default sigmas).
    scales : tuple of WekaScale
        The sigmas 1, 2, 4, ... in order.
    with_sigma_zero : bool
        Whether the unblurred Sobel and Hessian planes are part of the set.
    """

    names: tuple[str, ...]
    scales: tuple[WekaScale, ...]
    with_sigma_zero: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class HalfGridBank:
    """A feature set of separable filters whose coarse sigmas are computed on a grid of half the size (set `fast`).

    `compdistort.backend.plain.half_grid` gives the equations.

    Attributes
    ----------
    names : tuple of str
        One name a feature, e.g. ``GS_s1.0``.
    fine : SeparableBank
        The columns of the fine sigmas, exactly those of the set `plain`; may have none.
    fine_features : tuple of int
        The feature that each column of `fine` is.
    coarse_columns : tuple of (str, int)
        Operator (``GS``, ``LoG``, ``GGM``, ``DoG``) and index into `scales` of the other features.
    coarse_features : tuple of int
        The feature that each of `coarse_columns` is.
    scales : tuple of SeparableScale
        Coarse sigmas: kernels on the half grid, derivatives per pixel of the image.
    halve : ndarray of shape (6,), float32
        Half kernel of an even number of taps: answers ``sum_k halve[k] (x[2c + 1 + k] + x[2c - k])``.
    spread : ndarray of shape (4,), float32
        Cubic B-spline at the distances 1/4, 3/4, 5/4, 7/4 of grid points from a pixel.
    """

    names: tuple[str, ...]
    fine: SeparableBank
    fine_features: tuple[int, ...]
    coarse_columns: tuple[tuple[str, int], ...]
    coarse_features: tuple[int, ...]
    scales: tuple[SeparableScale, ...]
    halve: Float32
    spread: Float32


FilterBank = SeparableBank | WekaBank | HalfGridBank
