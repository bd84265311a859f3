"""A benchmark in a few lines, for the terminal."""

from typing import Any

from compdistort.pipeline.bench.choice import UNDECIDED_VERDICT
from compdistort.score.decision import UNDECIDED

ENOUGH_ROUNDS = 3
"""Turns below which nobody can say who is faster: of two equal ones, one leads in both of two turns half the time."""


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
    lines += [f"warning: {text}" for text in twin["image"]["warnings"]]
    return "\n".join([*lines, *answer(twin), f"page: {twin['page']}"])


def answer(twin: dict[str, Any]) -> list[str]:
    """Return which pipeline is fastest at equal trust, and what that means, one sentence a line."""
    fastest, best = (twin["rows"][twin[key]] for key in ("fastest_at_equal_trust", "most_accurate"))
    tolerance = twin["options"]["tolerance"]
    times = best["ns_per_pixel"]["replicate"]["median"] / fastest["ns_per_pixel"]["replicate"]["median"]
    thread = " on one thread" if fastest["threads"] == 1 else ""
    first = f"fastest at equal trust: {_named(fastest)}, {_time(fastest)} ns a pixel for a whole replicate{thread}"
    if fastest is best:
        second = "it is the most accurate one too"
    else:
        second = (
            f"{times:.2f} times the speed of the most accurate one, {_named(best)} "
            f"({best['score_kind']} {best['score']:.4f} against {fastest['score']:.4f})"
        )
    rule = f"equal trust: {best['score_kind']} within {tolerance:g} of the best, and its verdict on every codec"
    return [first, second, rule, *remarks(twin)]


def remarks(twin: dict[str, Any]) -> list[str]:
    """Return what a reader must know of the answer."""
    found = [*_close(twin), *_unresolved(twin)]
    if tied := twin["tied"]:
        found.append(
            f"{len(tied)} pipelines share the best score and give different verdicts ({', '.join(tied)}): the answer "
            "follows their order on the command line; use more replicates or annotations"
        )
    found += [
        f"devices {each['same_as']} and {each['device']} are one engine, and are timed once"
        for each in twin["session"]["engines"]
        if each["same_as"]
    ]
    slow = dict.fromkeys(row["pipeline"] for row in twin["rows"] if row["compiled"] is False)
    found += [f"the forest of {name} is not compiled, its trees are descended" for name in slow]
    if twin["engines_equal"]:
        found.append("engines of one pipeline measured the same to the bit")
    return found + _warnings(twin)


def _close(twin: dict[str, Any]) -> list[str]:
    """Say where the order of winner and runners-up is not the same in every turn, or turns are too few to see."""
    others = [_named(twin["rows"][k]) for k in twin["overtakers"]]
    if others:
        return [f"too close to call: in some turn {', '.join(others)} {'was' if len(others) == 1 else 'were'} faster"]
    rounds, trusted = twin["options"]["rounds"], sum(row["standing"]["trusted"] for row in twin["rows"])
    if trusted > 1 and rounds < ENOUGH_ROUNDS:
        return [f"too close to call: --rounds {rounds} gives too few turns to order {trusted} trusted rows"]
    return []


def _unresolved(twin: dict[str, Any]) -> list[str]:
    """Say where more replicates may change the answer."""
    replicates, best = twin["options"]["replicates"], twin["rows"][twin["most_accurate"]]
    open_codecs = [name for name, codec in best["codecs"].items() if codec["verdict"] == UNDECIDED]
    found = []
    if open_codecs:
        found.append(
            f"the most accurate pipeline leaves {', '.join(open_codecs)} undecided after {replicates} replicates: "
            "-n asks for more"
        )
    limit = twin["rows"][twin["fastest_at_equal_trust"]]["ns_per_pixel"]["replicate"]["median"]
    names = [
        _named(row)
        for row in twin["rows"]
        if row["standing"]["kind"] == UNDECIDED_VERDICT and row["ns_per_pixel"]["replicate"]["median"] < limit
    ]
    if names:
        found.append(
            f"faster, and not trusted for undecided verdicts alone after {replicates} replicates: {', '.join(names)}; "
            "more of them (-n) may change the answer"
        )
    return found


def _warnings(twin: dict[str, Any]) -> list[str]:
    """Return the warnings of scoring for the pipelines of the answer, and how many more the page has."""
    answer = {twin["rows"][twin[key]]["pipeline"] for key in ("fastest_at_equal_trust", "most_accurate")}
    found: dict[str, dict[str, None]] = {}
    for row in twin["rows"]:
        for text in row["warnings"]:
            found.setdefault(text, {})[row["pipeline"]] = None
    said = [
        f"warning: {text} ({', '.join(name for name in names if name in answer)})"
        for text, names in found.items()
        if answer & set(names)
    ]
    more = len(found) - len(said)
    return [*said, f"more warnings of scoring, of other pipelines alone, on the page: {more}"] if more else said


def _named(row: dict[str, Any]) -> str:
    return f"{row['pipeline']} on {row['device']}"


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
