#include "base/result.h"

#include <cerrno>

namespace holdfast {

std::string Error::message() const {
  if (context.empty()) return code.message();
  if (!code) return context;
  return context + ": " + code.message();
}

Error Error::in(std::string_view where) && {
  context = context.empty() ? std::string(where) : std::string(where) + ": " + context;
  return std::move(*this);
}

Error errno_error(int errno_value, std::string context) {
  return Error{std::error_code(errno_value, std::generic_category()), std::move(context)};
}

Error errno_error(std::string context) {
  return errno_error(errno, std::move(context));
}

}  // namespace holdfast
