"""PTX instructions that move data: registers, addresses, loads and stores, atomics."""

from cudahost.ptx_emitters import C, Emitters, args, into, is_float, refuse

SPACES = ("global", "shared", "const", "param", "local")
EMITTERS = Emitters()
emits = EMITTERS.of


@emits("mov")
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


@emits("cvta", "to global shared const")
def _cvta(ins, entry):
    (value,) = args(ins, entry, 1)
    if not ins.has("shared"):
        return into(ins, entry, value)
    return into(ins, entry, f"{value} {'-' if ins.has('to') else '+'} uint64_t(ptx::shared)")


@emits("ld st", "param global shared const nc volatile relaxed acquire release weak cta gpu sys L1 L2 no_allocate")
def _memory(ins, entry):
    load = ins.parts[0] == "ld"
    place, registers = ins.operands[::-1] if load else ins.operands
    space = ins.has(*SPACES)
    if space == "param":
        name, _, offset = place.strip("[]").partition("+")
        value = f"ptx::load<{C[ins.kind]}>(uint64_t(a[{entry.parameters[name]}]) + {offset or 0})"
        return entry.write(registers, value, ins.kind)
    if space is None:
        refuse(ins, entry, "generic address")
    parts = [part.strip() for part in registers.strip("{}").split(",")]
    size = int(ins.kind[1:]) // 8
    code = [f"const uint64_t at = {entry.address(place, space, ins.kind, len(parts))};"]
    for i, part in enumerate(parts):
        if load:
            code.append(entry.write(part, f"ptx::load<{C[ins.kind]}>(at + {i * size})", ins.kind))
        else:
            code.append(f"ptx::store<{C[ins.kind]}>(at + {i * size}, {entry.read(part, ins.kind)});")
    return " ".join(code)


@emits("prefetch prefetchu", "global L1 L2")
def _prefetch(_ins, _entry):
    return ";"


@emits("membar fence", "cta gl sys gpu acq_rel sc")
def _fence(_ins, _entry):
    return ";"


_ATOMIC = {
    "add": "old + v", "min": "v < old ? v : old", "max": "old < v ? v : old", "and": "old & v", "or": "old | v",
    "xor": "old ^ v", "exch": "v", "inc": "old >= v ? 0 : old + 1", "dec": "old == 0 || old > v ? v : old - 1",
}  # fmt: skip


@emits("atom red", " ".join((*_ATOMIC, "cas global shared relaxed acq_rel acquire release cta gpu sys")))
def _atomic(ins, entry):
    if is_float(ins.kind):
        refuse(ins, entry, "a float atomic depends on the order of threads")
    space, kind = ins.has("global", "shared"), C[ins.kind]
    if space is None:
        refuse(ins, entry, "generic address")
    operands = ins.operands if ins.parts[0] == "atom" else ("_", *ins.operands)
    new = f"old == v ? {entry.read(operands[3], ins.kind)} : old" if ins.has("cas") else _ATOMIC[ins.has(*_ATOMIC)]
    return (
        f"const uint64_t at = {entry.address(operands[1], space, ins.kind)}; "
        f"const {kind} v = {entry.read(operands[2], ins.kind)}, old = ptx::load<{kind}>(at); "
        f"ptx::store<{kind}>(at, {kind}({new})); " + entry.write(operands[0], "old", ins.kind)
    )
