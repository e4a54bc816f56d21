#include "vault/client/location.h"

#include <filesystem>

#include "vault/store/local_store.h"
#include "vault/store/striped_store.h"

namespace holdfast::vault {

Result<std::string> location_path(const std::string& location) {
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

Result<std::unique_ptr<Store>> open_store(const std::string& location,
                                          const std::vector<std::string>& moved) {
  TRY(const std::string path, location_path(location));
  TRY(const bool is_striped, DiskSet::is_member(io::posix_file_system(), path));
  if (is_striped) {
    StripedOptions options;
    for (const std::string& place : moved) {
      TRY(std::string directory, location_path(place));
      options.hints.push_back(std::move(directory));
    }
    TRY(auto striped, StripedStore::open(io::posix_file_system(), path, std::move(options)));
    return std::unique_ptr<Store>(std::move(striped));
  }
  TRY(auto store, LocalStore::open(io::posix_file_system(), path));
  return std::unique_ptr<Store>(std::move(store));
}

Result<std::unique_ptr<Store>> create_store(const std::string& location) {
  TRY(const std::string path, location_path(location));
  TRY(auto store, LocalStore::create(io::posix_file_system(), path));
  return std::unique_ptr<Store>(std::move(store));
}

Result<std::unique_ptr<Store>> create_store(const StripedPlaces& places) {
  std::vector<std::string> paths;
  for (const std::string& location : places.directories) {
    TRY(std::string path, location_path(location));
    paths.push_back(std::move(path));
  }
  TRY(auto store, StripedStore::create(io::posix_file_system(), places.data_shards,
                                       places.parity_shards, paths));
  return std::unique_ptr<Store>(std::move(store));
}

}  // namespace holdfast::vault
