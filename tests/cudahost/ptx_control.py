"""PTX instructions that branch, wait for other threads, or exchange values with them."""

from cudahost.ptx_emitters import SITE, Emitters, into, refuse

EMITTERS = Emitters()
emits = EMITTERS.of


@emits("bra", "uni")
def _branch(ins, entry):
    return f"goto {entry.label(ins.operands[0])};"


@emits("brx", "idx uni")
def _branch_table(ins, entry):
    index, table = ins.operands
    cases = (f"case {i}: goto {entry.label(target)};" for i, target in enumerate(entry.targets[table]))
    return f"switch ({entry.read(index.strip('{}'), 'u32')}) {{ {' '.join(cases)} }}"


@emits("ret exit", "uni")
def _return(_ins, _entry):
    return "return;"


@emits("trap")
def _trap(_ins, _entry):
    return 'cuhost::stop("trap");'


@emits("bar barrier", "sync warp red popc or and cta aligned")
def _barrier(ins, entry):
    if ins.has("warp"):
        return f"cuhost::wait(cuhost::AT_WARP, {SITE}, {entry.read(ins.operands[0], 'u32')});"
    if ins.has("red"):
        every = ins.has("and")
        met = entry.read(ins.operands[2], "pred")
        count = f"cuhost::block_count({'!' if every else ''}{met}, {SITE})"
        return into(ins, entry, count if ins.has("popc") else f"{count} {'==' if every else '!='} 0")
    if ins.operands != ("0",):
        refuse(ins, entry, "a barrier of some threads only")
    return f"cuhost::wait(cuhost::AT_BLOCK, {SITE}, 0);"


_SHUFFLE = {
    "down": ("lane + by", "from <= last"),
    "up": ("lane - by", "from >= last"),
    "bfly": ("lane ^ by", "from <= last"),
    "idx": ("(lane & segment) | (by & ~segment)", "from <= last"),
}


@emits("shfl", "sync down up bfly idx")
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


@emits("vote", "sync ballot any all")
def _vote(ins, entry):
    chosen, mask = entry.read(ins.operands[1], "pred"), entry.read(ins.operands[2], "u32")
    every = ins.has("all")
    ballot = f"cuhost::ballot({mask}, {'!' if every else ''}({chosen}), {SITE})"
    return into(ins, entry, ballot if ins.has("ballot") else f"{ballot} {'==' if every else '!='} 0")
