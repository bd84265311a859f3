"""The PTX instructions that the kernels may use, one emitter of C++ each, after the PTX ISA 9.0.

Refused aloud: approximations, flushing to zero, saturation of floats, float atomics, calls, local memory, and float
arithmetic without a rounding mode, which the assembler may contract.
"""

import re

from cudahost import ptx_arithmetic, ptx_bits, ptx_control, ptx_memory
from cudahost.ptx_emitters import refuse

INEXACT = ("approx", "ftz", "full", "sat", "satfinite", "ex2", "lg2", "sin", "cos", "tanh", "rsqrt")
_TYPE = re.compile(r"[busf](8|16|32|64)|pred|v[248]")
_EMITTERS = ptx_memory.EMITTERS | ptx_control.EMITTERS | ptx_arithmetic.EMITTERS | ptx_bits.EMITTERS


def emit(ins, entry):
    """Return the C++ of an instruction without its guard."""
    if bad := ins.has(*INEXACT):
        refuse(ins, entry, f"{bad} has no portable bits")
    emitter, allowed = _EMITTERS.get(ins.parts[0], (None, ()))
    if emitter is None or any(part not in allowed and not _TYPE.fullmatch(part) for part in ins.parts[1:]):
        refuse(ins, entry, "PTX instruction not translated")
    return emitter(ins, entry)
