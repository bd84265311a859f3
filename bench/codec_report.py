"""What bench/codecs.py found, in words and as tables."""

_WAYS = (("encode_mb_s", "in"), ("decode_mb_s", "out"))


def row_words(row):
    """Return what a row says, on one line."""
    if "refused" in row:
        return f"{row['codec']}: refused: {row['refused']}"
    pixels = row["pixels"]
    speed = "".join(f", {row[k]:.0f} MB/s {way}" for k, way in _WAYS if k in row)
    missed = "" if row["reached"] else " (not reached)"
    return (
        f"{row['codec']}: {row['ratio']:.2f}:1{missed}, {pixels['added_db']:.3f} dB, bias {pixels['bias']:+.4f}{speed}"
    )


def markdown(found):
    """Return one table an image."""
    machine = found["machine"]
    parts = [
        f"{machine['processor']}, {machine['vectors']}, one thread; {found['date'][:10]}. MB/s of the raw image, "
        f"medians. Residuals in units of the sensor's noise: rms, bias, bias of the worst of 20 brightness classes; "
        f"noise and correlation of neighbours are against the true mean (raw image: 1 and 0), where it is known. "
        f"Ratios against 2 bytes a pixel; lossy codecs without a fixed setting are driven to {found['ratio']:g}:1."
    ]
    for name in dict.fromkeys(row["image"] for row in found["rows"]):
        rows = [row for row in found["rows"] if row["image"] == name]
        true = any("noise" in row.get("pixels", {}) for row in rows)
        head = ["codec", "ratio", "in", "out", "rms", "bias", "worst", "added dB"]
        head += ["noise", "corr."] if true else []
        lines = [head, ["---", *["---:"] * (len(head) - 1)], *(_cells(row, true) for row in rows if "ratio" in row)]
        parts += ["", f"**{name}**", "", *("| " + " | ".join(line) + " |" for line in lines)]
        refused = [row for row in rows if "refused" in row]
        parts += ["", *(f"Refused: {row['codec']}: {row['refused']}" for row in refused)] if refused else []
    return "\n".join(parts)


def _cells(row, true):
    pixels = row["pixels"]
    speeds = [f"{row[key]:.0f}" if key in row else "" for key, _ in _WAYS]
    cells = [row["codec"], f"{row['ratio']:.2f}{'' if row['reached'] else ' (not reached)'}", *speeds]
    cells += [f"{pixels['rms']:.3f}", f"{pixels['bias']:+.4f}", f"{pixels['worst_class']:+.3f}"]
    cells += [f"{pixels['added_db']:.2f}"]
    return cells + ([f"{pixels['noise']:.3f}", f"{pixels['correlation']:+.2f}"] if true else [])
