// A vault of a few kilobytes with fixed keys, ids, times and nonces: the same bytes at every run.
//
// It holds one of everything that the format knows: both kinds of key slots, a rotated recovery
// key, pages of every type, entries of every type, a segment that was copied from another session,
// a session without a point whose pack a later one took over, a recovery point whose session was
// given up but counts, and one that does not. maker.h says how it is made.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "base/bytes.h"
#include "vault/seal/session_key.h"
#include "vault/seal/vault_secret.h"

namespace holdfast::vault {

inline constexpr std::string_view kPassphrase = "correct horse battery staple";
inline constexpr std::string_view kRecoveryCode = "0123-4567-89AB-CDEF-GHJK-MNPQ-RSTV-WXYZ";

// Takes each intermediate value with its name, in the order of the pages that explain them.
struct VectorSink {
  std::function<void(std::string_view title)> section;
  std::function<void(std::string_view name, ByteView bytes)> hex;
  std::function<void(std::string_view name, uint64_t number)> number;
  std::function<void(std::string_view name, std::string_view text)> text;
};

struct SmallVault {
  VaultId vault;
  DomainKeys domain;
  AgentKeys agent;                       // pins of the newer generation
  VaultSecret secret;                    // generation 1, holds the recovery keys of 0 and 1
  std::map<std::string, Bytes> objects;  // by name
};

// Aborts where the library does not open what was made.
SmallVault make_small_vault(const VectorSink& out);

// 32 bytes that differ for every name: SHA-256("holdfast vector " || name).
crypto::Key256 fixed_key(std::string_view name);
// N bytes: first, first + 1, ...
template <size_t N>
ByteArray<N> counting(uint8_t first) {
  ByteArray<N> out;
  for (size_t i = 0; i < N; ++i) out[i] = static_cast<uint8_t>(first + i);
  return out;
}

}  // namespace holdfast::vault
