#include "base/result.h"

#include <memory>

#include "tests/support/expect.h"

namespace holdfast {
namespace {

Result<int> half(int n) {
  if (n % 2 != 0) return Error{Errc::malformed, "odd"};
  return n / 2;
}

Result<int> quarter(int n) {
  TRY(const int h, half(n));
  return half(h);
}

Status check(int n) {
  TRYV(quarter(n));
  return {};
}

TEST(Result, PassesValuesAndErrorsUp) {
  ASSIGN(const int q, quarter(12));
  EXPECT_EQ(q, 3);
  EXPECT_ERROR(Errc::malformed, quarter(6));
  EXPECT_OK(check(4));
  EXPECT_ERROR(Errc::malformed, check(3));
}

TEST(Result, HoldsMoveOnlyValues) {
  Result<std::unique_ptr<int>> r = std::make_unique<int>(7);
  const std::unique_ptr<int> p = std::move(r).value();
  EXPECT_EQ(*p, 7);
}

TEST(Result, DefaultIsAnErrorNotAValue) {
  EXPECT_FALSE(Result<int>().ok());
}

TEST(Error, SaysWhereAndWhat) {
  const Error e = Error{make_error_code(Errc::malformed), "inner"}.in("outer");
  EXPECT_EQ(e.message(), "outer: inner: malformed data");
  EXPECT_EQ(errno_error(ENOENT, "x").code, std::errc::no_such_file_or_directory);
}

TEST(ResultDeathTest, ValueOfAnErrorIsABug) {
  const auto take = [] { return Result<int>(Error{Errc::malformed, ""}).value(); };
  EXPECT_DEATH(take(), "internal error");
}

}  // namespace
}  // namespace holdfast
