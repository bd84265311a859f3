// Votes of a random forest, one thread a voxel.
//
// features     (n_rows, stride) float32: voxels of one feature one after another, of which the first n are voted on
// rows         (n_used,) int32: row of `features` in each slot; null = slot s is row s
// nodes        (n_nodes, 2) uint32: {threshold as float32 bits, slot << shift | left child}; the right child is the next
//              node; children count from their tree's root, so that none is 0. {vote or row of `value`, 0} is a leaf
// root         (n_trees,) int32: root of each tree
// value        (n_leaves, n_classes) float64: class values of the leaves
// probability  (classes, n) float64: of the classes first .. first + classes - 1; null where a mask is asked for
// mask         (n,) bool: probability of class `first` >= threshold (> if strict); null where probabilities are
// counts       (n_rows,) uint64: how many values of each row are NaN, added to
// Launch: grid of ceil(n / threads) blocks of at most 512 threads, n_used * threads <= 12288, a whole number of warps
// wherever that many fit: then every lane reads its own bank of shared memory, whatever feature it tests.
// count_nan: grid (any, n_rows) of 256 threads.
// Votes are added in the order of the trees in float64 and divided by their number: scikit-learn's arithmetic.
// Pure leaves of two classes are counted as integers, which is the same sum.
// Oracle: compdistort/backend/plain/forest.py, equal to the bit; NaN goes right, and its callers refuse it.
#include "common.cuh"
#define FOREST_THREADS 512
#define FOREST_FLOATS 12288

// One step down. Lanes keep their own column of x, so no barrier is needed anywhere.
template <class Shared>
__device__ __forceinline__ uint2 forest_step(uint2 node, const uint2* __restrict__ tree, Shared& x, int shift) {
  const float value = x[(node.y >> shift) * blockDim.x + threadIdx.x];
  const u32 left = node.y & ((1u << shift) - 1u);
  return __ldg(tree + (value <= __uint_as_float(node.x) ? left : left + 1u));
}

// First words of the leaves reached in two trees, side by side: the loads of one hide the latency of the other's.
// A last tree without a partner is its own.
template <class Shared>
__device__ __forceinline__ uint2 forest_leaves(const uint2* __restrict__ nodes, const int* __restrict__ root, int k,
                                               int n_trees, Shared& x, int shift) {
  const uint2* a = nodes + root[k];
  const uint2* b = nodes + root[min(k + 1, n_trees - 1)];
  uint2 p = __ldg(a), q = __ldg(b);
  while (p.y | q.y) {
    if (p.y) p = forest_step(p, a, x, shift);
    if (q.y) q = forest_step(q, b, x, shift);
  }
  return make_uint2(p.x, q.x);
}

template <class Shared>
__device__ __forceinline__ void forest_load(const float* __restrict__ features, const int* __restrict__ rows,
                                            int n_used, i64 stride, i64 i, Shared& x) {
  for (int s = 0; s < n_used; s++)
    x[s * blockDim.x + threadIdx.x] = features[(rows ? rows[s] : s) * stride + i];
}

__device__ __forceinline__ void forest_add(const double* __restrict__ v, int classes, double& s0, double& s1,
                                           double& s2, double& s3) {
  s0 += __ldg(v);
  if (classes > 1) s1 += __ldg(v + 1);
  if (classes > 2) s2 += __ldg(v + 2);
  if (classes > 3) s3 += __ldg(v + 3);
}

// The division is part of the definition: 3 of 10 trees are the double nearest to 0.3, and the rule compares that.
__device__ __forceinline__ void forest_put(double total, int n_trees, i64 at, double* probability, bool* mask,
                                           double threshold, bool strict) {
  const double p = __ddiv_rn(total, double(n_trees));
  if (probability) probability[at] = p;
  else mask[at] = strict ? p > threshold : p >= threshold;
}

extern "C" __global__ void __launch_bounds__(FOREST_THREADS)
count_votes(const float* __restrict__ features, const int* __restrict__ rows, const uint2* __restrict__ nodes,
            const int* __restrict__ root, double* probability, bool* mask, int n_used, int n_trees, int shift,
            int first, int classes, double threshold, bool strict, i64 n, i64 stride) {
  SHARED_ARRAY(float, x, FOREST_FLOATS);
  const i64 i = i64(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= n) return;
  forest_load(features, rows, n_used, stride, i, x);
  u32 votes = 0;
  for (int k = 0; k < n_trees; k += 2) {
    const uint2 leaf = forest_leaves(nodes, root, k, n_trees, x, shift);
    votes += leaf.x;
    if (k + 1 < n_trees) votes += leaf.y;
  }
  const u32 total = first ? votes : u32(n_trees) - votes;
  forest_put(double(total), n_trees, i, probability, mask, threshold, strict);
  if (classes > 1) forest_put(double(votes), n_trees, n + i, probability, mask, threshold, strict);
}

extern "C" __global__ void __launch_bounds__(FOREST_THREADS)
sum_votes(const float* __restrict__ features, const int* __restrict__ rows, const uint2* __restrict__ nodes,
          const int* __restrict__ root, const double* __restrict__ value, double* probability, bool* mask, int n_used,
          int n_trees, int shift, int n_classes, int first, int classes, double threshold, bool strict, i64 n,
          i64 stride) {
  SHARED_ARRAY(float, x, FOREST_FLOATS);
  const i64 i = i64(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= n) return;
  forest_load(features, rows, n_used, stride, i, x);
  double s0 = 0, s1 = 0, s2 = 0, s3 = 0;  // classes first .. first + 3: an array would be indexed at run time
  for (int k = 0; k < n_trees; k += 2) {
    const uint2 leaf = forest_leaves(nodes, root, k, n_trees, x, shift);
    forest_add(value + i64(leaf.x) * n_classes + first, classes, s0, s1, s2, s3);
    if (k + 1 < n_trees) forest_add(value + i64(leaf.y) * n_classes + first, classes, s0, s1, s2, s3);
  }
  forest_put(s0, n_trees, i, probability, mask, threshold, strict);
  if (classes > 1) forest_put(s1, n_trees, n + i, probability, mask, threshold, strict);
  if (classes > 2) forest_put(s2, n_trees, 2 * n + i, probability, mask, threshold, strict);
  if (classes > 3) forest_put(s3, n_trees, 3 * n + i, probability, mask, threshold, strict);
}

extern "C" __global__ void __launch_bounds__(256)
count_nan(const float* __restrict__ features, u64* counts, i64 n) {
  const i64 row = blockIdx.y, step = i64(gridDim.x) * blockDim.x;
  u64 bad = 0;
  for (i64 p = i64(blockIdx.x) * blockDim.x + threadIdx.x; p < n; p += step) {
    const float value = features[row * n + p];
    bad += value != value;
  }
  if (bad) atomicAdd(counts + row, bad);  // NaN is rare: most threads have nothing to add
}
