"""The machine that code is made for, and the making: LLVM's text in, object files out; object files in, addresses out.

Only llvmlite is needed, which comes with Numba. Every call of LLVM is short (one module of a few functions), because
llvmlite lets in one thread at a time and Numba waits for it meanwhile.
"""

import ctypes
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import llvmlite
from llvmlite import binding as llvm
from numba.core import config

llvm.initialize_native_target()
llvm.initialize_native_asmprinter()

LEVEL = 1
"""LLVM's level for code generation: 2 takes longer and gives the same code."""

ENTRY = "forest"

turn = threading.RLock()
"""Held while LLVM or Numba works for this package, so that no process is forked while they hold locks of their own."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What code is made for.

    Attributes
    ----------
    triple, cpu, features : str
        As LLVM names them.
    """

    triple: str
    cpu: str
    features: str

    @classmethod
    def here(cls) -> "Machine":
        """Return this machine; as for Numba's own code, NUMBA_CPU_NAME and NUMBA_CPU_FEATURES name another."""
        cpu = config.CPU_NAME or llvm.get_host_cpu_name()
        features = config.CPU_FEATURES
        if features is None:
            features = "" if config.CPU_NAME else llvm.get_host_cpu_features().flatten()
        return cls(llvm.get_process_triple(), cpu, features)

    @property
    def group(self) -> int:
        """Pixels of a word: as wide as a register, on machines without AVX-512 at least 256."""
        return 512 if _has_wide_registers(self) else 256

    @property
    def identity(self) -> str:
        """All that machine code depends on, besides the text."""
        return repr((llvmlite.__version__, llvm.llvm_version_info, self.triple, self.cpu, self.features, LEVEL))

    def target_machine(self) -> Any:
        """Return LLVM's own view of the machine."""
        return llvm.Target.from_triple(self.triple).create_target_machine(
            cpu=self.cpu, features=self.features, opt=LEVEL, jit=True
        )


@cache
def _has_wide_registers(machine: Machine) -> bool:
    if "x86_64" not in machine.triple:
        return False
    if machine.features:
        return "+avx512f" in machine.features.split(",")
    probe = "define <8 x i64> @f(<8 x i64> %x, <8 x i64> %y) {\n %z = xor <8 x i64> %x, %y\n ret <8 x i64> %z\n}\n"
    with turn, llvm.parse_assembly(probe) as module:
        return "zmm" in machine.target_machine().emit_assembly(module)


def compile_module(text: str, machine: Machine) -> bytes:
    """Return the object file of a module.

    Parameters
    ----------
    text : str
        LLVM's text.
    machine : Machine
        What it is made for.

    Returns
    -------
    bytes

    Raises
    ------
    RuntimeError
        If LLVM refuses the text.
    """
    with turn:
        return _compiled(text, machine)  # a call of its own: what it leaves to be freed is freed in our turn


def _compiled(text: str, machine: Machine) -> bytes:
    with llvm.parse_assembly(text, llvm.create_context()) as module:
        module.triple = machine.triple
        code: bytes = machine.target_machine().emit_object(module)
    return code


@dataclass(slots=True)
class Loaded:
    """Object files in memory, ready to run; they stay as long as this object lives.

    Attributes
    ----------
    entry : callable
        The function `ENTRY`; it runs without Python's lock.
    parts : ctypes array
        Addresses of the other functions.
    """

    entry: Any
    parts: Any
    _engine: Any = field(repr=False)

    @classmethod
    def of(cls, objects: Iterable[bytes], names: Sequence[str], machine: Machine) -> "Loaded":
        """Load object files; `names` are the functions that `parts` shall list."""
        with turn:
            empty = llvm.parse_assembly("", llvm.create_context())
            empty.triple = machine.triple
            engine = llvm.create_mcjit_compiler(empty, machine.target_machine())
            for code in objects:
                engine.add_object_file(llvm.ObjectFileRef.from_data(code))
            engine.finalize_object()
            addresses = [engine.get_function_address(name) for name in names]
            entry = engine.get_function_address(ENTRY)
        number, pointer = ctypes.c_int64, ctypes.c_void_p
        kind = ctypes.CFUNCTYPE(None, pointer, number, number, pointer, pointer, number, pointer, number)
        return cls(kind(entry), (ctypes.c_void_p * max(1, len(addresses)))(*addresses), engine)
