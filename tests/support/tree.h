// Directory trees of tests: made, described, compared.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "base/bytes.h"

namespace holdfast::testing {

// Makes (or overwrites) a file, and the directories above it. Aborts on failure.
void write_file(const std::string& path, ByteView content);
void write_file(const std::string& path, std::string_view content);
void append_to_file(const std::string& path, std::string_view content);
void make_directory(const std::string& path);
void make_symlink(const std::string& target, const std::string& path);
void make_hard_link(const std::string& existing, const std::string& path);
void remove_all(const std::string& path);
// Of the object itself, not of what a link names.
void set_mtime(const std::string& path, int64_t seconds, uint32_t nanoseconds = 0);
Bytes file_content(const std::string& path);
// Bytes that the file system allocated.
uint64_t allocated_bytes(const std::string& path);

// Longer than the guard of the agent's cache: what was written before counts as settled after it.
void let_clock_tick();

struct DescribeOptions {
  bool directory_times = true;
};
// Every object below `root` and the root itself (""), by relative path, in words: type, mode,
// owner, time, size, content's hash, link target, device number, extended attributes, flags, and
// the first name of hard links. Two trees are the same if their descriptions are.
std::map<std::string, std::string> describe_tree(const std::string& root,
                                                 const DescribeOptions& options = {});

}  // namespace holdfast::testing
