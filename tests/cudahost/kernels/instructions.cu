// Instructions that the compiler chooses now and then, asked for by name: result k of item i is out[k * n + i].
// They exist in PTX only.
#include "common.cuh"
#define ASM3(text) \
  asm(text " %0, %1, %2, %3;" : "=r"(r) : "r"(x), "r"(y), "r"(z)); \
  out[k++ * n + i] = r
#define ASM1(text) \
  asm(text " %0, %1;" : "=r"(r) : "r"(x)); \
  out[k++ * n + i] = r

extern "C" __global__ void instructions(const u32* __restrict__ a, const u32* __restrict__ b, const u32* __restrict__ c,
                                        u32* out, int n) {
  const int i = int(blockIdx.x * blockDim.x + threadIdx.x);
  if (i >= n) return;
  const u32 x = a[i], y = b[i], z = c[i];
  u32 r;
  int k = 0;
  ASM3("bfe.u32");
  ASM3("bfe.s32");
  ASM3("prmt.b32");
  ASM3("shf.l.wrap.b32");
  ASM3("shf.r.wrap.b32");
  ASM3("shf.l.clamp.b32");
  ASM3("shf.r.clamp.b32");
  ASM3("mad.lo.u32");
  ASM3("mad.hi.u32");
  ASM1("bfind.u32");
  ASM1("bfind.s32");
  ASM1("bfind.shiftamt.u32");
  ASM1("brev.b32");
  ASM1("not.b32");
  asm("bfi.b32 %0, %1, %2, %3, %4;" : "=r"(r) : "r"(x), "r"(y), "r"(z & 31), "r"(z >> 5 & 31));
  out[k++ * n + i] = r;
  asm("lop3.b32 %0, %1, %2, %3, 0x5A;" : "=r"(r) : "r"(x), "r"(y), "r"(z));
  out[k++ * n + i] = r;
  asm("shl.b32 %0, %1, %2;" : "=r"(r) : "r"(x), "r"(z & 63));
  out[k++ * n + i] = r;
  asm("shr.s32 %0, %1, %2;" : "=r"(r) : "r"(x), "r"(z & 63));
  out[k++ * n + i] = r;
}
