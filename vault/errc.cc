#include "vault/errc.h"

#include <string>

namespace holdfast::vault {
namespace {

class VaultCategory final : public std::error_category {
 public:
  const char* name() const noexcept override { return "holdfast.vault"; }
  std::string message(int code) const override {
    switch (static_cast<Errc>(code)) {
      case Errc::not_a_vault:
        return "not a Holdfast vault";
      case Errc::damaged:
        return "damaged";
      case Errc::missing:
        return "missing from the vault";
      case Errc::wrong_passphrase:
        return "wrong passphrase";
      case Errc::no_credential:
        return "this machine has no credential for the vault";
      case Errc::no_passphrase:
        return "the vault's passphrase is needed";
      case Errc::identity_cloned:
        return "another machine uses this agent's identity";
      case Errc::key_not_trusted:
        return "key is not the trusted one";
      case Errc::no_such_agent:
        return "no such agent";
      case Errc::no_such_slot:
        return "no such key slot";
      case Errc::no_such_point:
        return "no such recovery point";
      case Errc::ambiguous:
        return "matches more than one recovery point";
      case Errc::refused:
        return "the vault's rules forbid it";
      case Errc::no_authority:
        return "this machine has no key that may do this";
      case Errc::rolled_back:
        return "an older or another state than was seen before";
      case Errc::promoted:
        return "it was promoted and takes nothing from its old primary any more";
    }
    return "unknown error";
  }
};

}  // namespace

bool is_absent(const Error& error) {
  return error.code == std::errc::no_such_file_or_directory;
}

bool is_verdict(const Error& error) {
  return error.code == Errc::damaged || error.code == Errc::missing ||
         error.code == Errc::key_not_trusted || error.code == holdfast::Errc::malformed ||
         error.code == holdfast::Errc::authentication_failed ||
         error.code == holdfast::Errc::unsupported ||
         error.code == holdfast::Errc::limit_exceeded || is_absent(error);
}

const std::error_category& vault_category() {
  static const VaultCategory category;
  return category;
}

}  // namespace holdfast::vault
