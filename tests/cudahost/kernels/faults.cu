// Kernels that no process should survive; one that launches them must.
#include "common.cuh"

extern "C" __global__ void null_pointer(int* out, int n) { out[threadIdx.x] = n; }
extern "C" __global__ void far_away(int* out, int n) { out[(i64(n) << 40) + threadIdx.x] = n; }
extern "C" __global__ void division(int* out, int n) { out[threadIdx.x] = 7 / (n - int(threadIdx.x)); }
extern "C" __global__ void endless(int* out, int n) {
  volatile int* seen = out;
  while (seen[0] != n) seen[1] = n;
}
extern "C" __global__ void waits_forever(int* out, int n) {
  volatile int* seen = out;
  while (seen[0] != n) __syncthreads();
}
