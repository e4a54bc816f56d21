// Assertions on Result, with the error's text where it is not what was expected.
#pragma once

#include <gtest/gtest.h>

#include "base/result.h"

#define EXPECT_OK(expression)                                           \
  do {                                                                  \
    const auto& expect_result = (expression);                           \
    EXPECT_TRUE(expect_result.ok()) << expect_result.error().message(); \
  } while (false)
#define ASSERT_OK(expression)                                           \
  do {                                                                  \
    const auto& assert_result = (expression);                           \
    ASSERT_TRUE(assert_result.ok()) << assert_result.error().message(); \
  } while (false)
#define EXPECT_ERROR(expected, expression)                                                    \
  do {                                                                                        \
    const auto& expect_result = (expression);                                                 \
    ASSERT_FALSE(expect_result.ok());                                                         \
    EXPECT_TRUE(expect_result.error().code == (expected)) << expect_result.error().message(); \
  } while (false)

// ASSIGN(auto x, f()): asserts that f() succeeded and takes its value.
#define ASSIGN(declaration, expression)                             \
  auto HOLDFAST_JOIN(assign_result_, __LINE__) = (expression);      \
  ASSERT_TRUE(HOLDFAST_JOIN(assign_result_, __LINE__).ok())         \
      << HOLDFAST_JOIN(assign_result_, __LINE__).error().message(); \
  declaration = std::move(HOLDFAST_JOIN(assign_result_, __LINE__)).value()
