"""Two processor instructions that Numba does not offer: fused multiply-add and count of leading zeros.

Numba never contracts a * b + c by itself, so a fused multiply-add has to be asked for. `fma32` rounds once, as
CUDA's `__fmaf_rn` and as the plain twins do; `ctlz32` is CUDA's `__clz`.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic


@intrinsic
def fma32(typingctx, a, b, c):
    """Return a * b + c of three float32, rounded once.

    Parameters
    ----------
    a, b, c : float32
        Factors and summand; other numeric types are cast to float32 first.

    Returns
    -------
    float32
    """

    def codegen(context, builder, signature, args):
        kind = ir.FunctionType(ir.FloatType(), [ir.FloatType()] * 3)
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.fma.f32")
        return builder.call(function, args)

    return types.float32(types.float32, types.float32, types.float32), codegen


@intrinsic
def ctlz32(typingctx, value):
    """Return the number of leading zero bits of a uint32; 32 for zero.

    Parameters
    ----------
    value : uint32
        Word to look at.

    Returns
    -------
    uint32
    """

    def codegen(context, builder, signature, args):
        word, flag = ir.IntType(32), ir.IntType(1)
        function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(word, [word, flag]), "llvm.ctlz.i32")
        return builder.call(function, [args[0], ir.Constant(flag, 0)])

    return types.uint32(types.uint32), codegen
