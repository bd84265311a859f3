"""PTX instructions that compute with bits."""

from cudahost.ptx_emitters import C, Emitters, args, into

EMITTERS = Emitters()
emits = EMITTERS.of


@emits("and or xor")
def _logic(ins, entry):
    a, b = args(ins, entry, 2)
    return into(ins, entry, f"{a} {dict(zip(('and', 'or', 'xor'), '&|^', strict=True))[ins.parts[0]]} {b}")


@emits("not")
def _not(ins, entry):
    (a,) = args(ins, entry, 1)
    return into(ins, entry, f"!{a}" if ins.kind == "pred" else f"~{a}")


@emits("lop3")
def _lop3(ins, entry):
    table, names = int(ins.operands[4], 0), args(ins, entry, 3)
    terms = []
    for row in (i for i in range(8) if table >> i & 1):
        factors = (name if row >> (2 - i) & 1 else f"~{name}" for i, name in enumerate(names))
        terms.append(f"({' & '.join(factors)})")
    return into(ins, entry, " | ".join(terms) or "0")


@emits("shl shr")
def _shift(ins, entry):
    value, by = entry.read(ins.operands[1], ins.kind), entry.read(ins.operands[2], "u32")
    return into(ins, entry, f"ptx::{ins.parts[0]}<{C[ins.kind]}>({value}, {by})")


@emits("shf", "l r wrap clamp")
def _funnel(ins, entry):
    low, high, by = args(ins, entry, 3)
    by = f"({by} & 31)" if ins.has("wrap") else f"std::min(32u, {by})"
    pair = f"(uint64_t({high}) << 32 | {low})"
    return into(ins, entry, f"{pair} << {by} >> 32" if ins.has("l") else f"{pair} >> {by}", "u32")


@emits("clz popc")
def _count(ins, entry):
    (a,) = args(ins, entry, 1)
    wide = "ll" if ins.kind == "b64" else ""
    if ins.parts[0] == "popc":
        return into(ins, entry, f"__builtin_popcount{wide}({a})", "u32")
    return into(ins, entry, f"{a} ? __builtin_clz{wide}({a}) : {ins.kind[1:]}", "u32")


@emits("brev")
def _reverse(ins, entry):
    return into(ins, entry, f"ptx::reverse<{C[ins.kind]}>({args(ins, entry, 1)[0]})")


@emits("bfind", "shiftamt")
def _highest(ins, entry):
    place = f"ptx::highest<{C[ins.kind]}>({args(ins, entry, 1)[0]})"
    if ins.has("shiftamt"):  # the shift that brings it to the top; none found stays all ones
        place = f"ptx::to_top({place}, {ins.kind[1:]})"
    return into(ins, entry, place, "u32")


@emits("bfi")
def _insert(ins, entry):
    a, b = args(ins, entry, 2)
    at, count = (entry.read(each, "u32") for each in ins.operands[3:5])
    return into(ins, entry, f"ptx::insert<{C[ins.kind]}>({a}, {b}, {at}, {count})")


@emits("bfe")
def _extract(ins, entry):
    at, count = (entry.read(each, "u32") for each in ins.operands[2:4])
    return into(ins, entry, f"ptx::extract<{C[ins.kind]}>({args(ins, entry, 1)[0]}, {at}, {count})")


@emits("prmt")
def _permute(ins, entry):
    a, b, selector = args(ins, entry, 3)
    return into(ins, entry, f"ptx::permute({a}, {b}, {selector})")
