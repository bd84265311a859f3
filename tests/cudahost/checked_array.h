// A shared array that knows who touched each element: refuses indices beyond its end, reads of what was never written,
// and two threads that meet at one element between two barriers when one of them writes. Atomics do not race with
// atomics. Threads of one warp are ordered by the operations of the whole warp.
#pragma once
#include "fibers.h"

namespace cuhost {

// Who has accessed an element since the last barrier of the block.
struct Accesses {
  unsigned epoch = ~0u, thread = 0, warp_epoch = 0;
  bool many_lanes = false, many_warps = false;

  void add() {
    const Thread& t = *g.cur;
    if (epoch != g.epoch) {
      many_lanes = many_warps = false;
    } else {
      many_warps |= (thread ^ t.flat) > 31;
      many_lanes = warp_epoch == t.warp_epoch && (many_lanes || thread != t.flat);
    }
    epoch = g.epoch, thread = t.flat, warp_epoch = t.warp_epoch;
  }
  // Whether another thread is among them and nothing orders it before this one.
  bool race() const {
    const Thread& t = *g.cur;
    if (epoch != g.epoch) return false;
    if (many_warps || (thread ^ t.flat) > 31) return true;
    return warp_epoch == t.warp_epoch && (many_lanes || thread != t.flat);
  }
};

template <class A> struct Place {  // what &name[i] gives: the operand of an atomic, nothing else
  A& array;
  size_t i;
};

template <class T, size_t N> class Checked {
  struct Cell {
    T value{};
    bool written = false;
    unsigned long block = 0;
    Accesses reads, writes, atomics;
  };
  Cell cells[N];
  const char* name;

  [[noreturn]] void refuse(const char* what, size_t i) const {
    stop(std::string(what) + " shared " + name + "[" + std::to_string(i) + "] of " + std::to_string(N));
  }
  Cell& at(size_t i) {
    if (i >= N) refuse("no element", i);
    Cell& cell = cells[i];
    if (cell.block != g.block_serial) cell = Cell(), cell.block = g.block_serial;
    return cell;
  }

 public:
  using Value = T;
  explicit Checked(const char* n) : name(n) {}
  T load(size_t i) {
    Cell& cell = at(i);
    if (!cell.written) refuse("uninitialised read of", i);
    if (cell.writes.race()) refuse("race (read after write) on", i);
    if (cell.atomics.race()) refuse("race (read after atomic) on", i);
    cell.reads.add();
    return cell.value;
  }
  void store(size_t i, T v) {
    Cell& cell = at(i);
    if (cell.writes.race()) refuse("race (write after write) on", i);
    if (cell.reads.race()) refuse("race (write after read) on", i);
    if (cell.atomics.race()) refuse("race (write after atomic) on", i);
    cell.writes.add();
    cell.value = v;
    cell.written = true;
  }
  template <class F> T change(size_t i, F f) {
    Cell& cell = at(i);
    if (!cell.written) refuse("uninitialised atomic on", i);
    if (cell.writes.race()) refuse("race (atomic after write) on", i);
    if (cell.reads.race()) refuse("race (atomic after read) on", i);
    cell.atomics.add();
    const T old = cell.value;
    cell.value = f(old);
    return old;
  }

  struct Element {
    Checked& array;
    size_t i;
    operator T() const { return array.load(i); }
    Place<Checked> operator&() const { return {array, i}; }
    T operator=(T v) { return array.store(i, v), v; }
    T operator=(const Element& other) { return *this = T(other); }
#define CUHOST_COMPOUND(op) \
  T operator op##=(T v) { return *this = T(array.load(i) op v); }
    CUHOST_COMPOUND(+) CUHOST_COMPOUND(-) CUHOST_COMPOUND(*) CUHOST_COMPOUND(|) CUHOST_COMPOUND(&) CUHOST_COMPOUND(^)
#undef CUHOST_COMPOUND
  };
  Element operator[](size_t i) { return {*this, i}; }
};
}  // namespace cuhost
