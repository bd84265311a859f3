"""What `compdistort train` and `compdistort segment` print for people."""

from typing import Any

from compdistort.forest import describe_bins
from compdistort.pipeline.half_grid_effect import describe_differences


def describe_training(result: dict[str, Any]) -> str:
    """Return the result of `train_files` in words."""
    counts = ", ".join(f"{name}: {n} pixels" for name, n in result["n_pixels"].items())
    lines = [
        f"{result['model']}: {result['n_trees']} trees (preset {result['preset']}, seed {result['seed']}, "
        f"{'classes weigh the same' if result['balanced'] else 'pixels weigh the same'}), "
        f"features {_features(result['features'])}",
        f"trained on {counts}; objects are {result['foreground']} (value {result['foreground_value']}, --foreground)",
    ]
    if result["oob_error"] is not None:
        lines.append(f"out-of-bag error {result['oob_error']:.4f} (optimistic: neighbours of a pixel were seen)")
    if "rms_difference_from_plain" in result:
        lines.append(describe_differences(result["rms_difference_from_plain"]))
    lines += describe_bins(result["bins"]) if "bins" in result else ()
    if "drawn" in result:
        drawn = result["drawn"]
        lines.append(f"annotations drawn of masks: {drawn['samples']} pixels an image, prior {drawn['prior']}")
    lines += [_tuning(result["tuning"])] if "tuning" in result else []
    quality = result["held_out"]
    if quality is not None:
        recall = ", ".join(f"{name} {value:.4f}" for name, value in quality["recall"].items())
        lines += [
            f"held out ({quality['source']}; {sum(quality['n_pixels'].values())} pixels):",
            f"  accuracy {quality['accuracy']:.4f}, Dice {quality['dice']:.4f}, recall {recall}",
        ]
    return "\n".join([*lines, *(f"warning: {text}" for text in result["warnings"])])


def _features(spec: dict[str, Any]) -> str:
    """Return the set, with its columns where these were named one by one."""
    pairs = ", ".join(f"{operator}:{sigma:g}" for operator, sigma in spec["pairs"] or ())
    planar = ", ".join(f"{sigma:g}" for sigma in spec.get("planar", ()))
    words = f"{spec['set']} ({pairs})" if pairs else str(spec["set"])
    return f"{words}, planar {planar}" if planar else words


def _tuning(tuning: dict[str, Any]) -> str:
    """Return the chosen pair, and how well it found the objects of images that the forests had not seen."""
    each = ", ".join(f"{value:.3f}" for value in tuning["f1"])
    return (
        f"tuned: P >= {tuning['threshold']:g}, objects of {tuning['min_size']} pixels or more: F1 of objects "
        f"{sum(tuning['f1']) / len(tuning['f1']):.3f} ({each}) on {tuning['source']} (centres within "
        f"{tuning['radius_px']:g} pixels); segment and studies use them where nothing else is said"
    )


def describe_segmentation(result: dict[str, Any]) -> str:
    """Return the result of `segment_file` in words."""
    written = ", ".join(result[name] for name in ("mask", "probability", "labels") if result[name])
    found = f"{result['objects']} objects, total area {result['total_area_px']} pixels"
    rule = f" ({result['tuned']})" if result["tuned"] else ""
    return f"{result['image']}: {found}{rule}\n{written}: written"
