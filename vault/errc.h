// What callers of the vault act on. Conditions that the operating system or a store also knows keep
// their std::errc: no_such_file_or_directory for an absent object, file_exists for one that must
// not be there, no_space_on_device, permission_denied, io_error and so on.
#pragma once

#include "base/result.h"

namespace holdfast::vault {

enum class Errc {
  not_a_vault = 1,   // the location holds no vault description
  damaged,           // an object's bytes contradict its name, hash, signature or tag
  missing,           // an object that others refer to is not there
  wrong_passphrase,  // no key slot opens with what was given
  no_credential,     // this machine holds no write-only credential for the vault
  no_passphrase,     // the operation needs the vault's secret and none was given
  identity_cloned,   // somebody else writes with this agent's identity
  key_not_trusted,   // a key contradicts the pinned one and no signed successor leads to it
  no_such_agent,     // of this name or id
  no_such_slot,      // of this id
  no_such_point,     // no recovery point matches
  ambiguous,         // more than one recovery point matches
  refused,           // the vault's rules forbid it: immutability, holds, a missing approval
  no_authority,      // this machine holds no granted key that may do it
  rolled_back,       // a vault shows an older or another state than was seen before
  promoted,          // a replica that was made writable, and parted from its primary
};

const std::error_category& vault_category();

inline std::error_code make_error_code(Errc e) {
  return {static_cast<int>(e), vault_category()};
}

// Whether an error says something about an object (absent, damaged, too large, not to be believed,
// of an unknown kind), so that another copy or object may serve; other errors are of the moment.
bool is_verdict(const Error& error);
bool is_absent(const Error& error);

}  // namespace holdfast::vault

template <>
struct std::is_error_code_enum<holdfast::vault::Errc> : std::true_type {};
