// Reed-Solomon over GF(2^8) with a Cauchy matrix (ISA-L): k data rows give m parity rows, and any k
// of the k + m rows give all others. Immutable: any number of threads.
#pragma once

#include <span>

#include "base/bytes.h"

namespace holdfast::vault {

class ReedSolomon {
 public:
  // 1 <= k <= 32, 1 <= m <= 8.
  ReedSolomon(unsigned k, unsigned m);

  unsigned data_rows() const { return k_; }
  unsigned rows() const { return k_ + m_; }

  // `data` is k rows of `size` bytes, `parity` m rows to fill.
  void encode(size_t size, std::span<const uint8_t* const> data,
              std::span<uint8_t* const> parity) const;

  // Fills the rows numbered `wanted` from k others. `have` rises strictly; `rows` are their bytes.
  void rebuild(size_t size, std::span<const unsigned> have, std::span<const uint8_t* const> rows,
               std::span<const unsigned> wanted, std::span<uint8_t* const> out) const;

 private:
  const unsigned k_;
  const unsigned m_;
  Bytes matrix_;  // (k + m) x k
  Bytes encode_tables_;
};

}  // namespace holdfast::vault
