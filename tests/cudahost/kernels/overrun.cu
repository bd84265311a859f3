// Kernels that leave an array or the language where the argument says so; the sanitizers must end the process.
#include "common.cuh"

extern "C" __global__ void past_the_end(float* out, int n) {  // in an array of 64: from n = 1 on
  out[threadIdx.x + n] = 1;
}
extern "C" __global__ void past_shared(float* out, int n) {
  SHARED_ARRAY(float, s, 64);
  s[threadIdx.x + n] = 1;
  __syncthreads();
  out[threadIdx.x] = s[63];
}
extern "C" __global__ void signed_overflow(float* out, int n) {
  const int large = n * 2147483647;
  out[threadIdx.x] = float(large + int(threadIdx.x));
}
extern "C" __global__ void shift_too_far(float* out, int n) {
  out[threadIdx.x] = float(1u << (31 * n + int(threadIdx.x) / 32));
}
