#include "vault/client/location.h"

#include <filesystem>

#include "vault/store/local_store.h"

namespace holdfast::vault {
namespace {

Result<std::string> directory_of(const std::string& location) {
  if (location.empty()) return errno_error(EINVAL, "the vault's location is empty");
  if (location.find("://") != std::string::npos) {
    return Error{holdfast::Errc::unsupported,
                 "'" + location + "': this version keeps vaults in directories; give a path"};
  }
  std::error_code error;
  const auto absolute = std::filesystem::absolute(location, error);
  if (error) return Error{error, location};
  std::string path = absolute.lexically_normal().string();
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

}  // namespace

Result<std::unique_ptr<Store>> open_store(const std::string& location) {
  TRY(const std::string path, directory_of(location));
  TRY(auto store, LocalStore::open(io::posix_file_system(), path));
  return std::unique_ptr<Store>(std::move(store));
}

Result<std::unique_ptr<Store>> create_store(const std::string& location) {
  TRY(const std::string path, directory_of(location));
  TRY(auto store, LocalStore::create(io::posix_file_system(), path));
  return std::unique_ptr<Store>(std::move(store));
}

}  // namespace holdfast::vault
