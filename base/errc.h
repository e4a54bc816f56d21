// Error codes that base itself gives. A code exists where some caller acts on it; everything else
// about an error is text in Error::context. Conditions of the operating system are std::errc.
#pragma once

#include <system_error>

namespace holdfast {

enum class Errc {
  malformed = 1,          // input does not follow its format; a newer or damaged writer made it
  authentication_failed,  // a tag, signature or hash does not match its bytes
  unsupported,            // well formed, but needs something that this program lacks
  limit_exceeded,         // larger than the format or the operation allows
  interrupted,            // the user or the caller asked to stop
  crypto_library,         // OpenSSL refused an operation that cannot fail in ordinary running
};

const std::error_category& base_category();

inline std::error_code make_error_code(Errc e) {
  return {static_cast<int>(e), base_category()};
}

}  // namespace holdfast

template <>
struct std::is_error_code_enum<holdfast::Errc> : std::true_type {};
