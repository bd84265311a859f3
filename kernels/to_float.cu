// Pixels as float32; every 8-bit or 16-bit number has its own.
//
// image  (size,) uint8 or uint16, DN        out  (size,) float32, DN
// Launch: any grid of 256 threads (grid-stride).
// Oracle: numpy.ndarray.astype, equal to the bit.
#include "common.cuh"

extern "C" __global__ void __launch_bounds__(256)
from_u8(const u8* __restrict__ image, float* out, i64 size) {
  const i64 step = i64(gridDim.x) * blockDim.x;
  for (i64 p = i64(blockIdx.x) * blockDim.x + threadIdx.x; p < size; p += step) out[p] = float(image[p]);
}

extern "C" __global__ void __launch_bounds__(256)
from_u16(const u16* __restrict__ image, float* out, i64 size) {
  const i64 step = i64(gridDim.x) * blockDim.x;
  for (i64 p = i64(blockIdx.x) * blockDim.x + threadIdx.x; p < size; p += step) out[p] = float(image[p]);
}
