// Visits every state of the model that can be reached, breadth first.
//
// States are remembered by 64 bits of hash: two that share them would be taken for one. With n
// states the chance that this happens at all is n * n / 2^65: 7 in 100,000 for fifty million.
#pragma once

#include <array>

#include "tests/vault/model/model.h"

namespace holdfast::model {

struct Exploration {
  uint64_t states = 0;
  uint64_t steps = 0;
  unsigned depth = 0;
  bool complete = false;  // no more than `states_max`, and nothing found
  std::string violation;  // what, then a line for each step that leads there; empty: nothing
  std::array<uint64_t, static_cast<size_t>(Did::kCount)> did{};  // steps of each kind
  bool happened(Did what) const { return did[static_cast<size_t>(what)] != 0; }
};

// Stops at the first violation, which is one that needs the fewest steps.
Exploration explore(const Model& model, uint64_t states_max);

}  // namespace holdfast::model
