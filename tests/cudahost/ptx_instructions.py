"""The PTX instructions that the kernels may use, one emitter of C++ each, after the PTX ISA 9.0.

Refused aloud: approximations, flushing to zero, saturation of floats, float atomics, calls, local memory, and float
arithmetic without a rounding mode, which the assembler may contract.
"""

import re
from dataclasses import dataclass

from cudahost.host_module import HostKernelError

C = {
    "b8": "uint8_t", "u8": "uint8_t", "s8": "int8_t", "b16": "uint16_t", "u16": "uint16_t", "s16": "int16_t",
    "b32": "uint32_t", "u32": "uint32_t", "s32": "int32_t", "b64": "uint64_t", "u64": "uint64_t", "s64": "int64_t",
    "f32": "float", "f64": "double", "pred": "bool",
}  # fmt: skip
WIDE = {"u16": "u32", "s16": "s32", "u32": "u64", "s32": "s64"}
INEXACT = ("approx", "ftz", "full", "sat", "satfinite", "ex2", "lg2", "sin", "cos", "tanh", "rsqrt")
COMPARE = {"eq": "==", "lt": "<", "le": "<=", "gt": ">", "ge": ">=", "lo": "<", "ls": "<=", "hi": ">", "hs": ">="}
UNORDERED = {"neu": "==", "ltu": ">=", "leu": ">", "gtu": "<=", "geu": "<"}
ROUND = {"rni": "nearbyint", "rzi": "trunc", "rmi": "floor", "rpi": "ceil"}
SPACES = ("global", "shared", "const", "param", "local")
SITE = "CUHOST_SITE"
_TYPE = re.compile(r"[busf](8|16|32|64)|pred|v[248]")


class PtxError(HostKernelError):
    """PTX that the kernels must not contain, or that is not translated."""


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction: its guard, the parts of its name, its operands."""

    text: str
    guard: str
    parts: tuple[str, ...]
    operands: tuple[str, ...]

    @classmethod
    def parse(cls, text):
        """Read one instruction, without its semicolon."""
        guard, rest = "", text
        if text[0] == "@":
            guard, rest = text[1:].split(None, 1)
        name, _, operands = re.sub(r"\s+", " ", rest).partition(" ")
        split = re.findall(r"\{[^}]*\}|\[[^]]*\]|[^,\s]+", operands)
        return cls(" ".join(text.split()), guard, tuple(re.split(r"\.|::", name)), tuple(split))

    @property
    def kind(self):
        """Type of the operation: the last part."""
        return self.parts[-1]

    def has(self, *parts):
        """Return the one of these parts that the name holds, or None."""
        return next((part for part in parts if part in self.parts), None)

    def guarded(self, entry, emit_one):
        """Return the C++ statement."""
        body = f"{{ {emit_one(self, entry)} }}"
        return f"if ({entry.read(self.guard, 'pred')}) {body}" if self.guard else body


_EMITTERS = {}


def _emits(names, modifiers=""):
    """Register an emitter for instructions, with the only modifiers that it may meet."""

    def register(emitter):
        for name in names.split():
            _EMITTERS[name] = emitter, frozenset(modifiers.split())
        return emitter

    return register


def emit(ins, entry):
    """Return the C++ of an instruction without its guard."""
    if bad := ins.has(*INEXACT):
        raise PtxError(f"{entry.name}: {bad} has no portable bits: {ins.text}")
    emitter, allowed = _EMITTERS.get(ins.parts[0], (None, ()))
    if emitter is None or any(part not in allowed and not _TYPE.fullmatch(part) for part in ins.parts[1:]):
        raise PtxError(f"{entry.name}: PTX instruction not translated: {ins.text}")
    return emitter(ins, entry)


def _refuse(ins, entry, why):
    raise PtxError(f"{entry.name}: {why}: {ins.text}")


def _float(kind):
    return kind[0] == "f"


def _args(ins, entry, count, kind=None):
    return [entry.read(each, kind or ins.kind) for each in ins.operands[1 : count + 1]]


def _into(ins, entry, expression, kind=None):
    return entry.write(ins.operands[0], expression, kind or ins.kind)


# ---- data movement ------------------------------------------------------------------------------


@_emits("mov")
def _mov(ins, entry):
    to, source = ins.operands
    if to[0] != "{" and source[0] != "{":
        return entry.write(to, entry.read(source, ins.kind), ins.kind)
    parts = [part.strip() for part in (to if to[0] == "{" else source).strip("{}").split(",")]
    bits = int(ins.kind[1:]) // len(parts)
    word, part_kind = f"b{bits * len(parts)}", f"b{bits}"
    if to[0] == "{":
        value = entry.read(source, word)
        writes = (entry.write(part, f"whole >> {bits * i}", part_kind) for i, part in enumerate(parts))
        return f"const {C[word]} whole = {value}; " + " ".join(writes)
    joined = (f"{C[word]}({entry.read(part, part_kind)}) << {bits * i}" for i, part in enumerate(parts))
    return entry.write(to, " | ".join(joined), word)


@_emits("cvta", "to global shared const")
def _cvta(ins, entry):
    (value,) = _args(ins, entry, 1)
    if not ins.has("shared"):
        return _into(ins, entry, value)
    return _into(ins, entry, f"{value} {'-' if ins.has('to') else '+'} uint64_t(ptx::shared)")


@_emits("ld st", "param global shared const nc volatile relaxed acquire release weak cta gpu sys L1 L2 no_allocate")
def _memory(ins, entry):
    load = ins.parts[0] == "ld"
    place, registers = ins.operands[::-1] if load else ins.operands
    space = ins.has(*SPACES)
    if space == "param":
        name, _, offset = place.strip("[]").partition("+")
        value = f"ptx::load<{C[ins.kind]}>(uint64_t(a[{entry.parameters[name]}]) + {offset or 0})"
        return entry.write(registers, value, ins.kind)
    if space is None:
        _refuse(ins, entry, "generic address")
    parts = [part.strip() for part in registers.strip("{}").split(",")]
    size = int(ins.kind[1:]) // 8
    code = [f"const uint64_t at = {entry.address(place, space, ins.kind, len(parts))};"]
    for i, part in enumerate(parts):
        if load:
            code.append(entry.write(part, f"ptx::load<{C[ins.kind]}>(at + {i * size})", ins.kind))
        else:
            code.append(f"ptx::store<{C[ins.kind]}>(at + {i * size}, {entry.read(part, ins.kind)});")
    return " ".join(code)


@_emits("prefetch prefetchu", "global L1 L2")
def _prefetch(_ins, _entry):
    return ";"


@_emits("membar fence", "cta gl sys gpu acq_rel sc")
def _fence(_ins, _entry):
    return ";"


# ---- control ------------------------------------------------------------------------------------


@_emits("bra", "uni")
def _branch(ins, entry):
    return f"goto {entry.label(ins.operands[0])};"


@_emits("brx", "idx uni")
def _branch_table(ins, entry):
    index, table = ins.operands
    cases = (f"case {i}: goto {entry.label(target)};" for i, target in enumerate(entry.targets[table]))
    return f"switch ({entry.read(index.strip('{}'), 'u32')}) {{ {' '.join(cases)} }}"


@_emits("ret exit", "uni")
def _return(_ins, _entry):
    return "return;"


@_emits("trap")
def _trap(_ins, _entry):
    return 'cuhost::stop("trap");'


@_emits("bar barrier", "sync warp red popc or and cta aligned")
def _barrier(ins, entry):
    if ins.has("warp"):
        return f"cuhost::wait(cuhost::AT_WARP, {SITE}, {entry.read(ins.operands[0], 'u32')});"
    if ins.has("red"):
        every = ins.has("and")
        met = entry.read(ins.operands[2], "pred")
        count = f"cuhost::block_count({'!' if every else ''}{met}, {SITE})"
        return _into(ins, entry, count if ins.has("popc") else f"{count} {'==' if every else '!='} 0")
    if ins.operands != ("0",):
        _refuse(ins, entry, "a barrier of some threads only")
    return f"cuhost::wait(cuhost::AT_BLOCK, {SITE}, 0);"


# ---- arithmetic ---------------------------------------------------------------------------------


@_emits("add sub", "rn")
def _add(ins, entry):
    return _sum_or_product(ins, entry, "+" if ins.parts[0] == "add" else "-")


@_emits("mul", "rn lo hi wide")
def _mul(ins, entry):
    return _sum_or_product(ins, entry, "*") if _float(ins.kind) else _product(ins, entry)


def _sum_or_product(ins, entry, sign):
    if _float(ins.kind) != bool(ins.has("rn")):
        _refuse(ins, entry, "no rounding mode, so the assembler may contract it")
    a, b = _args(ins, entry, 2)
    return _into(ins, entry, f"{a} {sign} {b}")


@_emits("mad", "lo hi wide")
def _product(ins, entry):
    a, b = _args(ins, entry, 2)
    kind = WIDE[ins.kind] if ins.has("wide") else ins.kind
    value = f"{C[kind]}({C[kind]}({a}) * {C[kind]}({b}))"
    if ins.has("hi"):
        wide = "__int128" if ins.kind[0] == "s" else "unsigned __int128"
        value = f"{C[kind]}(({wide})({a}) * ({wide})({b}) >> {ins.kind[1:]})"
    if ins.parts[0] == "mad":
        value += f" + {entry.read(ins.operands[3], kind)}"
    return _into(ins, entry, value, kind)


@_emits("fma", "rn")
def _fma(ins, entry):
    a, b, c = _args(ins, entry, 3)
    return _into(ins, entry, f"std::fma({a}, {b}, {c})")


@_emits("div rem", "rn")
def _div(ins, entry):
    a, b = _args(ins, entry, 2)
    if not _float(ins.kind):
        return _into(ins, entry, f"ptx::{ins.parts[0]}<{C[ins.kind]}>({a}, {b})")
    return _into(ins, entry, f"{a} / {b}")


@_emits("sqrt rcp", "rn")
def _root(ins, entry):
    (a,) = _args(ins, entry, 1)
    return _into(ins, entry, f"std::sqrt({a})" if ins.parts[0] == "sqrt" else f"{C[ins.kind]}(1) / {a}")


@_emits("min max")
def _extreme(ins, entry):
    a, b = _args(ins, entry, 2)
    if _float(ins.kind):
        return _into(ins, entry, f"cuhost::{'lesser' if ins.parts[0] == 'min' else 'greater'}({a}, {b})")
    return _into(ins, entry, f"std::{ins.parts[0]}<{C[ins.kind]}>({a}, {b})")


@_emits("neg abs")
def _sign(ins, entry):
    (a,) = _args(ins, entry, 1)
    if ins.parts[0] == "neg":
        return _into(ins, entry, f"-{a}")
    return _into(ins, entry, f"std::fabs({a})" if _float(ins.kind) else f"{a} < 0 ? -{a} : {a}")


@_emits("copysign")
def _copysign(ins, entry):
    a, b = _args(ins, entry, 2)
    return _into(ins, entry, f"std::copysign({b}, {a})")


@_emits("testp", "finite infinite notanumber number normal subnormal")
def _test_number(ins, entry):
    what = next(iter(set(ins.parts) & {"finite", "infinite", "notanumber", "number", "normal", "subnormal"}))
    names = {"finite": "isfinite", "infinite": "isinf", "notanumber": "isnan", "number": "!isnan", "normal": "isnormal"}
    if what not in names:
        _refuse(ins, entry, "not translated")
    (a,) = _args(ins, entry, 1)
    call = f"!std::isnan({a})" if what == "number" else f"std::{names[what]}({a})"
    return _into(ins, entry, call, "pred")


# ---- bits ---------------------------------------------------------------------------------------


@_emits("and or xor")
def _logic(ins, entry):
    a, b = _args(ins, entry, 2)
    return _into(ins, entry, f"{a} {dict(zip(('and', 'or', 'xor'), '&|^', strict=True))[ins.parts[0]]} {b}")


@_emits("not")
def _not(ins, entry):
    (a,) = _args(ins, entry, 1)
    return _into(ins, entry, f"!{a}" if ins.kind == "pred" else f"~{a}")


@_emits("lop3")
def _lop3(ins, entry):
    table, names = int(ins.operands[4], 0), _args(ins, entry, 3)
    terms = []
    for row in (i for i in range(8) if table >> i & 1):
        factors = (name if row >> (2 - i) & 1 else f"~{name}" for i, name in enumerate(names))
        terms.append(f"({' & '.join(factors)})")
    return _into(ins, entry, " | ".join(terms) or "0")


@_emits("shl shr")
def _shift(ins, entry):
    value, by = entry.read(ins.operands[1], ins.kind), entry.read(ins.operands[2], "u32")
    return _into(ins, entry, f"ptx::{ins.parts[0]}<{C[ins.kind]}>({value}, {by})")


@_emits("shf", "l r wrap clamp")
def _funnel(ins, entry):
    low, high, by = _args(ins, entry, 3)
    by = f"({by} & 31)" if ins.has("wrap") else f"std::min(32u, {by})"
    pair = f"(uint64_t({high}) << 32 | {low})"
    return _into(ins, entry, f"{pair} << {by} >> 32" if ins.has("l") else f"{pair} >> {by}", "u32")


@_emits("clz popc")
def _count(ins, entry):
    (a,) = _args(ins, entry, 1)
    wide = "ll" if ins.kind == "b64" else ""
    if ins.parts[0] == "popc":
        return _into(ins, entry, f"__builtin_popcount{wide}({a})", "u32")
    return _into(ins, entry, f"{a} ? __builtin_clz{wide}({a}) : {ins.kind[1:]}", "u32")


@_emits("brev")
def _reverse(ins, entry):
    return _into(ins, entry, f"ptx::reverse<{C[ins.kind]}>({_args(ins, entry, 1)[0]})")


@_emits("bfind", "shiftamt")
def _highest(ins, entry):
    place = f"ptx::highest<{C[ins.kind]}>({_args(ins, entry, 1)[0]})"
    if ins.has("shiftamt"):  # the shift that brings it to the top; none found stays all ones
        place = f"ptx::to_top({place}, {ins.kind[1:]})"
    return _into(ins, entry, place, "u32")


@_emits("bfi")
def _insert(ins, entry):
    a, b = _args(ins, entry, 2)
    at, count = (entry.read(each, "u32") for each in ins.operands[3:5])
    return _into(ins, entry, f"ptx::insert<{C[ins.kind]}>({a}, {b}, {at}, {count})")


@_emits("bfe")
def _extract(ins, entry):
    at, count = (entry.read(each, "u32") for each in ins.operands[2:4])
    return _into(ins, entry, f"ptx::extract<{C[ins.kind]}>({_args(ins, entry, 1)[0]}, {at}, {count})")


@_emits("prmt")
def _permute(ins, entry):
    a, b, selector = _args(ins, entry, 3)
    return _into(ins, entry, f"ptx::permute({a}, {b}, {selector})")


# ---- comparison, selection, conversion ----------------------------------------------------------


@_emits("selp")
def _select(ins, entry):
    a, b = _args(ins, entry, 2)
    return _into(ins, entry, f"{entry.read(ins.operands[3], 'pred')} ? {a} : {b}")


def _comparison(how, kind, a, b):
    if not _float(kind):
        return f"{a} != {b}" if how == "ne" else f"{a} {COMPARE[how]} {b}"
    if how in UNORDERED:
        return f"!({a} {UNORDERED[how]} {b})"
    if how in ("ne", "equ"):  # ne is false and equ is true of NaN
        return f"{'' if how == 'ne' else '!'}({a} < {b} || {a} > {b})"
    if how in ("num", "nan"):
        return f"{'' if how == 'num' else '!'}({a} == {a} && {b} == {b})"
    return f"{a} {COMPARE[how]} {b}"


@_emits("setp", " ".join((*COMPARE, *UNORDERED, "ne equ num nan and or xor")))
def _compare(ins, entry):
    how, *joined = ins.parts[1:-1]
    result = f"({_comparison(how, ins.kind, *_args(ins, entry, 2))})"
    opposite = f"!{result}"
    if joined:
        sign, other = {"and": "&", "or": "|", "xor": "^"}[joined[0]], entry.read(ins.operands[3], "pred")
        result, opposite = f"{result} {sign} {other}", f"{opposite} {sign} {other}"
    to, _, second = ins.operands[0].partition("|")
    code = f"const bool met = {result}; "
    if second:
        code += f"const bool unmet = {opposite}; {entry.write(second, 'unmet', 'pred')} "
    return code + entry.write(to, "met", "pred")


@_emits("cvt", "rn rni rzi rmi rpi")
def _convert(ins, entry):
    to, source = ins.parts[-2:]
    rounding = ins.parts[1] if len(ins.parts) == 4 else None
    value = entry.read(ins.operands[1], source)
    if rounding in ROUND and _float(source):
        value = f"std::{ROUND[rounding]}({value})"
        value = value if _float(to) else f"cuhost::to_int<{C[to]}>({value})"
    elif (rounding == "rn") != (_float(to) and source not in (to, "f32")):
        _refuse(ins, entry, "conversion not translated")
    return _into(ins, entry, value, to)


# ---- warps and atomics --------------------------------------------------------------------------

_SHUFFLE = {
    "down": ("lane + by", "from <= last"),
    "up": ("lane - by", "from >= last"),
    "bfly": ("lane ^ by", "from <= last"),
    "idx": ("(lane & segment) | (by & ~segment)", "from <= last"),
}


@_emits("shfl", "sync down up bfly idx")
def _shuffle(ins, entry):
    to, _, reached = ins.operands[0].partition("|")
    source, ok = _SHUFFLE[ins.has(*_SHUFFLE)]
    value, by, clamp, mask = (
        entry.read(each, kind) for each, kind in zip(ins.operands[1:], ("u32", "s32", "u32", "u32"), strict=True)
    )
    return (
        f"const int lane = int(cuhost::lane()), by = {by} & 31, c = int({clamp}), segment = c >> 8 & 31; "
        f"const int last = (lane & segment) | (c & 31 & ~segment), from = {source}; const bool ok = {ok}; (void)last; "
        f"const uint32_t got = cuhost::shfl<uint32_t>({mask}, {value}, ok ? from : lane, true, {SITE}); "
        + entry.write(to, "got", "u32")
        + (entry.write(reached, "ok", "pred") if reached else "")
    )


@_emits("vote", "sync ballot any all")
def _vote(ins, entry):
    chosen, mask = entry.read(ins.operands[1], "pred"), entry.read(ins.operands[2], "u32")
    every = ins.has("all")
    ballot = f"cuhost::ballot({mask}, {'!' if every else ''}({chosen}), {SITE})"
    return _into(ins, entry, ballot if ins.has("ballot") else f"{ballot} {'==' if every else '!='} 0")


_ATOMIC = {
    "add": "old + v", "min": "v < old ? v : old", "max": "old < v ? v : old", "and": "old & v", "or": "old | v",
    "xor": "old ^ v", "exch": "v", "inc": "old >= v ? 0 : old + 1", "dec": "old == 0 || old > v ? v : old - 1",
}  # fmt: skip


@_emits("atom red", " ".join((*_ATOMIC, "cas global shared relaxed acq_rel acquire release cta gpu sys")))
def _atomic(ins, entry):
    if _float(ins.kind):
        _refuse(ins, entry, "a float atomic depends on the order of threads")
    space, kind = ins.has("global", "shared"), C[ins.kind]
    if space is None:
        _refuse(ins, entry, "generic address")
    operands = ins.operands if ins.parts[0] == "atom" else ("_", *ins.operands)
    new = f"old == v ? {entry.read(operands[3], ins.kind)} : old" if ins.has("cas") else _ATOMIC[ins.has(*_ATOMIC)]
    return (
        f"const uint64_t at = {entry.address(operands[1], space, ins.kind)}; "
        f"const {kind} v = {entry.read(operands[2], ins.kind)}, old = ptx::load<{kind}>(at); "
        f"ptx::store<{kind}>(at, {kind}({new})); " + entry.write(operands[0], "old", ins.kind)
    )
