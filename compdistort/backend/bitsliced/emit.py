"""From a network to LLVM's text: straight-line vector code without branches.

A *word* holds one bit of each pixel of a *group*: 512 pixels where the machine has AVX-512 or steps are many, else
256. Functions, all of the form ``(codes, scratch)``:

- one for each feature turns the codes of a group into the steps that its conditions read;
- one for each few trees, small enough to stay in the nearest caches for several groups, adds their votes to the
  counter.

`forest` calls each of them for several groups in turn, so that its instructions are fetched once for all of them. It
writes the planes of the counter, lowest bit first, with the pixels in order.

Bit w of byte j of a word is pixel ``w * (group / 8) + j``: so the bits of eight vectors of codes come out of three
rounds of exchanges, and go back by one comparison a vector.
"""

from collections.abc import Iterator

from compdistort.backend.bitsliced.conditions import WHOLE, Chain, Step, condition
from compdistort.backend.bitsliced.layout import Layout, Shape
from compdistort.backend.bitsliced.loops import entry
from compdistort.backend.bitsliced.phases import Cut, first_end
from compdistort.backend.bitsliced.program import Job, Leaf, Program, Saved
from compdistort.backend.bitsliced.words import ONE, ZERO, Value, Writer

VERSION = 4
"""Of the code that is emitted: kept machine code of another version is not used."""

_ROUNDS = ((4, 0x0F0F0F0F0F0F0F0F), (2, 0x3333333333333333), (1, 0x5555555555555555))


def modules(program: Program, shape: Shape, code_bytes: int, per_module: int) -> Iterator[tuple[str, list[str]]]:
    """Give the text of every module, and the names of its functions in the order of their calls.

    Parameters
    ----------
    program : Program
        The network.
    shape : Shape
        How the code is cut.
    code_bytes : int
        1 or 2: size of a code.
    per_module : int
        Functions of a module; the last module holds `forest` alone.

    Yields
    ------
    str, list of str
        One module after another.
    """
    layout = Layout.of(program)
    wanted: list[list[Step]] = [[] for _ in program.shifts]
    for step in program.steps:
        wanted[step[0]].append(step)
    texts = [_steps_function(program, shape, code_bytes, slot, steps) for slot, steps in enumerate(wanted)]
    texts += [_jobs_function(program, shape, layout, jobs) for jobs in batches(program, shape.cost)]
    for start in range(0, len(texts), per_module):
        part = texts[start : start + per_module]
        names = [f"part{start + k}" for k in range(len(part))]
        yield "\n".join(text.replace("@part(", f"@{name}(") for text, name in zip(part, names, strict=True)), names
    yield entry(program, shape, code_bytes), ["forest"]


def batches(program: Program, cost: int) -> list[list[Job]]:
    """Return the jobs of each function: of at most `cost` nodes, and to an end where the first phase should.

    Parameters
    ----------
    program : Program
        The network.
    cost : int
        Nodes of a function.

    Returns
    -------
    list of list of Job
    """
    end = first_end(program.n_voting, program.one)
    found: list[list[Job]] = []
    used, trees = cost, 0
    for job in program.jobs:
        used += job.cost
        if used > cost:
            found.append([])
            used = job.cost
        found[-1].append(job)
        trees += job.place < 0
        if job.place < 0 and trees == end:
            used = cost
    return found


def cuts(program: Program, cost: int) -> list[Cut]:
    """Return after which functions all trees that have begun have ended; arguments as `batches`."""
    found, trees = [], 0
    for k, jobs in enumerate(batches(program, cost), 1):
        trees += sum(job.place < 0 for job in jobs)
        if jobs[-1].place < 0:
            found.append(Cut(k, trees))
    return found or [Cut(0, 0)]


def _exchanged(w: Writer, words: list[str]) -> list[str]:
    """Transpose the 8x8 bits that byte j of eight words is: bit w of byte j of word k = bit k of byte j of word w."""
    v = list(words)
    for distance, mask in _ROUNDS:
        low, shift = w.constant(mask), w.constant(distance)
        for k in range(8):
            if not k & distance:
                x, y = v[k], v[k + distance]
                moved = w.two("and", w.two("xor", w.two("lshr", x, shift), y), low)
                v[k + distance] = w.two("xor", y, moved)
                v[k] = w.two("xor", x, w.two("shl", moved, shift))
    return v


def _code_planes(w: Writer, code_bytes: int) -> list[str]:
    """Load the codes of a group; return their bit planes, lowest first."""
    n = w.bytes
    halves: list[list[str]] = [[] for _ in range(code_bytes)]
    for k in range(8):
        at = w.address("%codes", k * n * code_bytes)
        if code_bytes == 1:
            halves[0].append(w.put(f"load {w.word}, ptr {at}, align 1"))
            continue
        x = w.put(f"load <{n} x i16>, ptr {at}, align 2")
        eight = "<" + ", ".join(["i16 8"] * n) + ">"
        for half, y in zip(halves, (x, w.put(f"lshr <{n} x i16> {x}, {eight}")), strict=True):
            short = w.put(f"trunc <{n} x i16> {y} to <{n} x i8>")
            half.append(w.put(f"bitcast <{n} x i8> {short} to {w.word}"))
    return [plane for half in halves for plane in _exchanged(w, half)]


def _steps_function(program: Program, shape: Shape, code_bytes: int, slot: int, steps: list[Step]) -> str:
    w = Writer(shape.group)
    planes = _code_planes(w, code_bytes) if steps else []
    shifts = program.shifts[slot]
    known: dict[tuple[int, int, int], str] = {}

    def at_most(end: int, bit: int, value: int) -> str:
        """Bits ``bit..end`` of the code as a number <= value."""
        if value < 0:
            return "zeroinitializer"
        if value >= (1 << (end - bit)) - 1:
            return w.ones
        key = (end, bit, value)
        if key not in known:  # with a further bit below: 2 j + 1 asks what j asks, 2 j what lies between j - 1 and j
            upper = at_most(end, bit + 1, value >> 1)
            if value & 1:
                known[key] = upper
            else:
                below = at_most(end, bit + 1, (value >> 1) - 1)
                known[key] = w.two("and", upper, w.two("or", below, w.invert(planes[bit])))
        return known[key]

    def word(step: Step) -> str:
        digit, value = step[1:]
        if digit != WHOLE:
            return at_most(shifts[digit - 1] if digit else program.code_bits[slot], shifts[digit], value)
        name = ""
        chain = condition(slot, value, 0, (1 << program.code_bits[slot]) - 1, shifts)
        assert not isinstance(chain, bool)
        for operation, part in chain:
            name = w.two(operation, name, word(part)) if name else word(part)
        return name

    for step in steps:
        w.store(word(step), program.steps[step])
    return w.function("part")


def _condition(w: Writer, program: Program, chain: Chain) -> str:
    name = ""
    for operation, step in chain:
        word = w.load(program.steps[step])
        name = w.two(operation, name, word) if name else word
    return name


def _value(w: Writer, program: Program, layout: Layout, job: Job) -> list[Value]:
    """Write the choices of a job; return the planes of its value."""
    stack: list[list[Value]] = []
    for item in job.code:
        if isinstance(item, Leaf):
            stack.append([ONE if item.value >> k & 1 else ZERO for k in range(program.planes)])
        elif isinstance(item, Saved):
            stack.append([(w.load(layout.saved + item.place + k), False) for k in range(program.planes)])
        else:
            last, first = stack.pop(), stack.pop()
            left, right = (last, first) if item.swapped else (first, last)
            w.fence()
            c = _condition(w, program, item.condition)
            made: dict[tuple[Value, Value], Value] = {}
            for pair in zip(left, right, strict=True):
                if pair not in made:
                    made[pair] = w.choose(c, *pair)
            stack.append([made[pair] for pair in zip(left, right, strict=True)])
    return stack.pop()


def _jobs_function(program: Program, shape: Shape, layout: Layout, jobs: list[Job]) -> str:
    w = Writer(shape.group)
    columns: list[list[str]] = [[] for _ in range(program.planes)]
    for job in jobs:
        value = _value(w, program, layout, job)
        for k, plane in enumerate(value):
            if job.place >= 0:
                w.store(w.plain(plane), layout.saved + job.place + k)
            elif plane != ZERO:
                columns[k].append(w.plain(plane))
    total = _summed(w, columns)
    carry = ""
    for k in range(program.counter_bits if total else 0):
        old = w.load(layout.counter + k)
        terms = [term for term in (total[k] if k < len(total) else "", carry) if term]
        if not terms:
            if k >= len(total):
                break
            continue
        new, carry = _added(w, [old, *terms])
        w.store(new, layout.counter + k)
    return w.function("part")


def _added(w: Writer, terms: list[str]) -> tuple[str, str]:
    """Return sum and carry of two or three words."""
    x, y = terms[:2]
    half = w.two("xor", x, y)
    both = w.two("and", x, y)
    if len(terms) == 2:
        return half, both
    return w.two("xor", half, terms[2]), w.two("or", both, w.two("and", half, terms[2]))


def _summed(w: Writer, columns: list[list[str]]) -> list[str]:
    """Add words of the same weight, column by column; a plane that is all zeros is an empty name."""
    planes: list[str] = []
    while len(planes) < len(columns):
        column = columns[len(planes)]
        while len(column) > 1:
            if len(planes) + 1 == len(columns):
                columns.append([])
            terms, column = column[:3], column[3:]
            low, high = _added(w, terms)
            column.append(low)
            columns[len(planes) + 1].append(high)
        planes.append(column[0] if column else "")
    return planes if any(planes) else []
