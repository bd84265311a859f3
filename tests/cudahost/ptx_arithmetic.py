"""PTX instructions that compute with numbers: arithmetic, comparison, selection, conversion."""

from cudahost.ptx_emitters import C, Emitters, args, into, is_float, refuse

WIDE = {"u16": "u32", "s16": "s32", "u32": "u64", "s32": "s64"}
COMPARE = {"eq": "==", "lt": "<", "le": "<=", "gt": ">", "ge": ">=", "lo": "<", "ls": "<=", "hi": ">", "hs": ">="}
UNORDERED = {"neu": "==", "ltu": ">=", "leu": ">", "gtu": "<=", "geu": "<"}
ROUND = {"rni": "nearbyint", "rzi": "trunc", "rmi": "floor", "rpi": "ceil"}
EMITTERS = Emitters()
emits = EMITTERS.of


@emits("add sub", "rn")
def _add(ins, entry):
    return _sum_or_product(ins, entry, "+" if ins.parts[0] == "add" else "-")


@emits("mul", "rn lo hi wide")
def _mul(ins, entry):
    return _sum_or_product(ins, entry, "*") if is_float(ins.kind) else _product(ins, entry)


def _sum_or_product(ins, entry, sign):
    if is_float(ins.kind) != bool(ins.has("rn")):
        refuse(ins, entry, "no rounding mode, so the assembler may contract it")
    a, b = args(ins, entry, 2)
    return into(ins, entry, f"{a} {sign} {b}")


@emits("mad", "lo hi wide")
def _product(ins, entry):
    a, b = args(ins, entry, 2)
    kind = WIDE[ins.kind] if ins.has("wide") else ins.kind
    value = f"{C[kind]}({C[kind]}({a}) * {C[kind]}({b}))"
    if ins.has("hi"):
        wide = "__int128" if ins.kind[0] == "s" else "unsigned __int128"
        value = f"{C[kind]}(({wide})({a}) * ({wide})({b}) >> {ins.kind[1:]})"
    if ins.parts[0] == "mad":
        value += f" + {entry.read(ins.operands[3], kind)}"
    return into(ins, entry, value, kind)


@emits("fma", "rn")
def _fma(ins, entry):
    a, b, c = args(ins, entry, 3)
    return into(ins, entry, f"std::fma({a}, {b}, {c})")


@emits("div rem", "rn")
def _div(ins, entry):
    a, b = args(ins, entry, 2)
    if not is_float(ins.kind):
        return into(ins, entry, f"ptx::{ins.parts[0]}<{C[ins.kind]}>({a}, {b})")
    return into(ins, entry, f"{a} / {b}")


@emits("sqrt rcp", "rn")
def _root(ins, entry):
    (a,) = args(ins, entry, 1)
    return into(ins, entry, f"std::sqrt({a})" if ins.parts[0] == "sqrt" else f"{C[ins.kind]}(1) / {a}")


@emits("min max")
def _extreme(ins, entry):
    a, b = args(ins, entry, 2)
    if is_float(ins.kind):
        return into(ins, entry, f"cuhost::{'lesser' if ins.parts[0] == 'min' else 'greater'}({a}, {b})")
    return into(ins, entry, f"std::{ins.parts[0]}<{C[ins.kind]}>({a}, {b})")


@emits("neg abs")
def _sign(ins, entry):
    (a,) = args(ins, entry, 1)
    if ins.parts[0] == "neg":
        return into(ins, entry, f"-{a}")
    return into(ins, entry, f"std::fabs({a})" if is_float(ins.kind) else f"{a} < 0 ? -{a} : {a}")


@emits("copysign")
def _copysign(ins, entry):
    a, b = args(ins, entry, 2)
    return into(ins, entry, f"std::copysign({b}, {a})")


@emits("testp", "finite infinite notanumber number normal subnormal")
def _test_number(ins, entry):
    what = next(iter(set(ins.parts) & {"finite", "infinite", "notanumber", "number", "normal", "subnormal"}))
    names = {"finite": "isfinite", "infinite": "isinf", "notanumber": "isnan", "number": "!isnan", "normal": "isnormal"}
    if what not in names:
        refuse(ins, entry, "not translated")
    (a,) = args(ins, entry, 1)
    call = f"!std::isnan({a})" if what == "number" else f"std::{names[what]}({a})"
    return into(ins, entry, call, "pred")


@emits("selp")
def _select(ins, entry):
    a, b = args(ins, entry, 2)
    return into(ins, entry, f"{entry.read(ins.operands[3], 'pred')} ? {a} : {b}")


def _comparison(how, kind, a, b):
    if not is_float(kind):
        return f"{a} != {b}" if how == "ne" else f"{a} {COMPARE[how]} {b}"
    if how in UNORDERED:
        return f"!({a} {UNORDERED[how]} {b})"
    if how in ("ne", "equ"):  # ne is false and equ is true of NaN
        return f"{'' if how == 'ne' else '!'}({a} < {b} || {a} > {b})"
    if how in ("num", "nan"):
        return f"{'' if how == 'num' else '!'}({a} == {a} && {b} == {b})"
    return f"{a} {COMPARE[how]} {b}"


@emits("setp", " ".join((*COMPARE, *UNORDERED, "ne equ num nan and or xor")))
def _compare(ins, entry):
    how, *joined = ins.parts[1:-1]
    result = f"({_comparison(how, ins.kind, *args(ins, entry, 2))})"
    opposite = f"!{result}"
    if joined:
        sign, other = {"and": "&", "or": "|", "xor": "^"}[joined[0]], entry.read(ins.operands[3], "pred")
        result, opposite = f"{result} {sign} {other}", f"{opposite} {sign} {other}"
    to, _, second = ins.operands[0].partition("|")
    code = f"const bool met = {result}; "
    if second:
        code += f"const bool unmet = {opposite}; {entry.write(second, 'unmet', 'pred')} "
    return code + entry.write(to, "met", "pred")


@emits("cvt", "rn rni rzi rmi rpi")
def _convert(ins, entry):
    to, source = ins.parts[-2:]
    rounding = ins.parts[1] if len(ins.parts) == 4 else None
    value = entry.read(ins.operands[1], source)
    if rounding in ROUND and is_float(source):
        value = f"std::{ROUND[rounding]}({value})"
        value = value if is_float(to) else f"cuhost::to_int<{C[to]}>({value})"
    elif (rounding == "rn") != (is_float(to) and source not in (to, "f32")):
        refuse(ins, entry, "conversion not translated")
    return into(ins, entry, value, to)
