// What translated PTX calls: memory with bounds, and the operations whose C++ counterparts differ from the PTX ISA
// (shifts past the width, conversions that saturate, minimum and maximum with NaN and signed zeros).
#pragma once
#include "cuda_host.h"

namespace ptx {

static unsigned char shared[48 * 1024];

// Shared memory starts undefined in every block: all ones, a NaN.
static inline void poison(unsigned bytes) {
  static unsigned long last = 0;
  if (last == cuhost::g.block_serial) return;
  last = cuhost::g.block_serial;
  memset(shared, 0xff, bytes);
}

template <class T, class U> static inline T as(U v) {
  static_assert(sizeof(T) == sizeof(U), "registers of different size");
  T r;
  memcpy(&r, &v, sizeof r);
  return r;
}

// ---- memory -----------------------------------------------------------------------------------
static std::vector<std::pair<uint64_t, uint64_t>> tables;  // constant arrays of the module
static inline bool constant(const void* start, uint64_t bytes) {
  tables.emplace_back(uint64_t(start), uint64_t(start) + bytes);
  return true;
}
static bool inside(uint64_t a, uint64_t bytes) {
  static std::pair<uint64_t, uint64_t> hit;
  static unsigned long launch = 0;
  if (launch == cuhost::g.launch_serial && a >= hit.first && a + bytes <= hit.second) return true;
  launch = cuhost::g.launch_serial;
  for (const auto* list : {&cuhost::g.memory, &tables})
    for (const auto& part : *list)
      if (a >= part.first && a + bytes <= part.second) {
        hit = part;
        return true;
      }
  return false;
}
// An address that may be read or written.
static uint64_t global(uint64_t a, unsigned bytes, unsigned align) {
  if (a % align) cuhost::stop("misaligned access to global memory");
  if (inside(a, bytes)) return a;
  cuhost::stop("access outside every array that was passed");
}
static uint64_t in_shared(uint64_t a, unsigned bytes, unsigned align, unsigned total) {
  if (a % align) cuhost::stop("misaligned access to shared memory");
  if (a + bytes <= total) return uint64_t(shared) + a;
  cuhost::stop("shared memory exceeded at byte " + std::to_string(a) + " of " + std::to_string(total));
}
template <class T> static inline T load(uint64_t a) {
  T r;
  memcpy(&r, (const void*)a, sizeof r);
  return r;
}
template <class T> static inline void store(uint64_t a, T v) { memcpy((void*)a, &v, sizeof v); }

// ---- arithmetic -------------------------------------------------------------------------------
template <class T> static inline T shl(T a, uint32_t n) { return n >= 8 * sizeof(T) ? T(0) : T(a << n); }
template <class T> static inline T shr(T a, uint32_t n) {
  if (n < 8 * sizeof(T)) return T(a >> n);
  return std::is_signed_v<T> && a < 0 ? T(-1) : T(0);
}
template <class T> static inline T ones(uint32_t n) { return T(shl<T>(1, n) - 1); }
template <class T> static inline T insert(T a, T b, uint32_t at, uint32_t n) {
  at &= 255, n &= 255;
  const T mask = shl<T>(ones<T>(n), at);
  return T((shl<T>(a, at) & mask) | (b & T(~mask)));
}
template <class T> static inline T extract(T a, uint32_t at, uint32_t n) {
  const unsigned top = 8 * sizeof(T) - 1;
  at &= 255, n &= 255;
  const bool sign = std::is_signed_v<T> && n && (a >> std::min(at + n - 1, top) & 1);
  std::make_unsigned_t<T> r = 0;
  for (unsigned i = 0; i <= top; i++) {
    const bool bit = i < n && at + i <= top ? a >> (at + i) & 1 : sign;
    r |= std::make_unsigned_t<T>(bit) << i;
  }
  return T(r);
}
static inline uint32_t permute(uint32_t a, uint32_t b, uint32_t selector) {
  const uint64_t bytes = uint64_t(b) << 32 | a;
  uint32_t r = 0;
  for (int i = 0; i < 4; i++) {
    const uint32_t s = selector >> 4 * i & 15;
    uint32_t byte = uint32_t(bytes >> 8 * (s & 7)) & 255;
    if (s & 8) byte = byte & 128 ? 255 : 0;
    r |= byte << 8 * i;
  }
  return r;
}
template <class T> static inline T reverse(T a) {
  T r = 0;
  for (unsigned i = 0; i < 8 * sizeof(T); i++) r |= T(a >> i & 1) << (8 * sizeof(T) - 1 - i);
  return r;
}
template <class T> static inline uint32_t highest(T a) {  // bfind: place of the leading bit that is not the sign
  using U = std::make_unsigned_t<T>;
  U v = U(a);
  if (std::is_signed_v<T> && a < 0) v = U(~v);
  for (int i = 8 * sizeof(T) - 1; i >= 0; i--)
    if (v >> i & 1) return uint32_t(i);
  return 0xffffffffu;
}
static inline uint32_t to_top(uint32_t place, uint32_t width) { return place == ~0u ? place : width - 1 - place; }
template <class T> static inline bool divisible(T a, T b) {
  if (b == 0) cuhost::stop("division by zero");
  return b != 0 && !(std::is_signed_v<T> && b == T(-1) && a == std::numeric_limits<T>::min());
}
template <class T> static inline T div(T a, T b) { return divisible(a, b) ? T(a / b) : a; }
template <class T> static inline T rem(T a, T b) { return divisible(a, b) ? T(a % b) : T(0); }

}  // namespace ptx
