// Philox4x32-10: a 128-bit counter and a 64-bit key give four random words (Salmon et al. 2011, Random123).
#include "common.cuh"

static __device__ __forceinline__ uint4 philox4x32(uint4 counter, u32 key0, u32 key1) {
  uint4 c = counter;
#pragma unroll
  for (int round = 0; round < 10; round++) {
    const u32 high0 = __umulhi(0xD2511F53u, c.x), low0 = 0xD2511F53u * c.x;
    const u32 high1 = __umulhi(0xCD9E8D57u, c.z), low1 = 0xCD9E8D57u * c.z;
    c = make_uint4(high1 ^ c.y ^ key0, low1, high0 ^ c.w ^ key1, low0);
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  return c;
}
