// A window is the part of a restore that is worked on at once: enough pieces that the segments they
// are in are each read and opened once, few enough that they fit in memory.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "backup-agent/restore/restore_tasks.h"

namespace holdfast::backup_agent {

// A piece of a file that has to come from the vault (or, in a patch, perhaps).
struct Piece {
  FileTask* file = nullptr;  // held
  uint64_t offset = 0;
  vault::Extent extent;
  bool compare = false;
  // Where to fetch it; once located.
  vault::ChunkPlace place;
  bool located = false;
};

struct Window {
  std::vector<FileTask::Ptr> files;  // keeps them alive; each is held once by the window
  std::vector<Piece> pieces;
  uint64_t bytes = 0;
  size_t open_files = 0;
  bool is_full() const;
};

// Works windows off: compares, locates, fetches, writes, finishes files.
class WindowRunner {
 public:
  explicit WindowRunner(RestoreContext& context);
  void run(Window& window);

 private:
  void compare(Window& window);
  void locate(Window& window);
  void fetch(Window& window);
  // All pieces are in the same segment.
  void fetch_segment(std::span<Piece> pieces);

  RestoreContext& context_;
  const unsigned threads_;
};

}  // namespace holdfast::backup_agent
