// One and the same kernel with indices of 64 bits, of 32 bits, and of 32 bits with a sign.
#include "common.cuh"

template <class Index> static __device__ __forceinline__ void fill_row(u8* out, int n) {
  const int x = int(blockIdx.x * blockDim.x + threadIdx.x);
  out[Index(blockIdx.y) * Index(n) + Index(x)] = u8(x % 251 + 1);
}
extern "C" __global__ void fill_i64(u8* out, int n) { fill_row<i64>(out, n); }
extern "C" __global__ void fill_u32(u8* out, int n) { fill_row<u32>(out, n); }
extern "C" __global__ void fill_int(u8* out, int n) { fill_row<int>(out, n); }
