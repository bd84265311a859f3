"""The calibration page: photon transfer curves, residuals, the error of a single pixel, EMVA 1288 quantities."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from compdistort.io.images import atomic_path
from compdistort.report.formatting import NOTHING, number, plural
from compdistort.report.style import BLACK, MARKERS, MUTED, SERIES, css, figure_style, new_figure, page_templates, plot

_MAX_CURVES = 8
_GRID: dict[str, Any] = {"color": "#e6e9ed", "linewidth": 0.7}

_QUANTITIES = (
    ("K", "system gain, weighted fit", "DN/e⁻", "gain_dn_per_e"),
    ("1/K", "the same, reciprocal", "e⁻/DN", "gain_e_per_dn"),
    ("K", "system gain, EMVA's unweighted fit through zero", "DN/e⁻", "emva1288.gain_dn_per_e"),
    ("μ_y.dark", "dark level (offset)", "DN", "offset_dn"),
    ("σ_y.dark", "temporal dark noise, with the converter's 1/12 DN²", "DN", "emva1288.dark_noise_dn"),
    ("σ_d", "temporal dark noise, without it", "e⁻", "emva1288.dark_noise_e"),
    ("σ_d", "read noise of the sensor file (weighted fit)", "e⁻", "read_noise_e"),
    ("μ_e.min", "absolute sensitivity threshold", "e⁻", "emva1288.sensitivity_threshold_e"),
    ("μ_e.sat", "saturation capacity", "e⁻", "emva1288.saturation_e"),
    ("DR", "dynamic range", "", "emva1288.dynamic_range"),
    ("SNR_max", "largest signal-to-noise ratio", "", "emva1288.snr_max"),
    ("DSNU", "dark signal non-uniformity", "e⁻", "emva1288.dsnu_e"),
    ("PRNU", "photo response non-uniformity, unevenness of the light included", "%", "emva1288.prnu_percent"),
    ("PRNU 8 × 8", "the same within blocks of 8 × 8 pixels, planes taken out", "%", "emva1288.prnu_pixel_percent"),
    ("LE_min", "linearity error, lowest", "%", "emva1288.linearity_error_min_percent"),
    ("LE_max", "linearity error, highest", "%", "emva1288.linearity_error_max_percent"),
)
_LOWER_LIMITS = ("emva1288.saturation_e", "emva1288.dynamic_range", "emva1288.snr_max")


def write_calibration_page(twin: dict[str, Any], html: Path, json_path: Path) -> None:
    """Write the page and its JSON twin, each whole or not at all.

    Parameters
    ----------
    twin : dict
        JSON-safe: ``title``, ``files``, ``sensor`` (model as data), ``regions`` (measurements), ``warnings``,
        ``single_pixel`` (``replicates`` and one curve a region) and ``maps`` (or None).
    html, json_path : Path
        Files to write.

    Raises
    ------
    ResourceError
        If they cannot be written.
    """
    text = render(twin)
    with atomic_path(json_path) as partial:
        partial.write_text(json.dumps(twin, indent=2, allow_nan=False, ensure_ascii=False) + "\n", encoding="utf-8")
    with atomic_path(html) as partial:
        partial.write_text(text, encoding="utf-8")


def render(twin: dict[str, Any]) -> str:
    """Return the page as one HTML document that needs no network."""
    regions = twin["regions"]
    return (
        page_templates()
        .get_template("calibration.html")
        .render(
            css=Markup(css()),  # noqa: S704 (our own style sheet)
            twin=twin,
            headline=_headline(twin),
            transfer=transfer_figure(regions),
            residuals=residual_figure(regions),
            single_pixel=single_pixel_figure(twin["single_pixel"]),
            names=[region["name"] for region in regions],
            quantities=quantity_rows(regions),
            fits=[_fit_row(region) for region in regions],
            dark=[_dark_row(region) for region in regions],
            plural=plural,
            shown=min(len(regions), _MAX_CURVES),
        )
    )


def _headline(twin: dict[str, Any]) -> str:
    gains = [region["gain_dn_per_e"] for region in twin["regions"]]
    noise = [region["read_noise_e"] for region in twin["regions"]]
    reached = all(region["saturation_dn"] != "not reached" for region in twin["regions"])
    return (
        f"Conversion gain {_span(gains)} DN/e⁻ ({_span([1 / g for g in gains])} e⁻/DN), read noise {_span(noise)} e⁻,"
        f" saturation {'found' if reached else 'not reached'}."
    )


def _span(values: Sequence[float]) -> str:
    low, high = number(min(values), 4), number(max(values), 4)
    return low if low == high else f"{low} to {high}"


def quantity_rows(regions: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the EMVA 1288 table: symbol, meaning, unit and one text a region."""
    rows = []
    for symbol, meaning, unit, path in _QUANTITIES:
        values = [_value(region, path) for region in regions]
        rows.append({"symbol": symbol, "meaning": meaning, "unit": unit, "values": values})
    return rows


def _value(region: dict[str, Any], path: str) -> str:
    value: Any = region
    for key in path.split("."):
        value = value[key]
    if value is None:
        return NOTHING
    text = number(value, 4)
    if path in _LOWER_LIMITS and not region["emva1288"]["saturation_reached"]:
        return f"≥ {text}"
    if "dark_noise" in path and region["emva1288"]["quantisation_limited"]:
        return f"≤ {text}"
    return text


def _fit_row(region: dict[str, Any]) -> dict[str, str]:
    low, high = region["gain_interval_95"]
    bend = NOTHING
    if region["gain_at_zero_signal_dn_per_e"] is not None and region["curvature_standard_error"]:
        size = abs(region["curvature_per_dn"]) / region["curvature_standard_error"]
        bend = f"{number(region['gain_at_zero_signal_dn_per_e'], 4)} ({number(size, 2)} standard errors)"
    saturation = region["saturation_dn"]
    return {
        "name": region["name"],
        "gain": f"{number(region['gain_dn_per_e'], 4)}",
        "interval": f"{low:.4f} to {high:.4f}",
        "chi2": f"{number(region['chi2'] / max(1, region['degrees_of_freedom']), 3)}",
        "p": f"{region['p_value']:.3g}",
        "levels": str(sum(region["levels"]["used"])),
        "bend": bend,
        "saturation": saturation if isinstance(saturation, str) else f"{number(saturation, 4)} DN",
        "roi": ", ".join(f"{a}:{b}" for a, b in region["roi"]),
    }


def _dark_row(region: dict[str, Any]) -> dict[str, str]:
    dark = region["dark_structure"]
    return {
        "name": region["name"],
        **{k: f"{dark[k]:+.4f}" for k in ("row_neighbour", "column_neighbour", "row_share", "column_share")},
        "neighbour_error": f"{dark['correlation_error']:.4f}",
    }


def transfer_figure(regions: Sequence[dict[str, Any]]) -> Markup:
    """Return variance against signal with the fitted lines."""
    name = "photon-transfer"
    with figure_style(name):
        figure, (axes,) = new_figure(9.4, 4.4)
        for region, colour, marker in zip(regions[:_MAX_CURVES], _colours(), _markers(), strict=False):
            signal, variance, used = _levels(region)
            label = f"{region['name']}: {number(region['gain_dn_per_e'], 4)} DN/e⁻"
            axes.plot(signal[used], variance[used], marker, color=colour, markersize=4, linestyle="none", label=label)
            axes.plot(
                signal[~used], variance[~used], marker, color=colour, markersize=4, fillstyle="none", linestyle="none"
            )
            x = np.array([0.0, signal[used].max()])
            dark = region["fit_dark_variance_dn2"]
            axes.plot(x, dark + region["gain_dn_per_e"] * x, color=colour, linewidth=1)
        axes.set(xlabel="signal above the dark level (DN)", ylabel="temporal variance of one frame (DN²)")
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=0)
        _grouped(axes)
        axes.grid(**_GRID)
        axes.legend(loc="upper left")
        return plot(figure, name, "Photon transfer curve: temporal variance against signal, with the fitted lines")


def residual_figure(regions: Sequence[dict[str, Any]]) -> Markup:
    """Return the standardised residuals of the lines."""
    name = "photon-transfer-residuals"
    with figure_style(name):
        figure, (axes,) = new_figure(9.4, 2.6)
        axes.axhspan(-2, 2, color="#f0f3f6")
        axes.axhline(0, color=MUTED, linewidth=0.8)
        for region, colour, marker in zip(regions[:_MAX_CURVES], _colours(), _markers(), strict=False):
            signal, _, used = _levels(region)
            residual = np.array(region["residuals"])
            axes.plot(
                np.concatenate(([0.0], signal[used])), residual, marker, color=colour, markersize=4, linestyle="none"
            )
        axes.set(xlabel="signal above the dark level (DN)", ylabel="residual / its standard error")
        _grouped(axes)
        return plot(figure, name, "Residuals of the photon transfer curve in units of their standard error")


def single_pixel_figure(data: dict[str, Any]) -> Markup:
    """Return the relative error of a single pixel against its mean, as in the paper's Fig. 1a."""
    name = "single-pixel-error"
    with figure_style(name):
        figure, (left, right) = new_figure(9.4, 3.7, 1, 2)
        for curve, colour, marker in zip(data["curves"][:_MAX_CURVES], _colours(), _markers(), strict=False):
            mean, sd = np.array(curve["mean_dn"]), np.array(curve["sd_dn"])
            left.plot(
                mean, 100 * sd / mean, marker, color=colour, markersize=2.8, linestyle="none", label=curve["name"]
            )
            lit = mean > curve["offset_dn"] + 0.5
            signal = mean[lit] - curve["offset_dn"]
            right.plot(signal, 100 * sd[lit] / signal, marker, color=colour, markersize=2.8, linestyle="none")
            law = np.array(curve["law_sd_dn"])
            left.plot(mean, 100 * law / mean, color=colour, linewidth=0.8)
            right.plot(signal, 100 * law[lit] / signal, color=colour, linewidth=0.8)
        left.set(xscale="log", xlabel="mean grey level (DN)", ylabel="σ / mean (%)", title="of the grey level")
        right.set(
            xscale="log", yscale="log", xlabel="mean above the offset (DN)", ylabel="σ / signal (%)",
            title="of the light alone",
        )  # fmt: skip
        for axes in (left, right):
            _plain_log(axes)
            axes.grid(**_GRID)
        left.set_ylim(bottom=0)
        left.legend(loc="upper right")
        return plot(figure, name, f"Relative error of a single pixel from {data['replicates']} replicates, in percent")


def _levels(region: dict[str, Any]) -> tuple[Any, Any, Any]:
    levels = region["levels"]
    return np.array(levels["signal_dn"]), np.array(levels["variance_dn2"]), np.array(levels["used"], bool)


def _colours() -> list[str]:
    return [*SERIES, BLACK]


def _markers() -> list[str]:
    return [*MARKERS, "*"]


def _grouped(axes: Any) -> None:
    """Write thousands apart and without scientific offsets."""
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda value, _: f"{value:,.6g}".replace(",", "\u202f").replace("-", "−"))


def _plain_log(axes: Any) -> None:
    """Write the decades of logarithmic axes as plain numbers."""
    for axis, scale in ((axes.xaxis, axes.get_xscale()), (axes.yaxis, axes.get_yscale())):
        if scale == "log":
            low, high = axis.get_view_interval()
            decades = math.log10(high / low)
            steps = (1, 2, 5) if decades < 2 else (1,)
            ticks = [m * 10.0**k for k in range(-4, 7) for m in steps]
            axis.set_ticks([t for t in ticks if low <= t <= high])
            axis.set_minor_formatter(lambda _value, _position: "")
            axis.set_major_formatter(lambda value, _: f"{value:,.6g}".replace(",", "\u202f"))
