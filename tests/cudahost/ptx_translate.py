"""Translates PTX to C++ that runs on the fibers of ``cuda_host.h``: registers become variables, branches ``goto``.

Nothing is skipped: what is not known raises, and so does what has no portable bits (see `ptx_instructions`).
"""

import re

from cudahost.ptx_emitters import C, Instruction, PtxError
from cudahost.ptx_instructions import emit

SPECIAL = {
    "%tid": "cuhost::g.cur->tid", "%ntid": "cuhost::g.block", "%ctaid": "cuhost::g.bid", "%nctaid": "cuhost::g.grid",
    "%laneid": "cuhost::lane()", "%lanemask_lt": "((1u << cuhost::lane()) - 1u)",
}  # fmt: skip
STORAGE = {"pred": "bool", "b16": "uint16_t", "b32": "uint32_t", "b64": "uint64_t"}
SHARED_LIMIT = 48 * 1024

_ENTRY = re.compile(r"\.visible\s+\.entry\s+(\w+)\s*\((.*?)\)(.*?)\n\{(.*?)\n\}", re.DOTALL)
_PARAMETER = re.compile(r"\.param\s+\.\w+[^,\n]*?\s(\w+)\s*(?=,|$)")
_TABLE = re.compile(r"\.(?:global|const)\s+\.align\s+(\d+)\s+\.(\w+)\s+([\w$]+)(?:\[(\d+)\])?\s*=\s*\{?([^};]*)\}?\s*;")
_SHARED = re.compile(r"\.shared\s+\.align\s+(\d+)\s+\.[a-z](\d+)\s+([\w$]+)(?:\[(\d+)\])?")
_STATEMENT = re.compile(r"\s*(?:(?P<label>[$\w]+):|(?P<brace>[{}])|(?P<text>[.@\w][^;]*);)", re.DOTALL)
_REFUSED = (
    (re.compile(r"\.local\s+\.align"), "local memory: a thread's array is indexed at run time, or spills"),
    (re.compile(r"\.extern\s+\.shared"), "dynamic shared memory"),
    (re.compile(r"\.global\s+\.align[^=;]*;"), "a variable in global memory"),
)


def translate(text):
    """Return the C++ text of a PTX module, which exports its kernels as ``CUHOST_EXPORT`` does."""
    text = re.sub(r"/\*.*?\*/|//[^\n]*", "", text, flags=re.DOTALL)
    for pattern, what in _REFUSED:
        if pattern.search(text):
            raise PtxError(what)
    out = ['#include "ptx_host.h"\n', *map(_table, _TABLE.finditer(text))]
    outside = _ENTRY.sub("", text)
    for entry in _ENTRY.finditer(text):
        out += Entry(entry[1], entry[2], entry[4], outside).lines()
    return "".join(out) + "CUHOST_MODULE\n"


def _table(found):
    """Return a constant array, as bytes or as values of its type."""
    align, kind, name, count, values = found.groups()
    items = ", ".join(literal(value.strip(), kind) for value in values.split(","))
    symbol = _identifier(name)
    return (
        f"alignas({align}) static const {C[kind]} {symbol}[{count or 1}] = {{{items}}};\n"
        f"static const bool {symbol}_known = ptx::constant({symbol}, sizeof {symbol});\n"
    )


def literal(text, kind):
    """Return the C++ of a PTX constant read as a type."""
    if text[:2] in ("0f", "0F", "0d", "0D") and kind != "pred":
        word = "uint32_t" if text[1] in "fF" else "uint64_t"
        return f"ptx::as<{C[kind]}>({word}(0x{text[2:]}ull))" if kind[0] == "f" else f"{C[kind]}(0x{text[2:]}ull)"
    if kind[0] == "f":
        return f"ptx::as<{C[kind]}>({'uint32_t' if kind == 'f32' else 'uint64_t'}({int(text, 0) & (2**64 - 1)}ull))"
    return f"{C[kind]}({int(text, 0) & (2**64 - 1)}ull)"


def _identifier(name):
    return name.lstrip("%").replace("$", "S_")


class Entry:
    """One kernel while it is translated: what its operands stand for."""

    def __init__(self, name, parameters, body, outside):
        self.name, self.body = name, body
        self.parameters = {found: i for i, found in enumerate(_PARAMETER.findall(parameters.strip()))}
        self.registers, self.shared, self.targets, self.total = {}, {}, {}, 0
        for found in (*_SHARED.finditer(outside), *_SHARED.finditer(body)):
            self._share(*found.groups())
        if self.total > SHARED_LIMIT:
            raise PtxError(f"{name}: {self.total} bytes of shared memory")

    def _share(self, align, bits, name, count):
        self.total = -(-self.total // int(align)) * int(align)
        self.shared[name] = self.total
        self.total += int(bits) // 8 * int(count or 1)

    def lines(self):
        """Return the function of the kernel and its export."""
        code, position, label = [], 0, None
        while found := _STATEMENT.match(self.body, position):
            position = found.end()
            if found["label"]:
                label = found["label"]
                code.append(f" {_identifier(label)}:;\n")
            elif found["brace"]:
                code.append(f"  {found['brace']}\n")
            else:
                code.append(f"  {self._statement(found['text'].strip(), label)}\n")
        if self.body[position:].strip():
            raise PtxError(f"{self.name}: not understood: {self.body[position:].strip()[:80]}")
        return [
            f"static void entry_{self.name}(void** a) {{\n  (void)a;\n  ptx::poison({self.total}u);\n",
            *code,
            f"}}\nCUHOST_EXPORT_BODY({self.name}, entry_{self.name})\n",
        ]

    def _statement(self, text, label):
        if text.startswith(".reg"):
            return self._declare(text)
        if text.startswith(".branchtargets"):
            self.targets[label] = [part.strip() for part in text.split(None, 1)[1].split(",")]
            return ";"
        if text.startswith((".shared", ".pragma")):
            return ";"
        if text[0] == ".":
            raise PtxError(f"{self.name}: directive {text}")
        return Instruction.parse(text).guarded(self, emit)

    def _declare(self, text):
        """Declare registers: ``%r<10>`` are ten of them."""
        _, kind, names = text.split(None, 2)
        kind = kind[1:]
        out = []
        for each in names.split(","):
            stem, _, count = each.strip().rstrip(">").partition("<")
            names = [f"{stem}{i}" for i in range(int(count))] if count else [stem]
            self.registers |= dict.fromkeys(names, kind)
            out += [f"{_identifier(name)} = 0" for name in names]
        return f"{STORAGE.get(kind) or C[kind]} {', '.join(out)};" if out else ";"

    def label(self, name):
        """Return a branch target."""
        return _identifier(name)

    def read(self, operand, kind):
        """Return the C++ expression of an operand read as a type."""
        operand = operand.strip()
        if operand.startswith("!"):
            return f"!{self.read(operand[1:], kind)}"
        if operand in self.registers:
            return self._register(operand, kind)
        special, _, axis = operand.partition(".")
        if special in SPECIAL:
            return f"{C[kind]}({SPECIAL[special]}{'.' + axis if axis else ''})"
        if operand in self.shared:
            return f"{C[kind]}({self.shared[operand]}u)"
        if re.fullmatch(r"-?\d+U?|0x[0-9A-Fa-f]+U?|0[fFdD][0-9A-Fa-f]+", operand):
            return literal(operand.rstrip("U"), kind)
        if re.fullmatch(r"[A-Za-z_$][\w$]*", operand):
            return f"{C[kind]}(uint64_t({_identifier(operand)}))"
        raise PtxError(f"{self.name}: operand {operand}")

    def _register(self, name, kind):
        held = self.registers[name]
        if kind == "pred" or held == "pred":
            return _identifier(name)
        if kind[0] == "f" and held != kind:
            return f"ptx::as<{C[kind]}>({_identifier(name)})"
        if held[0] == "f" and kind[0] != "f":
            return f"{C[kind]}(ptx::as<{'uint32_t' if held == 'f32' else 'uint64_t'}>({_identifier(name)}))"
        return f"{C[kind]}({_identifier(name)})"

    def write(self, operand, expression, kind):
        """Return the C++ statement that puts a value of a type into a register; ``_`` is none."""
        if operand == "_":
            return f"(void)({expression});"
        held = self.registers[operand]
        value = f"{C[kind]}({expression})"
        if held != kind and "f" in (held[0], kind[0]):
            value = f"ptx::as<{STORAGE.get(held) or C[held]}>({value})"
        return f"{_identifier(operand)} = {value};"

    def address(self, operand, space, kind, lanes=1):
        """Return the C++ of a checked address: ``[base+offset]`` in a state space."""
        base, _, offset = operand.strip("[] ").replace(" ", "").partition("+")
        wide = self.read(base, "u32" if space == "shared" else "u64")
        place = f"uint64_t({wide}) + int64_t({int(offset or 0)})"
        size = int(kind[1:]) // 8
        if space == "shared":
            return f"ptx::in_shared(uint32_t({place}), {size * lanes}, {size * lanes}, {self.total}u)"
        return f"ptx::global({place}, {size * lanes}, {size * lanes})"
