"""The last pass, along x, of the separable filters: one row of padded y passes becomes one row of each feature.

All sums of a vector stay in registers until the feature is finished (`backend.plain.convolve` gives the order).
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from compdistort.backend.compiled.emit import INDEX, LANES, Emitter
from compdistort.backend.compiled.taps import Sums, Taps, loop_taps, named_loop


def _make_row(operators: str, *, volume: bool, radius: int | None) -> Any:
    """Return an intrinsic for the operators named by their letters: s GS, l LoG, m GGM, d DoG (which needs s)."""
    parity = ("e" if "s" in operators else "") + ("o" if "m" in operators else "") + ("e" if "l" in operators else "")

    @intrinsic
    def run(typing_context, sources, r, rn, weights, outputs, count):
        def generate(context, builder, signature, arguments):
            source, reach, narrow_reach, weight, output, number = arguments
            e = Emitter(builder)
            gg, dg, gd, u, nn = (Taps(e, builder.extract_value(source, i)) for i in range(5))
            wg, wd, wc, wn = (builder.extract_value(weight, i) for i in range(4))
            outs = dict(zip("slmd", (builder.extract_value(output, i) for i in range(4)), strict=True))
            own = [w for w, letter in ((wg, "s"), (wd, "m"), (wc, "l")) if letter in operators]
            groups = [(Sums(e, parity, own, radius), gg)]
            smooth = Sums(e, "e", [wg], radius)
            others = []
            if "m" in operators:
                others += [("gy", dg)] + ([("gz", gd)] if volume else [])
            if "l" in operators:
                others.append(("u", u))
            groups += [(smooth, taps) for _, taps in others]
            narrow = Sums(e, "e", [wn], None if radius is None else 1)
            names = [letter for letter in "sml" if letter in operators]

            def body(v, _):
                if radius is None:
                    first, *rest = loop_taps(e, groups, [v], reach)
                    fine = loop_taps(e, [(narrow, nn)], [v], narrow_reach)[0][0] if "d" in operators else None
                else:
                    first, *rest = [sums.all_taps(taps, v, radius) for sums, taps in groups]
                    fine = narrow.all_taps(nn, v, 1)[0] if "d" in operators else None
                found = dict(zip(names, first, strict=True))
                found |= {name: values[0] for (name, _), values in zip(others, rest, strict=True)}
                _store(e, operators, found, fine, outs, v)

            e.over_vectors(number, 1, body)
            return context.get_dummy_value()

        five, four = types.UniTuple(types.int64, 5), types.UniTuple(types.int64, 4)
        return types.void(five, types.int64, types.int64, four, four, types.int64), generate

    return run


def _store(e: Emitter, operators: str, found: dict[str, Any], fine: Any, outs: dict[str, Any], v: Any) -> None:
    """Write the features of one vector."""
    builder = e.builder
    values = {}
    if "s" in operators:
        values["s"] = found["s"]
    if "d" in operators:
        values["d"] = builder.fsub(found["s"], fine)
    if "l" in operators:
        values["l"] = builder.fadd(found["u"], found["l"])
    if "m" in operators:
        gx, gy = found["m"], found["gy"]
        gz = found.get("gz")
        square = builder.fmul(gy, gy) if gz is None else e.fma(gy, gy, builder.fmul(gz, gz))
        values["m"] = e.call("sqrt", [e.fma(gx, gx, square)])
    for letter, value in values.items():
        e.store(value, e.plus(outs[letter], v, 4 * LANES))


def make_finish(operators: str, *, volume: bool = False) -> Callable[..., None]:
    """Return a compiled last pass: (sources, radius, narrow radius, weights, outputs, count).

    Parameters
    ----------
    operators : str
        Letters of the features: s GS, l LoG, m GGM, d DoG (needs s).
    volume : bool
        Whether the gradient has a part along z.

    Returns
    -------
    callable
        `sources`: addresses of the first pixel of the padded rows gg, dg, gd, u, nn (letters: the passes along z and
        y, d the first derivative; u: the sum that LoG's x pass smooths; n: the narrow Gaussian). `weights`: addresses
        of Gaussian, first and second derivative and narrow Gaussian. `outputs`: addresses of the rows of GS, LoG,
        GGM, DoG. `count`: vectors.
    """
    any_radius = _make_row(operators, volume=volume, radius=None)
    one = _make_row(operators, volume=volume, radius=1)
    two = _make_row(operators, volume=volume, radius=2)
    fixed_narrow = "d" in operators

    def row(sources, r, rn, weights, outputs, count):
        if r == 2 and (rn == 1 or not fixed_narrow):
            two(sources, r, rn, weights, outputs, count)
        elif r == 1 and (rn == 1 or not fixed_narrow):
            one(sources, r, rn, weights, outputs, count)
        else:
            any_radius(sources, r, rn, weights, outputs, count)

    return named_loop(row, f"finish_{operators}" + "_3d" * volume)


@intrinsic
def mirror(typing_context, row, pairs, count):
    """Copy pixels within a row: `pairs` is the address of `count` pairs (to, from) of int64 byte offsets."""

    def generate(context, builder, signature, arguments):
        row, pairs, count = arguments
        word = ir.IntType(32).as_pointer()
        e = Emitter(builder)
        with e.loop(INDEX(0), count) as (k, _):
            entry = e.plus(pairs, k, 16)
            to, source = e.entry(entry, 0), e.entry(entry, 1)
            value = builder.load(builder.inttoptr(builder.add(row, source), word), align=4)
            builder.store(value, builder.inttoptr(builder.add(row, to), word), align=4)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 3), generate
