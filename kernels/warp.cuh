// Work that the 32 threads of a warp do together. All of them must call, in blocks of one dimension.
static const u32 WHOLE_WARP = 0xffffffffu;

static __device__ __forceinline__ int warp_lane() { return int(threadIdx.x & 31); }

// Whether no lane of the warp has a pixel of a row: such warps leave at once, the others stay whole.
static __device__ __forceinline__ bool warp_is_beyond(int x, int columns) { return x - warp_lane() >= columns; }

// Largest, smallest and total value of the warp, known to every lane.
template <class T> static __device__ __forceinline__ T warp_max(T v) {
  for (int d = 16; d > 0; d >>= 1) {
    const T other = __shfl_xor_sync(WHOLE_WARP, v, d);
    v = other > v ? other : v;
  }
  return v;
}

template <class T> static __device__ __forceinline__ T warp_min(T v) {
  for (int d = 16; d > 0; d >>= 1) {
    const T other = __shfl_xor_sync(WHOLE_WARP, v, d);
    v = other < v ? other : v;
  }
  return v;
}

template <class T> static __device__ __forceinline__ T warp_sum(T v) {
  for (int d = 16; d > 0; d >>= 1) v += __shfl_xor_sync(WHOLE_WARP, v, d);
  return v;
}

// How many lanes on, this one included, hold the same id; 0 where the lane before holds it too.
template <class T> static __device__ __forceinline__ int run_length(T id) {
  const int lane = warp_lane();
  const T before = __shfl_up_sync(WHOLE_WARP, id, 1);
  const bool starts = lane == 0 || id != before;
  const u32 all_starts = __ballot_sync(WHOLE_WARP, starts);
  const u32 later = lane < 31 ? all_starts >> (lane + 1) : 0;
  if (!starts) return 0;
  return later ? __ffs(int(later)) : 32 - lane;
}
