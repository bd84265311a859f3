// Every operation that kernels use, on numbers at the edges of their types; result k of item i is out[k * n + i].
// NaN is written as all ones, since its bits are nobody's promise.
#include "common.cuh"
#define ITEM                                              \
  const int i = int(blockIdx.x * blockDim.x + threadIdx.x); \
  if (i >= n) return;                                     \
  int k = 0
#define OUT(v) out[k++ * n + i] = v

static __device__ __forceinline__ u32 word(float v) { return v != v ? 0xffffffffu : __float_as_uint(v); }
static __device__ __forceinline__ u64 word(double v) { return v != v ? ~0ull : u64(__double_as_longlong(v)); }

extern "C" __global__ void floats(const float* __restrict__ a, const float* __restrict__ b, u32* out, int n) {
  ITEM;
  const float x = a[i], y = b[i];
  OUT(word(x + y));
  OUT(word(x - y));
  OUT(word(x * y));
  OUT(word(x / y));
  OUT(word(__fsqrt_rn(x)));
  OUT(word(__fmaf_rn(x, y, -1.5f)));
  OUT(word(x * y - 1.5f));
  OUT(word(fminf(x, y)));
  OUT(word(fmaxf(x, y)));
  OUT(word(fabsf(x)));
  OUT(word(-x));
  OUT(word(floorf(x)));
  OUT(word(rintf(x)));
  OUT(word(x < y ? x : y));
  OUT(u32(x < y) | u32(x <= y) << 1 | u32(x == y) << 2 | u32(x != y) << 3 | u32(!(x >= y)) << 4);
}
extern "C" __global__ void doubles(const double* __restrict__ a, const double* __restrict__ b, u64* out, int n) {
  ITEM;
  const double x = a[i], y = b[i];
  OUT(word(x + y));
  OUT(word(x - y));
  OUT(word(x * y));
  OUT(word(__ddiv_rn(x, y)));
  OUT(word(__dsqrt_rn(x)));
  OUT(word(x * y - 1.5));
  OUT(word(fmin(x, y)));
  OUT(word(fmax(x, y)));
  OUT(word(rint(x)));
  OUT(word(double(float(x))));
  OUT(u64(x < y) | u64(x <= y) << 1 | u64(x == y) << 2 | u64(x != y) << 3 | u64(!(x >= y)) << 4);
}
extern "C" __global__ void from_floats(const float* __restrict__ a, const double* __restrict__ b, i64* out, int n) {
  ITEM;
  const float x = a[i];
  const double y = b[i];
  OUT(__float2int_rn(x));
  OUT(__float2int_rd(x));
  OUT(__float2int_ru(x));
  OUT(__float2uint_rn(x));
  OUT(__float2ll_rn(x));
  OUT(i64(__float2ull_rn(x)));
  OUT(__double2int_rn(y));
  OUT(__double2uint_rn(y));
  OUT(__double2ll_rn(y));
  OUT(i64(__double2ull_rn(y)));
}
extern "C" __global__ void to_floats(const i64* __restrict__ a, u64* out, int n) {
  ITEM;
  const i64 x = a[i];
  OUT(word(float(int(x))));
  OUT(word(float(u32(x))));
  OUT(word(float(x)));
  OUT(word(float(u64(x))));
  OUT(word(double(int(x))));
  OUT(word(double(u32(x))));
  OUT(word(double(x)));
  OUT(word(double(u64(x))));
  OUT(word(float(u16(x)) + float(u8(x))));
}
extern "C" __global__ void whole_numbers(const i64* __restrict__ a, const i64* __restrict__ b, i64* out, int n) {
  ITEM;
  const i64 x = a[i], y = b[i];
  const u64 ux = u64(x), uy = u64(y);
  const int s = int(x), t = int(y);
  const u32 us = u32(s), ut = u32(t);
  const int by = t & 31;
  OUT(i64(ux + uy));
  OUT(i64(ux * uy));
  OUT(i64(__umul64hi(ux, uy)));
  OUT(i64(__umulhi(us, ut)));
  OUT(i64(s) * t);
  OUT(y == 0 || y == -1 ? 0 : x / y);
  OUT(y == 0 || y == -1 ? 0 : x % y);
  OUT(y == 0 ? 0 : i64(ux / uy));
  OUT(y == 0 ? 0 : i64(ux % uy));
  OUT(t == 0 || t == -1 ? 0 : s / t);
  OUT(t == 0 || t == -1 ? 0 : s % t);
  OUT(s >> by);
  OUT(us >> by);
  OUT(us << by);
  OUT(x >> (y & 63));
  OUT(i64(ux >> (y & 63)));
  OUT(min(s, t));
  OUT(max(us, ut));
  OUT(min(x, y));
  OUT(i64(max(ux, uy)));
  OUT(i64(ux ^ (uy & ~ux) | (uy << 3)));
  OUT(__clz(s));
  OUT(__clzll(x));
  OUT(__popc(us));
  OUT(__popcll(ux));
  OUT(__ffs(s));
  OUT(__ffsll(x));
  OUT(__brev(us));
  OUT(__funnelshift_l(us, ut, u32(by)));
  OUT(u16(x));
  OUT((signed char)(x));
  OUT(i64(u8(x)) * u16(y));
  OUT((s < t) + 2 * (us < ut) + 4 * (x < y) + 8 * (ux <= uy) + 16 * (s == t));
}
extern "C" __global__ void atomics(const u32* __restrict__ a, u32* words, int* numbers, u64* longs, int n) {
  const int i = int(blockIdx.x * blockDim.x + threadIdx.x);
  if (i >= n) return;
  const u32 v = a[i];
  atomicAdd(&words[0], v);
  atomicMin(&words[1], v);
  atomicMax(&words[2], v);
  atomicAnd(&words[3], v | 0x80u);
  atomicOr(&words[4], v & 0xff00u);
  atomicXor(&words[5], v);
  if (v == 7) atomicExch(&words[6], v);
  if (atomicCAS(&words[7], 5u, 6u) == 5u) atomicAdd(&words[8], 1u);
  atomicAdd(&numbers[0], int(v));
  atomicMin(&numbers[1], int(v));
  atomicMax(&numbers[2], int(v));
  atomicAdd(&longs[0], u64(v) << 20);
  atomicMin(&longs[1], u64(v) << 20);
  atomicMax(&longs[2], u64(v) << 20);
  atomicOr(&longs[3], u64(v) << 20);
}
