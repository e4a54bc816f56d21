#include "vault/store/reed_solomon.h"

#include <isa-l/erasure_code.h>

namespace holdfast::vault {
namespace {

// ISA-L's functions take what they only read without const.
unsigned char** mutable_rows(const uint8_t* const* rows) {
  return const_cast<unsigned char**>(rows);
}

}  // namespace

ReedSolomon::ReedSolomon(unsigned k, unsigned m)
    : k_(k), m_(m), matrix_(size_t{k + m} * k), encode_tables_(size_t{32} * k * m) {
  CHECK(k >= 1 && m >= 1 && k + m <= 255);
  ::gf_gen_cauchy1_matrix(matrix_.data(), static_cast<int>(rows()), static_cast<int>(k));
  ::ec_init_tables(static_cast<int>(k), static_cast<int>(m), matrix_.data() + size_t{k} * k,
                   encode_tables_.data());
}

void ReedSolomon::encode(size_t size, std::span<const uint8_t* const> data,
                         std::span<uint8_t* const> parity) const {
  CHECK(data.size() == k_ && parity.size() == m_);
  if (size == 0) return;
  ::ec_encode_data(static_cast<int>(size), static_cast<int>(k_), static_cast<int>(m_),
                   const_cast<unsigned char*>(encode_tables_.data()), mutable_rows(data.data()),
                   const_cast<unsigned char**>(parity.data()));
}

void ReedSolomon::rebuild(size_t size, std::span<const unsigned> have,
                          std::span<const uint8_t* const> rows, std::span<const unsigned> wanted,
                          std::span<uint8_t* const> out) const {
  CHECK(have.size() == k_ && rows.size() == k_ && wanted.size() == out.size());
  if (size == 0 || wanted.empty()) return;
  // What we have is A x data, with A the rows of the matrix that we have; so data = A^-1 x have.
  Bytes square(size_t{k_} * k_);
  Bytes inverse(square.size());
  for (size_t i = 0; i < k_; ++i) {
    CHECK(have[i] < this->rows() && (i == 0 || have[i] > have[i - 1]));
    std::memcpy(square.data() + i * k_, matrix_.data() + size_t{have[i]} * k_, k_);
  }
  // Every square part of such a matrix can be inverted.
  CHECK(::gf_invert_matrix(square.data(), inverse.data(), static_cast<int>(k_)) == 0);
  Bytes coefficients(wanted.size() * k_);
  for (size_t w = 0; w < wanted.size(); ++w) {
    const uint8_t* row = matrix_.data() + size_t{wanted[w]} * k_;
    for (size_t column = 0; column < k_; ++column) {
      uint8_t sum = 0;
      for (size_t i = 0; i < k_; ++i) sum ^= ::gf_mul(row[i], inverse[i * k_ + column]);
      coefficients[w * k_ + column] = sum;
    }
  }
  Bytes tables(size_t{32} * k_ * wanted.size());
  ::ec_init_tables(static_cast<int>(k_), static_cast<int>(wanted.size()), coefficients.data(),
                   tables.data());
  ::ec_encode_data(static_cast<int>(size), static_cast<int>(k_), static_cast<int>(wanted.size()),
                   tables.data(), mutable_rows(rows.data()),
                   const_cast<unsigned char**>(out.data()));
}

}  // namespace holdfast::vault
