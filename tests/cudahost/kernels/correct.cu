// Kernels that keep every rule, though only just: no build may refuse them. Blocks of 64 threads, one result a block.
#include "common.cuh"
#define T const int t = int(threadIdx.x)
#define S SHARED_ARRAY(float, s, 64)
#define WARP 0xffffffffu

extern "C" __global__ void tree_sum(float* out) {  // 64
  T; S;
  s[t] = 1;
  __syncthreads();
  for (int d = 32; d; d >>= 1) {
    float v = 0;
    if (t < d) v = s[t] + s[t + d];
    __syncthreads();
    if (t < d) s[t] = v;
    __syncthreads();
  }
  if (t == 0) out[blockIdx.x] = s[0];
}
extern "C" __global__ void warp_sums(float* out) {  // 64
  T; S;
  float v = 1;
  for (int d = 16; d; d >>= 1) v += __shfl_down_sync(WARP, v, d);
  if ((t & 31) == 0) s[t >> 5] = v;
  __syncthreads();
  if (t == 0) out[blockIdx.x] = s[0] + s[1];
}
extern "C" __global__ void shared_atomics(float* out) {  // 4 * 16 + 3 + 7
  T;
  SHARED_ARRAY(u32, s, 6);
  if (t < 6) s[t] = t == 5 ? 7 : 0;
  __syncthreads();
  atomicAdd(&s[t & 3], 1u);
  atomicMax(&s[4], u32(t & 3));
  atomicAnd(&s[5], 7u);
  __syncthreads();
  if (t == 0) out[blockIdx.x] = s[0] + s[1] + s[2] + s[3] + s[4] + s[5];
}
extern "C" __global__ void warps_in_step(float* out) {  // each lane has its neighbour's number: 63
  T; S;
  s[t] = t;
  __syncwarp();
  const float v = s[t ^ 1];
  __syncwarp();
  s[t] = v;
  __syncthreads();
  if (t == 0) out[blockIdx.x] = s[62];
}
extern "C" __global__ void one_lane_after_all(float* out) {  // every lane reads, then one writes: 9
  T; S;
  if (t == 0) s[0] = 4;
  __syncthreads();
  float v = 0;
  if (t < 32) v = s[0];
  if (t < 32) __syncwarp();
  if (t == 7) s[0] = v + 5;
  __syncthreads();
  if (t == 40) out[blockIdx.x] = s[0];
}
extern "C" __global__ void votes(float* out) {  // 22 + 8 + 1 + 0 + 1 + 0
  T;
  const int thirds = __syncthreads_count(t % 3 == 0), some = __syncthreads_or(t == 50), every = __syncthreads_and(t > 0);
  const u32 low = __ballot_sync(WARP, t < 40);
  const int all = __all_sync(WARP, t >= 32), any = __any_sync(WARP, t == 70);
  if (t == 63) out[blockIdx.x] = thirds + __popc(low) + all + any + some + every;
}
extern "C" __global__ void half_a_warp_among_itself(float* out) {  // 3 + 2
  T;
  float v = t;
  if (t < 16) v += __shfl_xor_sync(0x0000ffffu, v, 1);
  if (t == 3) out[blockIdx.x] = v;
}
extern "C" __global__ void early_exit_of_whole_warps(float* out) {  // 32
  T;
  if (t < 32) return;
  float v = 1;
  for (int d = 16; d; d >>= 1) v += __shfl_xor_sync(WARP, v, d);
  __syncthreads();
  if (t == 32) out[blockIdx.x] = v;
}
