"""From the user's choice to the filter bank that a backend runs."""

import math
from collections.abc import Sequence
from dataclasses import replace

from compdistort.backend.base import FilterBank, SeparableBank, SeparableScale
from compdistort.errors import ConfigError
from compdistort.features.half_grid import coarse_axis, half_grid_bank, is_coarse
from compdistort.features.kernels import first_derivative, gaussian, second_derivative, window_radius
from compdistort.features.spec import EIGENVALUES, FeatureSpec
from compdistort.features.vigra import FINEST_DERIVATIVE_PX, vigra_scale, vigra_shortest_axis, vigra_tensor_scale
from compdistort.features.weka import weka_bank, weka_names

NARROW = 0.66
"""Width of the narrower Gaussian of a difference of Gaussians, as a fraction of the wider one."""

INNER = 0.5
"""Width of the gradient's Gaussian of a structure tensor, as a fraction of the Gaussian that averages its products."""

PRESMOOTH_WINDOW, FILTER_WINDOW, PLAIN_WINDOW = 3.5, 2.0, 4.0
"""Half widths of the kernels in standard deviations: ilastik's two steps, and the set `plain`."""


def feature_names(spec: FeatureSpec) -> tuple[str, ...]:
    """Return one name a feature, in the order of the planes.

    Parameters
    ----------
    spec : FeatureSpec
        Set, sigmas or pairs.

    Returns
    -------
    tuple of str

    Examples
    --------
    >>> len(feature_names(FeatureSpec(set="ilastik"))), len(feature_names(FeatureSpec(set="weka")))
    (25, 70)
    >>> feature_names(FeatureSpec(set="plain", sigmas=(1.6,)))
    ('GS_s1.6', 'LoG_s1.6', 'GGM_s1.6', 'DoG_s1.6')
    >>> feature_names(FeatureSpec(set="plain", pairs=(("GS", 1.0), ("HE1", 1.6)), planar=(1.6,)))
    ('GS_s1.0', 'HE1_s1.6_2d')
    """
    if spec.set == "weka":
        return weka_names(spec.sigmas)
    return tuple(f"{operator}_s{sigma}{'_2d' if sigma in spec.planar else ''}" for operator, sigma in spec.columns)


def build_bank(spec: FeatureSpec, ndim: int, shape: Sequence[int] | None = None) -> FilterBank:
    """Return the filters of a spec as half kernels.

    `weka` repeats the edge pixel and sums in ImageJ's order. `ilastik` smooths first (sigma sqrt(s^2 - 1), or s up to
    1; window 3.5), then filters with q = min(s, 1) (window 2), border mirrored without repeating the edge pixel.
    `vigra` filters directly at sigma as calls of `vigra.filters` do: window 3 + order / 2, so that every kernel has its
    own radius, at least 1; border of `ilastik`. Its own columns are those of `ilastik`; vigra could make more at 0.3.
    `plain` filters directly at sigma (window 4), border mirrored with the edge pixel repeated (SciPy's ``reflect``).
    `fast` is `plain` with sigmas from 3.5 on a grid of half the size (`backend.plain.half_grid`): close, not equal.
    In `ilastik`, `vigra` and `plain`, HE1, HE2 (HE3 in 3D) are the eigenvalues of the Hessian of the Gaussian of q (in
    the other two sigma), ST1, ST2 (ST3) those of the structure tensor: gradient at q / 2 (`plain`: sigma / 2, `vigra`:
    sigma), its products averaged by the Gaussian of q (sigma, sigma / 2), each with the set's window and border; the
    largest first, without a power of sigma. The planar sigmas of these three are filtered plane by plane, as 2D images.
    All planes of the five sets are equal to the bit on every CPU backend.

    Parameters
    ----------
    spec : FeatureSpec
        Set, sigmas or pairs.
    ndim : int
        Axes of the image, 2 or 3.
    shape : sequence of int, optional
        Shape of the image; where given, an axis too short for a sigma is refused.

    Returns
    -------
    SeparableBank, WekaBank or HalfGridBank

    Raises
    ------
    ConfigError
        If set or operator does not exist for `ndim` axes, a sigma of a 2D image is planar or too fine for a derivative,
        or an axis is too short.

    Examples
    --------
    >>> bank = build_bank(FeatureSpec(set="ilastik", sigmas=(1.0,)), 2, (64, 64))
    >>> bank.names, bank.border
    (('GS_s1.0', 'LoG_s1.0', 'GGM_s1.0', 'DoG_s1.0'), 'mirror')
    """
    if ndim not in (2, 3) or (shape is not None and len(shape) != ndim):
        raise ConfigError(f"features of an image of {ndim} axes {shape or ''} cannot be made", "give a 2D or 3D image")
    if spec.set == "weka":
        if ndim != 2:
            raise ConfigError(f"feature set 'weka' is 2D only, the image has {ndim} axes", "use --set ilastik or plain")
        return weka_bank(spec.sigmas)
    if spec.planar and ndim == 2:
        raise ConfigError(
            f"sigmas {list(spec.planar)} are planar, but the image has one plane only", "leave out --planar"
        )
    _check_eigenvalues(spec, ndim)
    if shape is not None:
        _check_axes(spec, shape)
    if spec.set == "fast":
        return half_grid_bank(spec, feature_names(spec), NARROW, _separable_bank)
    return _separable_bank(spec)


def _separable_bank(spec: FeatureSpec) -> SeparableBank:
    tensors = {sigma for operator, sigma in spec.columns if _is_tensor(operator)}
    keys = [(sigma, spec.set == "vigra" and _is_tensor(operator)) for operator, sigma in spec.columns]
    wanted = tuple(dict.fromkeys(keys))
    scales = tuple(
        replace(
            vigra_tensor_scale(sigma) if own else _scale_of(spec.set, sigma, tensor=sigma in tensors),
            planar=sigma in spec.planar,
        )
        for sigma, own in wanted
    )
    bank = SeparableBank(
        names=feature_names(spec),
        columns=tuple((operator, wanted.index(key)) for (operator, _), key in zip(spec.columns, keys, strict=True)),
        scales=scales,
        border="reflect" if spec.set in ("plain", "fast") else "mirror",
    )
    _check_derivatives(spec, bank)
    return bank


def _is_tensor(operator: str) -> bool:
    return operator.startswith("ST")


def shortest_axis(spec: FeatureSpec, sigma: float) -> int:
    """Return the smallest axis, in pixels, on which a sigma is allowed: every border is mirrored at most once.

    Examples
    --------
    >>> [shortest_axis(FeatureSpec(set="ilastik"), s) for s in (0.3, 0.7, 1.0, 1.6, 3.5, 5.0, 10.0)]
    [3, 4, 5, 7, 14, 19, 36]
    """
    if spec.set == "ilastik":
        return math.ceil(PRESMOOTH_WINDOW * sigma) + 1
    if spec.set == "vigra":
        return vigra_shortest_axis([operator for operator, at in spec.columns if at == sigma], sigma)
    if spec.set == "fast" and is_coarse(sigma):
        return coarse_axis(sigma)
    return max(1, window_radius(sigma, PLAIN_WINDOW))


def _check_axes(spec: FeatureSpec, shape: Sequence[int]) -> None:
    for sigma in sorted(spec.sigmas):
        need, planar = shortest_axis(spec, sigma), sigma in spec.planar
        if min(shape[-2:] if planar else shape) < need:
            axes = "along rows and columns" if planar else "on every axis"
            raise ConfigError(
                f"sigma {sigma} of feature set '{spec.set}' needs {need} pixels {axes}, the image has "
                f"{' x '.join(map(str, shape))}",
                "leave this and coarser sigmas out with --sigma",
            )


def _check_eigenvalues(spec: FeatureSpec, ndim: int) -> None:
    for operator, sigma in spec.columns:
        if operator in EIGENVALUES and int(operator[2:]) > (2 if sigma in spec.planar else ndim):
            where = "sigma that is not planar" if sigma in spec.planar else "3D image"
            raise ConfigError(
                f"feature {operator} needs a {where}: in 2D there are two eigenvalues", f"leave {operator} out"
            )


def _check_derivatives(spec: FeatureSpec, bank: SeparableBank) -> None:
    for (operator, sigma), (_, at) in zip(spec.columns, bank.columns, strict=True):
        slope = bank.scales[at].inner_first if _is_tensor(operator) else bank.scales[at].first
        if operator not in ("GS", "DoG") and (slope is None or not slope.any()):
            finest = 0.5 if _is_tensor(operator) and spec.set == "ilastik" else 0.25
            raise ConfigError(
                f"sigma {sigma} is too fine for {operator}: its kernel is a single pixel",
                f"use a sigma of {FINEST_DERIVATIVE_PX if spec.set == 'vigra' else finest} or more",
            )


def _scale_of(name: str, sigma: float, *, tensor: bool) -> SeparableScale:
    if name == "ilastik":
        return _ilastik_scale(sigma, tensor=tensor)
    return vigra_scale(sigma, NARROW) if name == "vigra" else _plain_scale(sigma, tensor=tensor)


def _ilastik_scale(sigma: float, *, tensor: bool) -> SeparableScale:
    before = math.sqrt(sigma * sigma - 1) if sigma > 1 else sigma
    return _scale(sigma, min(sigma, 1.0), FILTER_WINDOW, before, tensor=tensor)


def _plain_scale(sigma: float, *, tensor: bool) -> SeparableScale:
    return _scale(sigma, sigma, PLAIN_WINDOW, None, tensor=tensor)


def _scale(named: float, filter_px: float, window: float, before_px: float | None, *, tensor: bool) -> SeparableScale:
    """Return the kernels of one scale; where one pixel is all there is, both derivatives are the zero kernel."""
    radius = window_radius(filter_px, window)
    narrow_px, inner_px = NARROW * filter_px, INNER * filter_px
    inner = window_radius(inner_px, window)
    zero = gaussian(filter_px, 0) * 0
    return SeparableScale(
        sigma_px=named,
        presmooth=None if before_px is None else gaussian(before_px, window_radius(before_px, PRESMOOTH_WINDOW)),
        smooth=gaussian(filter_px, radius),
        first=first_derivative(filter_px, radius) if radius else zero,
        second=second_derivative(filter_px, radius) if radius else zero,
        narrow=gaussian(narrow_px, window_radius(narrow_px, window)),
        inner_smooth=gaussian(inner_px, inner) if tensor else None,
        inner_first=(first_derivative(inner_px, inner) if inner else zero) if tensor else None,
    )
