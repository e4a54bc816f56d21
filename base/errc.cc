#include "base/errc.h"

namespace holdfast {
namespace {

class BaseCategory final : public std::error_category {
 public:
  const char* name() const noexcept override { return "holdfast"; }
  std::string message(int code) const override {
    switch (static_cast<Errc>(code)) {
      case Errc::malformed:
        return "malformed data";
      case Errc::authentication_failed:
        return "authentication failed";
      case Errc::unsupported:
        return "not supported";
      case Errc::limit_exceeded:
        return "limit exceeded";
      case Errc::interrupted:
        return "interrupted";
      case Errc::crypto_library:
        return "cryptographic library failed";
    }
    return "unknown error";
  }
};

}  // namespace

const std::error_category& base_category() {
  static const BaseCategory category;
  return category;
}

}  // namespace holdfast
