#include "base/io/file_system.h"

#include "base/crypto/random.h"

namespace holdfast::io {

std::string join_path(std::string_view a, std::string_view b) {
  std::string out(a);
  if (!out.empty() && out.back() != '/' && !b.empty()) out.push_back('/');
  out += b;
  return out;
}

std::string parent_path(std::string_view path) {
  while (path.size() > 1 && path.back() == '/') path.remove_suffix(1);
  const size_t slash = path.rfind('/');
  if (slash == std::string_view::npos) return ".";
  return slash == 0 ? "/" : std::string(path.substr(0, slash));
}

Status WritableFile::write_parts(std::span<const ByteView> parts) {
  for (const ByteView part : parts) TRYV(write(part));
  return {};
}

Status make_directories(FileSystem& fs, const std::string& path) {
  if (auto info = fs.info(path); info.ok()) {
    if (info->is_directory) return {};
    return Error{std::make_error_code(std::errc::not_a_directory), path};
  } else if (info.error().code != std::errc::no_such_file_or_directory) {
    return std::move(info).error();
  }
  const std::string parent = parent_path(path);
  if (parent != path) TRYV(make_directories(fs, parent));
  TRYV(fs.make_directory(path));
  return fs.sync_directory(parent);
}

Result<Bytes> read_file(FileSystem& fs, const std::string& path, uint64_t bytes_max) {
  TRY(const auto file, fs.open(path));
  const uint64_t size = file->size_bytes();
  if (size > bytes_max) return Error{Errc::limit_exceeded, path};
  Bytes out(size);
  TRY(const size_t got, file->read_at(0, out));
  if (got != size) return Error{Errc::malformed, path + " changed while it was read"};
  return out;
}

Status write_file(FileSystem& fs, const std::string& path, ByteView bytes) {
  const std::string temporary = path + ".tmp-" + to_hex(crypto::random_array<6>());
  const auto write = [&]() -> Status {
    TRY(const auto file, fs.create(temporary));
    TRYV(file->write(bytes));
    TRYV(file->sync());
    TRYV(file->close());
    TRYV(fs.rename(temporary, path));
    return fs.sync_directory(parent_path(path));
  };
  Status status = write();
  if (!status.ok()) (void)fs.remove(temporary);
  return status;
}

}  // namespace holdfast::io
