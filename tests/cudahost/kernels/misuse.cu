// Kernels that break a rule, one each: the checked build must refuse every one of them. Blocks of 64 threads.
#include "common.cuh"
#define T const int t = int(threadIdx.x)
#define S SHARED_ARRAY(float, s, 64)
#define COUNTS                \
  SHARED_ARRAY(u32, s, 4);    \
  if (t < 4) s[t] = 0;        \
  __syncthreads()
#define WARP 0xffffffffu

extern "C" __global__ void no_barrier(float* out) {
  T; S;
  s[t] = t;
  out[t] = s[63 - t];
}
extern "C" __global__ void write_in_the_interval_of_a_read(float* out) {
  T; S;
  s[t] = t;
  __syncthreads();
  const float v = s[t ^ 1];
  s[t] = v;
  out[t] = v;
}
extern "C" __global__ void write_of_what_another_warp_reads(float* out) {
  T; S;
  s[t] = t;
  __syncthreads();
  if (t < 32) out[t] = s[0];
  if (t == 40) s[0] = 1;
}
extern "C" __global__ void two_writers(float* out) {
  T; S;
  s[t / 2] = t;
  __syncthreads();
  out[t] = s[0];
}
extern "C" __global__ void half_is_never_written(float* out) {
  T; S;
  if (t < 32) s[t] = t;
  __syncthreads();
  out[t] = s[t];
}
extern "C" __global__ void one_beyond_the_end(float* out) {
  T; S;
  s[t + 1] = t;
  __syncthreads();
  out[t] = s[t];
}
extern "C" __global__ void one_before_the_start(float* out) {
  T; S;
  s[t - 1] = t;
  __syncthreads();
  out[t] = s[t];
}
extern "C" __global__ void barrier_in_both_branches(float* out) {
  T; S;
  s[t] = t;
  if (t < 32) {
    __syncthreads();
    out[t] = s[t];
  } else {
    __syncthreads();
    out[t] = 1;
  }
}
extern "C" __global__ void shuffle_after_an_exit(float* out) {
  T;
  if (t < 5) return;
  out[t] = __shfl_down_sync(WARP, float(t), 1);
}
extern "C" __global__ void shuffle_while_a_lane_waits_elsewhere(float* out) {
  T;
  float v = t;
  if (t != 5) v = __shfl_xor_sync(WARP, v, 1);
  __syncthreads();
  out[t] = v;
}
extern "C" __global__ void shuffle_by_a_lane_outside_the_mask(float* out) {
  T;
  out[t] = __shfl_xor_sync(0x0000ffffu, float(t), 1);
}
extern "C" __global__ void shuffle_from_a_lane_outside_the_mask(float* out) {
  T;
  if (t < 16) out[t] = __shfl_sync(0x0000ffffu, float(t), 20);
}
extern "C" __global__ void write_beside_an_atomic(float* out) {
  T; COUNTS;
  if (t == 9) {
    s[1] = 5;
  } else {
    atomicAdd(&s[1], 1u);
  }
  out[t] = 0;
}
extern "C" __global__ void read_beside_an_atomic(float* out) {
  T; COUNTS;
  atomicAdd(&s[0], 1u);
  out[t] = s[0];
}
extern "C" __global__ void atomic_on_what_was_never_written(float* out) {
  T;
  SHARED_ARRAY(u32, s, 4);
  atomicAdd(&s[0], 1u);
  out[t] = 0;
}
