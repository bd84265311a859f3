"""What the emitters of PTX instructions share: the parsed instruction, its operands in C++, refusals."""

import re
from dataclasses import dataclass

from cudahost.host_module import HostKernelError

C = {
    "b8": "uint8_t", "u8": "uint8_t", "s8": "int8_t", "b16": "uint16_t", "u16": "uint16_t", "s16": "int16_t",
    "b32": "uint32_t", "u32": "uint32_t", "s32": "int32_t", "b64": "uint64_t", "u64": "uint64_t", "s64": "int64_t",
    "f32": "float", "f64": "double", "pred": "bool",
}  # fmt: skip
"""C++ type of each PTX type."""

SITE = "CUHOST_SITE"


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


class Emitters(dict):
    """Emitters of C++ by the first part of an instruction's name, each with the only modifiers that it may meet."""

    def of(self, names, modifiers=""):
        """Register an emitter for instructions."""

        def register(emitter):
            self.update(dict.fromkeys(names.split(), (emitter, frozenset(modifiers.split()))))
            return emitter

        return register


def refuse(ins, entry, why):
    """Raise an error that names kernel and instruction."""
    raise PtxError(f"{entry.name}: {why}: {ins.text}")


def is_float(kind):
    """Return whether a type is one of floats."""
    return kind[0] == "f"


def args(ins, entry, count, kind=None):
    """Return the C++ of the first operands behind the result."""
    return [entry.read(each, kind or ins.kind) for each in ins.operands[1 : count + 1]]


def into(ins, entry, expression, kind=None):
    """Return the C++ statement that puts a value into the result."""
    return entry.write(ins.operands[0], expression, kind or ins.kind)
