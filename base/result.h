// Result<T>: a value or the Error that kept it from existing. Everything the world can do to us
// (disk, network, input) comes back this way; bugs CHECK, and other libraries' exceptions are
// translated where they enter.
//
//   Result<Bytes> read_all(const File& f);
//   TRY(Bytes b, read_all(f));      // returns the error to our caller, or declares b
//   TRYV(f.sync());                 // the same for Result<void>
//
// Shaped like std::expected (C++23) so that a switch stays mechanical.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <variant>

#include <system_error>

#include "base/check.h"
#include "base/errc.h"

namespace holdfast {

// What went wrong: a code to act on, and text for a person (which object, file or limit).
struct Error {
  std::error_code code;
  std::string context;

  // "context: what the code means", or either alone where the other is empty.
  std::string message() const;

  // The same error with `where` put in front of its context: "where: context".
  Error in(std::string_view where) &&;
};

// The calling thread's errno with `context`, normally the path or object at hand.
Error errno_error(std::string context);
Error errno_error(int errno_value, std::string context);

template <class T>
class [[nodiscard]] Result {
 public:
  using value_type = T;

  Result() : state_(Error{make_error_code(Errc::malformed), "result was never set"}) {}
  Result(T value) : state_(std::in_place_index<1>, std::move(value)) {}      // NOLINT
  Result(Error error) : state_(std::in_place_index<0>, std::move(error)) {}  // NOLINT

  bool ok() const { return state_.index() == 1; }
  explicit operator bool() const { return ok(); }

  T& value() & {
    CHECK(ok());
    return std::get<1>(state_);
  }
  const T& value() const& {
    CHECK(ok());
    return std::get<1>(state_);
  }
  T&& value() && {
    CHECK(ok());
    return std::get<1>(std::move(state_));
  }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  // By value, so that "for (auto& x : *f())" does not walk over something gone.
  T operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  const Error& error() const& {
    CHECK(!ok());
    return std::get<0>(state_);
  }
  Error&& error() && {
    CHECK(!ok());
    return std::get<0>(std::move(state_));
  }

 private:
  std::variant<Error, T> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}  // NOLINT

  bool ok() const { return !error_; }
  explicit operator bool() const { return ok(); }
  const Error& error() const& {
    CHECK(error_);
    return *error_;
  }
  Error&& error() && {
    CHECK(error_);
    return std::move(*error_);
  }

 private:
  std::optional<Error> error_;
};

using Status = Result<void>;

}  // namespace holdfast

#define HOLDFAST_JOIN2(a, b) a##b
#define HOLDFAST_JOIN(a, b) HOLDFAST_JOIN2(a, b)
#define HOLDFAST_TRY(tmp, declaration, ...)     \
  auto tmp = (__VA_ARGS__);                     \
  if (!tmp.ok()) return std::move(tmp).error(); \
  declaration = std::move(tmp).value()
#define TRY(declaration, ...) \
  HOLDFAST_TRY(HOLDFAST_JOIN(try_result_, __COUNTER__), declaration, __VA_ARGS__)
#define TRYV(...) \
  if (auto tryv_result = (__VA_ARGS__); !tryv_result.ok()) return std::move(tryv_result).error()
