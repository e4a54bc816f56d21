#include <cerrno>
#include <fcntl.h>
#include <iostream>
#include <unistd.h>

#include "backup-agent/scan/filter.h"
#include "base/units.h"
#include "tools/holdfast/session.h"
#include "vault/errc.h"

namespace holdfast::cli {
namespace {

struct BrowseArguments {
  std::string point;
  std::string other;
  std::vector<std::string> patterns;
  bool recursive = false;
  bool long_format = false;
};

const char* type_name(vault::EntryType type) {
  switch (type) {
    case vault::EntryType::file:
      return "file";
    case vault::EntryType::directory:
      return "directory";
    case vault::EntryType::symlink:
      return "symlink";
    case vault::EntryType::char_device:
      return "char_device";
    case vault::EntryType::block_device:
      return "block_device";
    case vault::EntryType::fifo:
      return "fifo";
    case vault::EntryType::socket:
      return "socket";
  }
  return "";
}

std::string mode_text(const vault::Entry& e) {
  std::string out(1, "?-dlcbps"[static_cast<size_t>(e.type)]);
  for (int shift = 6; shift >= 0; shift -= 3) {
    const uint32_t bits = e.mode >> shift;
    out += (bits & 4) ? 'r' : '-';
    out += (bits & 2) ? 'w' : '-';
    out += (bits & 1) ? 'x' : '-';
  }
  if (e.mode & 04000) out[3] = out[3] == 'x' ? 's' : 'S';
  if (e.mode & 02000) out[6] = out[6] == 'x' ? 's' : 'S';
  if (e.mode & 01000) out[9] = out[9] == 'x' ? 't' : 'T';
  return out;
}

boost::json::object describe(const vault::PathEntry& e) {
  boost::json::object o{{"type", "entry"},
                        {"kind", type_name(e.entry.type)},
                        {"mode", e.entry.mode},
                        {"uid", e.entry.uid},
                        {"gid", e.entry.gid},
                        {"user", json_text(e.entry.user)},
                        {"group", json_text(e.entry.group)},
                        {"mtime_s", e.entry.mtime_s},
                        {"mtime_ns", e.entry.mtime_ns}};
  add_path(o, "/" + e.key);
  if (e.entry.type == vault::EntryType::file) o["size"] = e.entry.size;
  if (e.entry.type == vault::EntryType::symlink) o["target"] = json_text(e.entry.symlink_target);
  if (e.entry.inconsistent) o["inconsistent"] = true;
  return o;
}

std::string line_of(const vault::PathEntry& e, bool long_format) {
  std::string text;
  if (long_format) {
    const vault::Entry& entry = e.entry;
    const auto name_or = [](const std::string& name, uint32_t id) {
      return name.empty() ? std::to_string(id) : name;
    };
    text = mode_text(entry) + " " + printable(name_or(entry.user, entry.uid)) + " " +
           printable(name_or(entry.group, entry.gid)) + " " +
           (entry.type == vault::EntryType::file ? std::to_string(entry.size) : "-") + " " +
           format_time(entry.mtime_s * 1'000'000'000) + " ";
  }
  text += "/" + printable(e.key);
  if (long_format && e.entry.type == vault::EntryType::symlink) {
    text += " -> " + printable(e.entry.symlink_target);
  }
  return text;
}

void print_entry(const vault::PathEntry& e, bool long_format, Output& out) {
  if (out.json()) {
    out.object(describe(e));
  } else {
    out.result(line_of(e, long_format));
  }
}

int ls(const GlobalOptions& global, const BrowseArguments& a, std::stop_token stop) {
  Output out(global);
  auto session = ReadSession::open(global, out);
  if (!session.ok()) return out.fail(session.error());
  const auto chosen = session->choose(a.point);
  if (!chosen.ok()) return out.fail(chosen.error());
  size_t shown = 0;
  const auto run = [&]() -> Status {
    vault::PathCursor cursor(*chosen->domain, chosen->root);
    const std::string& base = chosen->spec.key;
    std::optional<Error> lost_first;
    cursor.pass_over_damage([&](const vault::LostEntries& lost) {
      if (!lost.may_touch(base)) return;
      if (!lost_first) lost_first = lost.reason;
      out.warn(printable(lost.text()));
    });
    TRYV(cursor.seek(base));
    if (lost_first && (cursor.at_end() || !vault::is_within(cursor->key, base))) return *lost_first;
    if (cursor.at_end() || !vault::is_within(cursor->key, base)) {
      return Error{{}, "the recovery point has no /" + base};
    }
    if (cursor->key == base && cursor->entry.type == vault::EntryType::directory) {
      TRYV(cursor.next());
    }
    while (!cursor.at_end() && vault::is_within(cursor->key, base)) {
      if (stop.stop_requested()) return Error{Errc::interrupted, ""};
      print_entry(*cursor, a.long_format, out);
      ++shown;
      TRYV(a.recursive ? cursor.next() : cursor.skip_subtree());
    }
    return {};
  };
  if (const Status done = run(); !done.ok()) return out.fail(done.error());
  return out.finish({{"point", chosen->point->id()}, {"entries", shown}});
}

// In all points, or in those of one item, or in one.
int find(const GlobalOptions& global, const BrowseArguments& a, std::stop_token stop) {
  Output out(global);
  backup_agent::PatternList patterns({""});
  for (const std::string& p : a.patterns) {
    if (const Status added = patterns.add(p); !added.ok()) {
      return out.fail(added.error(), kUsage);
    }
  }
  auto session = ReadSession::open(global, out);
  if (!session.ok()) return out.fail(session.error());
  std::vector<const vault::RecoveryPoint*> searched;
  std::string base;
  if (!a.point.empty()) {
    const auto chosen = session->choose(a.point);
    if (!chosen.ok()) return out.fail(chosen.error());
    searched.push_back(chosen->point);
    base = chosen->spec.key;
  } else {
    for (const vault::RecoveryPoint& p : session->points.points) searched.push_back(&p);
  }
  size_t found = 0;
  const auto run = [&](const vault::RecoveryPoint& point) -> Status {
    TRY(vault::DomainReader * domain, session->reader->domain(point.manifest.domain));
    if (point.manifest.roots.empty()) return {};
    vault::PathCursor cursor(*domain, point.manifest.roots[0]);
    cursor.pass_over_damage([&](const vault::LostEntries& lost) {
      if (lost.may_touch(base)) {
        out.warn("recovery point " + point.id().substr(0, 12) + ": " + printable(lost.text()));
      }
    });
    TRYV(cursor.seek(base));
    bool titled = false;
    while (!cursor.at_end() && vault::is_within(cursor->key, base)) {
      if (stop.stop_requested()) return Error{Errc::interrupted, ""};
      const bool is_directory = cursor->entry.type == vault::EntryType::directory;
      if (patterns.match(cursor->key, is_directory) ==
          backup_agent::PatternList::Verdict::matched) {
        ++found;
        if (out.json()) {
          boost::json::object o = describe(*cursor);
          o["point"] = point.id();
          out.object(std::move(o));
        } else {
          if (!std::exchange(titled, true)) {
            out.result(point.id().substr(0, 12) + "  " + format_time(point.manifest.time_ns) +
                       "  " + printable(item_name(point)));
          }
          out.result("    " + line_of(*cursor, a.long_format));
        }
      }
      TRYV(cursor.next());
    }
    return {};
  };
  for (const vault::RecoveryPoint* p : searched) {
    const Status done = run(*p);
    if (done.ok()) continue;
    if (!vault::is_verdict(done.error()) || !a.point.empty()) return out.fail(done.error());
    out.warn("recovery point " + p->id().substr(0, 12) + ": " + done.error().message());
  }
  if (found == 0) out.line("nothing matches");
  return out.finish({{"points", searched.size()}, {"entries", found}});
}

std::string difference(const vault::Entry& a, const vault::Entry& b) {
  if (a.type != b.type) return "type";
  std::string out;
  const auto add = [&](bool differs, const char* word) {
    if (differs) out += (out.empty() ? "" : ",") + std::string(word);
  };
  add(a.size != b.size || a.extents != b.extents || a.extents_root != b.extents_root, "content");
  add(a.symlink_target != b.symlink_target, "target");
  add(a.mode != b.mode, "mode");
  add(a.uid != b.uid || a.gid != b.gid || a.user != b.user || a.group != b.group, "owner");
  add(a.mtime_s != b.mtime_s || a.mtime_ns != b.mtime_ns, "time");
  add(a.xattrs != b.xattrs || a.xattr_chunks != b.xattr_chunks, "xattrs");
  add(a.attributes != b.attributes, "flags");
  add(a.has_links != b.has_links || a.link_to != b.link_to, "links");
  return out.empty() ? "other" : out;
}

int diff(const GlobalOptions& global, const BrowseArguments& a, std::stop_token stop) {
  Output out(global);
  auto session = ReadSession::open(global, out);
  if (!session.ok()) return out.fail(session.error());
  const auto before = session->choose(a.point);
  if (!before.ok()) return out.fail(before.error());
  const auto after = session->choose(a.other);
  if (!after.ok()) return out.fail(after.error());
  const std::string& base = before->spec.key;
  if (!after->spec.key.empty() && after->spec.key != base) {
    return out.fail(
        Error{{}, "diff compares one path in both points; give ':/PATH' with the first"}, kUsage);
  }
  uint64_t added = 0;
  uint64_t removed = 0;
  uint64_t changed = 0;
  // Ids of two dedup domains do not compare: equal content then shows as changed by its times only.
  const auto report = [&](const vault::PathEntry* x, const vault::PathEntry* y) -> Status {
    if (stop.stop_requested()) return Error{Errc::interrupted, ""};
    const std::string& key = x != nullptr ? x->key : y->key;
    if (!vault::is_within(key, base)) return {};
    const char* sign = x == nullptr ? "+" : y == nullptr ? "-" : "M";
    ++(x == nullptr ? added : y == nullptr ? removed : changed);
    const std::string what = x != nullptr && y != nullptr ? difference(x->entry, y->entry) : "";
    if (out.json()) {
      boost::json::object o{{"type", "difference"},
                            {"change", x == nullptr   ? "added"
                                       : y == nullptr ? "removed"
                                                      : "changed"}};
      add_path(o, "/" + key);
      if (!what.empty()) o["what"] = what;
      out.object(std::move(o));
    } else {
      out.result(std::string(sign) + " /" + printable(key) +
                 (what.empty() ? "" : "  (" + what + ")"));
    }
    return {};
  };
  const Status done =
      vault::diff_maps(*before->domain, before->root, *after->domain, after->root, report);
  if (!done.ok()) return out.fail(done.error());
  out.line(format_count(added) + " added, " + format_count(removed) + " removed, " +
           format_count(changed) + " changed");
  return out.finish({{"before", before->point->id()},
                     {"after", after->point->id()},
                     {"added", added},
                     {"removed", removed},
                     {"changed", changed}});
}

Status write_out(ByteView bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(STDOUT_FILENO, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno_error("standard output");
    bytes = bytes.subspan(static_cast<size_t>(n));
  }
  return {};
}

int cat(const GlobalOptions& global, const BrowseArguments& a, std::stop_token stop) {
  GlobalOptions options = global;
  options.json = false;  // the output is the file
  Output out(options);
  auto session = ReadSession::open(options, out);
  if (!session.ok()) return out.fail(session.error());
  const auto chosen = session->choose(a.point);
  if (!chosen.ok()) return out.fail(chosen.error());
  const auto run = [&]() -> Status {
    const auto found = vault::find_entry(*chosen->domain, chosen->root, chosen->spec.key);
    if (!found.ok() && vault::is_absent(found.error())) {
      return Error{{}, "the recovery point has no /" + chosen->spec.key};
    }
    if (!found.ok()) return found.error();
    const vault::PathEntry& e = *found;
    if (e.entry.type != vault::EntryType::file) {
      return errno_error(EINVAL, "/" + e.key + " is not a file");
    }
    if (e.entry.inconsistent) out.warn("/" + e.key + " changed while it was backed up");
    const Bytes zeros(256 * 1024);
    return vault::for_each_extent(
        *chosen->domain, e.entry, [&](uint64_t, const vault::Extent& x) -> Status {
          if (stop.stop_requested()) return Error{Errc::interrupted, ""};
          if (x.chunk) {
            TRY(const Bytes bytes, chosen->domain->read_chunk(*x.chunk, vault::ChunkKind::data));
            if (bytes.size() != x.bytes) return Error{vault::Errc::damaged, "/" + e.key};
            return write_out(bytes);
          }
          for (uint64_t at = 0; at < x.bytes; at += zeros.size()) {
            TRYV(write_out(ByteView(zeros).first(std::min<uint64_t>(zeros.size(), x.bytes - at))));
          }
          return {};
        });
  };
  if (const Status done = run(); !done.ok()) return out.fail(done.error());
  return out.finish();
}

}  // namespace

void add_browse_commands(Commands& commands) {
  const auto common = [&](CLI::App& cmd) {
    add_vault_option(cmd, commands.options);
    add_passphrase_option(cmd, commands.options);
    add_output_options(cmd, commands.options);
  };
  auto a = std::make_shared<BrowseArguments>();
  constexpr const char* kPointHelp =
      "Recovery point: an id, its first digits, latest or latest:ITEM; ':/PATH' for a part of it";

  CLI::App* cmd = commands.app.add_subcommand("ls", "List what a recovery point holds");
  cmd->add_option("POINT", a->point, kPointHelp)->required();
  cmd->add_flag("--recursive,-R", a->recursive, "Everything below, not only the next level");
  cmd->add_flag("--long,-l", a->long_format, "With mode, owner, size and time");
  common(*cmd);
  cmd->callback([&commands, a] {
    commands.run = [&commands, a] { return ls(commands.options, *a, commands.stop); };
  });

  cmd = commands.app.add_subcommand("find", "Find entries by name or path in recovery points");
  cmd->add_option("PATTERN", a->patterns, "gitignore syntax; any of several")->required();
  cmd->add_option("--point", a->point, "Only in this recovery point (default: in all)");
  cmd->add_flag("--long,-l", a->long_format, "With mode, owner, size and time");
  common(*cmd);
  cmd->callback([&commands, a] {
    commands.run = [&commands, a] { return find(commands.options, *a, commands.stop); };
  });

  cmd = commands.app.add_subcommand("diff", "What differs between two recovery points");
  cmd->add_option("BEFORE", a->point, kPointHelp)->required();
  cmd->add_option("AFTER", a->other, "The other one; ':/PATH' of BEFORE is compared")->required();
  common(*cmd);
  cmd->callback([&commands, a] {
    commands.run = [&commands, a] { return diff(commands.options, *a, commands.stop); };
  });

  cmd = commands.app.add_subcommand("cat", "Write a file of a recovery point to standard output");
  cmd->add_option("POINT:/FILE", a->point, kPointHelp)->required();
  common(*cmd);
  cmd->callback([&commands, a] {
    commands.run = [&commands, a] { return cat(commands.options, *a, commands.stop); };
  });
}

}  // namespace holdfast::cli
