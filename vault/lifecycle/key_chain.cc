#include "vault/lifecycle/key_chain.h"

#include "vault/errc.h"
#include "vault/format/object_names.h"

namespace holdfast::vault {
namespace {

// Turns "does not parse" and "does not verify" into what they mean for a vault's object.
Error object_error(Error error, const std::string& name) {
  if (error.code == holdfast::Errc::malformed || error.code == holdfast::Errc::limit_exceeded) {
    return Error{Errc::damaged, name + " (" + error.context + ")"};
  }
  if (error.code == holdfast::Errc::authentication_failed) {
    return Error{Errc::key_not_trusted, name + " (" + error.context + " does not verify)"};
  }
  return error;
}

}  // namespace

Result<std::optional<Succession>> load_succession(Store& store, const VaultId& vault,
                                                  uint32_t generation,
                                                  const crypto::PublicKey& pinned) {
  const std::string name = succession_name(generation);
  auto object = store.get(name, kObjectBytesMax);
  if (!object.ok()) {
    if (is_absent(object.error())) return std::optional<Succession>();
    return object_error(std::move(object).error(), name);
  }
  auto succession = decode_succession(*object, pinned);
  if (!succession.ok()) return object_error(std::move(succession).error(), name);
  if (succession->vault != vault || succession->generation != generation) {
    return Error{Errc::damaged, name + " (it belongs elsewhere)"};
  }
  return std::optional(*succession);
}

Result<KeyChain> load_key_chain(Store& store, const Description& description,
                                const crypto::PublicKey& trusted, uint32_t generation) {
  KeyChain chain{description.vault_key};
  for (uint32_t g = 1; g <= generation; ++g) {
    TRY(const auto next, load_succession(store, description.vault, g, chain.back()));
    if (!next) return Error{Errc::missing, succession_name(g)};
    chain.push_back(next->vault_key);
  }
  if (chain.back() != trusted) {
    return Error{Errc::key_not_trusted, "the vault at " + store.location() +
                                            " does not lead to the vault key of "
                                            "generation " +
                                            std::to_string(generation) + " that is trusted here"};
  }
  return chain;
}

}  // namespace holdfast::vault
