#include "backup-agent/restore/window.h"

#include <algorithm>
#include <thread>
#include <utility>

#include "base/async/parallel.h"
#include "vault/errc.h"

namespace holdfast::backup_agent {
namespace {

constexpr uint64_t kWindowBytes = 256 * 1024 * 1024;
constexpr size_t kWindowPieces = 64 * 1024;
// Files of several pieces stay open while a window is worked on.
constexpr size_t kWindowOpenFiles = 512;

unsigned worker_count(unsigned wanted) {
  return wanted != 0 ? wanted : std::max(1u, std::thread::hardware_concurrency()) + 1;
}

bool same_segment(const Piece& a, const Piece& b) {
  return a.place.pack.id == b.place.pack.id && a.place.segment == b.place.segment;
}

void write(Piece& p, ByteView bytes) {
  if (bytes.size() != p.extent.bytes) {
    p.file->fail(Error{vault::Errc::damaged, "chunk of another length than its file says"});
    return;
  }
  p.file->write(p.offset, bytes);
}

void drop(Piece& p) {
  std::exchange(p.file, nullptr)->release();
}

}  // namespace

bool Window::is_full() const {
  return bytes >= kWindowBytes || pieces.size() >= kWindowPieces ||
         open_files >= kWindowOpenFiles || files.size() >= kWindowPieces;
}

WindowRunner::WindowRunner(RestoreContext& context)
    : context_(context), threads_(worker_count(context.options.workers)) {}

void WindowRunner::run(Window& window) {
  compare(window);
  locate(window);
  // From here on only its pieces hold a file: it is finished, and its descriptor closed, with the
  // last of them; those without pieces at once.
  async::parallel_for(threads_, window.files.size(), [&](size_t i) { window.files[i]->release(); });
  fetch(window);
}

void WindowRunner::compare(Window& window) {
  std::vector<size_t> to_compare;
  for (size_t i = 0; i < window.pieces.size(); ++i) {
    if (window.pieces[i].compare) to_compare.push_back(i);
  }
  async::parallel_for(threads_, to_compare.size(), [&](size_t n) {
    Piece& p = window.pieces[to_compare[n]];
    if (context_.stopped) return drop(p);
    if (p.file->has(p.offset, p.extent)) {
      drop(p);
    } else if (!p.extent.chunk) {
      p.file->punch(p.offset, p.extent.bytes);
      drop(p);
    }
  });
  std::erase_if(window.pieces, [](const Piece& p) { return p.file == nullptr; });
}

void WindowRunner::locate(Window& window) {
  constexpr size_t kGrain = 256;
  const size_t grains = (window.pieces.size() + kGrain - 1) / kGrain;
  async::parallel_for(threads_, grains, [&](size_t g) {
    const size_t end = std::min((g + 1) * kGrain, window.pieces.size());
    for (size_t i = g * kGrain; i < end; ++i) {
      Piece& p = window.pieces[i];
      if (context_.stopped) return;
      auto places = context_.domain.find(*p.extent.chunk);
      if (places.ok()) {
        p.place = (*places)[0];
        p.located = true;
      } else {
        p.file->fail(places.error());
      }
    }
  });
  for (Piece& p : window.pieces) {
    if (!p.located) drop(p);
  }
  std::erase_if(window.pieces, [](const Piece& p) { return p.file == nullptr; });
  std::sort(window.pieces.begin(), window.pieces.end(), [](const Piece& a, const Piece& b) {
    return std::tie(a.place.pack.id, a.place.segment, a.place.chunk) <
           std::tie(b.place.pack.id, b.place.segment, b.place.chunk);
  });
}

void WindowRunner::fetch(Window& window) {
  // One group per segment.
  std::vector<std::pair<size_t, size_t>> groups;
  for (size_t i = 0; i < window.pieces.size();) {
    size_t end = i + 1;
    while (end < window.pieces.size() && same_segment(window.pieces[i], window.pieces[end])) ++end;
    groups.emplace_back(i, end);
    i = end;
  }
  async::parallel_for(threads_, groups.size(), [&](size_t g) {
    fetch_segment({window.pieces.data() + groups[g].first, groups[g].second - groups[g].first});
  });
  window.pieces.clear();
}

void WindowRunner::fetch_segment(std::span<Piece> pieces) {
  std::shared_ptr<const vault::OpenSegment> segment;
  if (!context_.stopped) {
    auto opened = context_.domain.open_segment(pieces[0].place.pack, pieces[0].place.segment);
    if (opened.ok()) segment = std::move(*opened);
  }
  size_t checked = SIZE_MAX;  // pieces of one chunk stand together
  bool good = false;
  for (Piece& p : pieces) {
    if (context_.stopped) {
      drop(p);
      continue;
    }
    if (segment && checked != p.place.chunk) {
      checked = p.place.chunk;
      good = context_.domain.id_matches(*p.extent.chunk, vault::ChunkKind::data, {},
                                        segment->bytes(p.place.chunk));
    }
    if (segment && good) {
      write(p, segment->bytes(p.place.chunk));
    } else {
      // This copy is no good: whatever others there are, or the reason why not.
      auto bytes = context_.domain.read_chunk(*p.extent.chunk, vault::ChunkKind::data);
      if (bytes.ok()) {
        write(p, *bytes);
      } else {
        p.file->fail(bytes.error());
      }
    }
    drop(p);
  }
}

}  // namespace holdfast::backup_agent
