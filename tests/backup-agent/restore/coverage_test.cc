// Which absences a recovery point vouches for, key by key.

#include "backup-agent/restore/coverage.h"

#include <gtest/gtest.h>

namespace holdfast::backup_agent {
namespace {

vault::RecoveryPoint point_with(const std::vector<std::string>& problems) {
  vault::RecoveryPoint point;
  point.manifest.incomplete = !problems.empty();
  point.body.emplace();
  point.body->paths = {"/srv"};
  for (const std::string& path : problems) point.body->problems.push_back({path, "why"});
  point.body->problem_count = problems.size();
  return point;
}

TEST(Coverage, NothingIsAbsentAtBelowOrAboveWhatCouldNotBeRead) {
  const Coverage coverage(point_with({"/srv/a/b", "/srv/x"}));
  EXPECT_EQ(coverage.doubt(), "");
  for (const char* key : {"srv", "srv/a", "srv/a/b", "srv/a/b/c/d", "srv/x", "srv/x/y"}) {
    EXPECT_FALSE(coverage.is_absent(key)) << key;
  }
  for (const char* key : {"srv/a/bb", "srv/a/b.c", "srv/a/a", "srv/ab", "srv/y", "s", "tmp/x"}) {
    EXPECT_TRUE(coverage.is_absent(key)) << key;
  }
  EXPECT_FALSE(Coverage(point_with({"/"})).is_absent("any"));
  EXPECT_TRUE(Coverage(point_with({})).is_absent("any"));
}

TEST(Coverage, APointThatDoesNotNameEverythingVouchesForNothing) {
  auto point = point_with({"/srv/a"});
  point.body->problem_count = 2;
  EXPECT_NE(Coverage(point).doubt(), "");
  EXPECT_FALSE(Coverage(point).is_absent("srv/b"));
  point.body.reset();
  EXPECT_NE(Coverage(point).doubt(), "");
}

TEST(Coverage, WhatTheBackupWasAskedFor) {
  const Coverage coverage(point_with({}));
  EXPECT_TRUE(coverage.has_whole("srv"));
  EXPECT_TRUE(coverage.has_whole("srv/a"));
  EXPECT_FALSE(coverage.has_whole(""));
  EXPECT_FALSE(coverage.has_whole("srv2"));
}

}  // namespace
}  // namespace holdfast::backup_agent
