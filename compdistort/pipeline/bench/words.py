"""A benchmark in a few lines, for the terminal."""

from typing import Any


def describe_bench(twin: dict[str, Any]) -> str:
    """Return the table of a benchmark and its answer in words.

    Parameters
    ----------
    twin : dict
        As `run_bench` returns it.

    Returns
    -------
    str
    """
    names = [codec["name"] for codec in twin["codecs"]]
    head = ("pipeline", "device", "ns/pixel", "min", "score", "model kB", "s(N)", "s(A)", *names, "trust")
    rows = [head, *(_cells(row, names) for row in twin["rows"])]
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines.insert(1, "-" * max(map(len, lines)))
    lines += [
        f"refused: {each['pipeline']}{' on ' + each['device'] if each['device'] else ''}: {each['reason']}"
        for each in twin["refused"]
    ]
    return "\n".join([*lines, *answer(twin), f"page: {twin['page']}"])


def answer(twin: dict[str, Any]) -> list[str]:
    """Return which pipeline is fastest at equal trust, and what that means, one sentence a line."""
    fastest, best = (twin["rows"][twin[key]] for key in ("fastest_at_equal_trust", "most_accurate"))
    tolerance = twin["options"]["tolerance"]
    times = best["ns_per_pixel"]["replicate"]["median"] / fastest["ns_per_pixel"]["replicate"]["median"]
    name = f"{fastest['pipeline']} on {fastest['device']}"
    first = f"fastest at equal trust: {name}, {_time(fastest)} ns a pixel for a whole replicate on one thread"
    if fastest is best:
        second = "it is the most accurate one too"
    else:
        second = (
            f"{times:.2f} times the speed of the most accurate one, {best['pipeline']} on {best['device']} "
            f"({best['score_kind']} {best['score']:.4f} against {fastest['score']:.4f})"
        )
    rule = (
        f"equal trust: {best['score_kind']} within {tolerance:g}, or within one standard error, of the best, and its "
        "verdict on every codec"
    )
    return [first, second, rule, *remarks(twin)]


def remarks(twin: dict[str, Any]) -> list[str]:
    """Return what a reader must know of the answer."""
    found = []
    if twin["fastest_by_minimum"] != twin["fastest_at_equal_trust"]:
        other = twin["rows"][twin["fastest_by_minimum"]]
        found.append(f"too close to call: by the fastest turn it would be {other['pipeline']} on {other['device']}")
    verdicts = {codec["verdict"] for row in twin["rows"] for codec in row["codecs"].values()}
    if "undecided" in verdicts:
        found.append(f"some verdicts are undecided after {twin['options']['replicates']} replicates: -n asks for more")
    if twin["engines_equal"]:
        found.append("engines of one pipeline measured the same to the bit")
    return found


def _cells(row: dict[str, Any], codecs: list[str]) -> tuple[str, ...]:
    return (
        row["pipeline"],
        row["device"],
        _time(row),
        f"{row['ns_per_pixel']['replicate']['min']:.0f}",
        "none" if row["score"] is None else f"{row['score']:.4f}",
        f"{row['model_bytes'] / 1000:.0f}",
        *(_number(row["uncertainty"][name]["value"]) for name in ("N", "A")),
        *(row["codecs"][name]["verdict"] for name in codecs),
        row["standing"]["reason"] or "equal",
    )


def _time(row: dict[str, Any]) -> str:
    return f"{row['ns_per_pixel']['replicate']['median']:.0f}"


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3g}"
