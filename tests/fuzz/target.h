// What a fuzz target provides. One source file is one target: a decoder or a few of one kind.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/bytes.h"

namespace holdfast::fuzz {

// The hex values of docs/formats/vectors.txt by name: good inputs to start from.
using Vectors = std::map<std::string, Bytes>;

// Tries one input of any bytes. Aborts if a promise is broken; a sanitizer reports the rest.
void run(ByteView input);

// Good inputs. Inputs that once broke something lie in regressions/TARGET/.
std::vector<Bytes> seeds(const Vectors& vectors);

// Every vector whose name begins with `prefix`, behind a byte that tells run() what it is.
inline void add_seeds(const Vectors& vectors, const std::string& prefix, uint8_t selector,
                      std::vector<Bytes>& out) {
  for (auto it = vectors.lower_bound(prefix); it != vectors.end(); ++it) {
    if (!it->first.starts_with(prefix)) break;
    Bytes seed{selector};
    seed.insert(seed.end(), it->second.begin(), it->second.end());
    out.push_back(std::move(seed));
  }
}

}  // namespace holdfast::fuzz
