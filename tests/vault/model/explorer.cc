#include "tests/vault/model/explorer.h"

#include <algorithm>

namespace holdfast::model {
namespace {

uint64_t hash_of(const State& s) {
  static_assert(sizeof(State) % 2 == 0);
  uint64_t words[(sizeof(State) + 7) / 8] = {};
  std::memcpy(words, &s, sizeof s);
  uint64_t h = 0x9e3779b97f4a7c15;
  for (const uint64_t w : words) {
    h = (h ^ w) * 0xff51afd7ed558ccd;
    h ^= h >> 32;
  }
  h *= 0xc4ceb9fe1a85ec53;
  h ^= h >> 29;
  return h == 0 ? 1 : h;
}

class HashSet {
 public:
  HashSet() : slots_(1 << 16) {}
  bool insert(uint64_t hash) {
    if (++count_ * 2 > slots_.size()) grow();
    return put(hash);
  }

 private:
  bool put(uint64_t hash) {
    for (size_t i = hash & (slots_.size() - 1);; i = (i + 1) & (slots_.size() - 1)) {
      if (slots_[i] == hash) {
        --count_;
        return false;
      }
      if (slots_[i] == 0) {
        slots_[i] = hash;
        return true;
      }
    }
  }
  void grow() {
    std::vector<uint64_t> old(slots_.size() * 2);
    old.swap(slots_);
    for (const uint64_t h : old) {
      if (h != 0) put(h);
    }
  }
  std::vector<uint64_t> slots_;
  size_t count_ = 0;
};

// How a state was reached: from which one, by which of its steps.
struct Origin {
  uint32_t from;
  uint8_t choice;
};

std::string trace_of(const Model& model, const std::vector<Origin>& origins, uint32_t last) {
  std::vector<uint8_t> choices;
  for (uint32_t at = last; at != 0; at = origins[at].from) choices.push_back(origins[at].choice);
  std::reverse(choices.begin(), choices.end());
  std::string text;
  State state = model.initial();
  std::vector<Next> next;
  for (const uint8_t choice : choices) {
    next.clear();
    model.successors(state, next);
    text += "  " + model.describe(state, next[choice].step, next[choice].state) + "\n";
    state = next[choice].state;
  }
  return text;
}

}  // namespace

Exploration explore(const Model& model, uint64_t states_max) {
  Exploration out;
  HashSet seen;
  std::vector<Origin> origins{{0, 0}};
  std::vector<State> level{model.initial()};
  std::vector<State> deeper;
  std::vector<Next> next;
  seen.insert(hash_of(level[0]));
  uint32_t first_of_level = 0;
  while (!level.empty()) {
    const uint32_t first_of_deeper = first_of_level + static_cast<uint32_t>(level.size());
    for (size_t i = 0; i < level.size(); ++i) {
      next.clear();
      model.successors(level[i], next);
      for (size_t choice = 0; choice < next.size(); ++choice) {
        ++out.steps;
        ++out.did[static_cast<size_t>(next[choice].step.did)];
        const State& state = next[choice].state;
        if (!seen.insert(hash_of(state))) continue;
        origins.push_back(
            {first_of_level + static_cast<uint32_t>(i), static_cast<uint8_t>(choice)});
        deeper.push_back(state);
        if (const char* wrong = model.violation(state)) {
          const auto last = static_cast<uint32_t>(origins.size() - 1);
          out.violation = std::string(wrong) + "\n" + trace_of(model, origins, last);
          out.states = origins.size();
          return out;
        }
      }
    }
    out.states = origins.size();
    if (out.states > states_max) return out;
    ++out.depth;
    first_of_level = first_of_deeper;
    level.swap(deeper);
    deeper.clear();
  }
  out.complete = true;
  return out;
}

}  // namespace holdfast::model
