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
    """Return a whole table of the first image, and one of ratios and added noise of all."""
    machine, rows = found["machine"], found["rows"]
    names = list(dict.fromkeys(row["image"] for row in rows))
    first = [row for row in rows if row["image"] == names[0]]
    parts = [
        f"{machine['processor']}, {machine['vectors']}, one thread; {found['date'][:10]}. MB/s of the raw image, "
        f"medians. Residuals in units of the sensor's noise: rms, bias, bias of the worst of 20 brightness classes; "
        f"noise and correlation of neighbours are against the true mean (raw image: 1 and 0), where it is known. "
        f"Ratios against 2 bytes a pixel; lossy codecs without a fixed setting are driven to {found['ratio']:g}:1, and "
        f"a star marks what did not reach it.",
        "",
        f"**{names[0]}**",
        "",
        *_image_table(first),
    ]
    coders = {name: rates for name, rates in found["index_coders"].items() if rates}
    if coders:
        told = "; ".join(f"`{name}` {rates['in']:.1f} in, {rates['out']:.1f} out" for name, rates in coders.items())
        parts += ["", f"The coders of VSQ's indices alone, Mpx/s: {told}."]
    if len(names) > 1:
        parts += ["", "**All images**: ratio, and added noise in dB", "", *_all_table(rows, names)]
    parts += [f"\nRefused on {row['image']}: {row['codec']}: {row['refused']}" for row in rows if "refused" in row]
    return "\n".join(parts)


def _image_table(rows):
    true = any("noise" in row.get("pixels", {}) for row in rows)
    head = ["codec", "ratio", "in", "out", "rms", "bias", "worst", "added dB", *(["noise", "corr."] if true else [])]
    return _table(head, [_cells(row, true) for row in rows if "ratio" in row])


def _all_table(rows, names):
    told = {(row["codec"], row["image"]): _brief(row) for row in rows}
    codecs = dict.fromkeys(row["codec"] for row in rows)
    return _table(["codec", *names], [[codec, *(told.get((codec, name), "") for name in names)] for codec in codecs])


def _brief(row):
    return "refused" if "refused" in row else f"{_ratio(row)}, {row['pixels']['added_db']:.2f}"


def _ratio(row):
    return f"{row['ratio']:.2f}{'' if row['reached'] else '*'}"


def _table(head, lines):
    rule = ["---", *["---:"] * (len(head) - 1)]
    return ["| " + " | ".join(line) + " |" for line in (head, rule, *lines)]


def _cells(row, true):
    pixels = row["pixels"]
    speeds = [f"{row[key]:.0f}" if key in row else "" for key, _ in _WAYS]
    cells = [row["codec"], _ratio(row), *speeds]
    cells += [f"{pixels['rms']:.3f}", f"{pixels['bias']:+.4f}", f"{pixels['worst_class']:+.3f}"]
    cells += [f"{pixels['added_db']:.2f}"]
    return cells + ([f"{pixels['noise']:.3f}", f"{pixels['correlation']:+.2f}"] if true else [])
