#include <algorithm>
#include <map>
#include <set>

#include "base/units.h"
#include "tools/holdfast/session.h"
#include "vault/client/copy.h"
#include "vault/engine/head_code.h"

namespace holdfast::cli {
namespace {

struct PointArguments {
  std::string item;
  std::vector<std::string> tags;
  std::string point;
  bool deleted = false;
};

std::string joined(const std::vector<std::string>& words, const char* separator) {
  std::string out;
  for (const std::string& w : words) out += (out.empty() ? "" : separator) + w;
  return out;
}

// What users chose, not what marks copies.
std::vector<std::string> user_tags(const vault::Manifest& m) {
  std::vector<std::string> tags = m.labels;
  std::erase_if(tags, vault::is_copy_label);
  return tags;
}

bool has_tags(const vault::Manifest& m, const std::vector<std::string>& wanted) {
  return std::all_of(wanted.begin(), wanted.end(), [&](const std::string& tag) {
    return std::find(m.labels.begin(), m.labels.end(), tag) != m.labels.end();
  });
}

boost::json::object describe(const vault::RecoveryPoint& p, const std::string& item) {
  const vault::Manifest& m = p.manifest;
  boost::json::object o{
      {"type", "point"},           {"id", p.id()},           {"item", json_text(item)},
      {"item_id", m.item().hex()}, {"sequence", m.sequence}, {"time", m.time_ns},
      {"received", p.stored_ns},   {"entries", m.entries},   {"complete", !m.incomplete}};
  boost::json::array tags;
  const auto user = user_tags(m);
  for (const std::string& t : user) tags.emplace_back(json_text(t));
  o["tags"] = std::move(tags);
  o["copy"] = user.size() < m.labels.size();
  if (p.body) {
    boost::json::array paths;
    for (const std::string& path : p.body->paths) paths.emplace_back(json_text(path));
    o["paths"] = std::move(paths);
    o["host"] = json_text(p.body->host);
    o["files"] = p.body->files;
    o["bytes"] = p.body->bytes;
    o["new_bytes"] = p.body->new_bytes;
    o["stored_bytes"] = p.body->stored_bytes;
    o["problems"] = p.body->problem_count;
    o["source"] = p.body->source;
  }
  return o;
}

// Names of items that this machine knows without the passphrase: its own default one.
std::map<vault::ItemId, std::string> known_items(vault::Vault& vault, const std::string& asked) {
  std::map<vault::ItemId, std::string> names;
  const auto keys = vault.state().load_credential(vault.id());
  if (keys.ok() && keys->has_value()) {
    for (const std::string& name : {machine_name(), asked}) {
      if (!name.empty()) names[(*keys)->item_id(name)] = name;
    }
  }
  return names;
}

int points(const GlobalOptions& global, const PointArguments& a) {
  Output out(global);
  vault::PointList list;
  std::map<vault::ItemId, std::string> names;
  vault::VaultId id;
  const bool opened = has_passphrase(global);
  if (opened) {
    auto session = ReadSession::open(global, out);
    if (!session.ok()) return out.fail(session.error());
    list = std::move(session->points);
    id = session->vault->id();
  } else {
    auto vault = open_vault(global);
    if (!vault.ok()) return out.fail(vault.error());
    auto listed = (*vault)->list_points_without_secret();
    if (!listed.ok()) return out.fail(listed.error());
    list = std::move(*listed);
    id = (*vault)->id();
    if (!global.expect_head.empty()) {
      const Status expected = vault::expect_head(id, list, global.expect_head);
      if (!expected.ok()) return out.fail(expected.error());
    }
    for (const vault::PointDefect& d : list.defects) out.warn(d.name + ": " + d.reason);
    names = known_items(**vault, a.item);
  }
  size_t shown = 0;
  for (const vault::RecoveryPoint& p : list.points) {
    const auto known = names.find(p.manifest.item());
    const std::string item = known != names.end() ? known->second : item_name(p);
    if (!a.item.empty() && item != a.item && p.manifest.item().hex() != a.item) continue;
    if (!has_tags(p.manifest, a.tags)) continue;
    if (p.deleted && !a.deleted) continue;
    ++shown;
    const std::string* held = list.log->state().hold_on(p.manifest.item(), p.manifest.sequence);
    boost::json::object o = describe(p, item);
    if (p.deleted) o["purge_due"] = p.deleted->due_ns;
    if (held != nullptr) o["hold"] = json_text(*held);
    out.object(std::move(o));
    std::string line = p.id().substr(0, 12) + "  " + format_time(p.manifest.time_ns) + "  " +
                       printable(item) + " #" + std::to_string(p.manifest.sequence) + "  " +
                       format_count(p.manifest.entries) + " entries";
    if (p.body) {
      line += ", " + format_size(p.body->bytes) + " (+" + format_size(p.body->stored_bytes) +
              ")  " + printable(joined(p.body->paths, " "));
    }
    const auto tags = user_tags(p.manifest);
    if (!tags.empty()) line += "  [" + printable(joined(tags, ", ")) + "]";
    if (tags.size() < p.manifest.labels.size()) line += "  copy";
    if (p.manifest.incomplete) line += "  INCOMPLETE";
    if (held != nullptr) line += "  HELD" + (held->empty() ? "" : ": " + printable(*held));
    if (p.deleted) line += "  DELETED, purged from " + format_time(p.deleted->due_ns) + " on";
    out.result(line);
  }
  if (shown == 0) out.line("no recovery points");
  if (!opened && shown > 0) {
    out.line("(--passphrase-file or HOLDFAST_PASSPHRASE also shows items' names, paths and sizes)");
  }
  const std::string head = vault::head_code(id, list);
  out.line("head " + head +
           "  (of the whole vault; keep it: --expect-head then refuses an older one)");
  return out.finish({{"points", shown}, {"head", head}});
}

struct Totals {
  uint64_t files = 0;
  uint64_t directories = 0;
  uint64_t others = 0;
  uint64_t bytes = 0;
  uint64_t holes = 0;
  uint64_t chunk_references = 0;
  uint64_t unique_chunks = 0;
  uint64_t unique_bytes = 0;
};

Result<Totals> count_point(const ReadSession::Chosen& chosen) {
  Totals t;
  std::set<vault::ChunkId> seen;
  vault::PathCursor cursor(*chosen.domain, chosen.root);
  TRYV(cursor.seek(chosen.spec.key));
  for (; !cursor.at_end() && vault::is_within(cursor->key, chosen.spec.key);) {
    const vault::Entry& e = cursor->entry;
    if (e.type == vault::EntryType::directory) {
      ++t.directories;
    } else if (e.type != vault::EntryType::file) {
      ++t.others;
    } else {
      ++t.files;
      t.bytes += e.size;
      TRYV(vault::for_each_extent(*chosen.domain, e,
                                  [&](uint64_t, const vault::Extent& x) -> Status {
                                    if (!x.chunk) {
                                      t.holes += x.bytes;
                                      return {};
                                    }
                                    ++t.chunk_references;
                                    if (seen.insert(*x.chunk).second) {
                                      ++t.unique_chunks;
                                      t.unique_bytes += x.bytes;
                                    }
                                    return {};
                                  }));
    }
    TRYV(cursor.next());
  }
  return t;
}

// What could not be backed up. The point keeps the first ones if there were very many.
void print_missing(const vault::RecoveryPoint& point, Output& out) {
  if (!point.body) return;
  for (const vault::PointProblem& p : point.body->problems) {
    boost::json::object o{{"type", "problem"}, {"reason", json_text(p.reason)}};
    add_path(o, p.path);
    out.object(std::move(o));
    out.result("missing  " + printable(p.path) + ": " + printable(p.reason));
  }
  const uint64_t listed = point.body->problems.size();
  if (point.body->problem_count > listed) {
    out.result("missing  " + format_count(point.body->problem_count - listed) + " more");
  }
}

int stats_of_point(const GlobalOptions& global, const std::string& text, Output& out) {
  auto session = ReadSession::open(global, out);
  if (!session.ok()) return out.fail(session.error());
  const auto chosen = session->choose(text);
  if (!chosen.ok()) return out.fail(chosen.error());
  const auto t = count_point(*chosen);
  if (!t.ok()) return out.fail(t.error());
  out.result("point    " + chosen->point->id().substr(0, 12) + "  /" + printable(chosen->spec.key));
  out.result("entries  " + format_count(t->files) + " files, " + format_count(t->directories) +
             " directories, " + format_count(t->others) + " others");
  out.result("size     " + format_size(t->bytes) + ", of which " + format_size(t->holes) +
             " are holes");
  out.result("chunks   " + format_count(t->unique_chunks) + " different ones of " +
             format_count(t->chunk_references) + ", " + format_size(t->unique_bytes));
  print_missing(*chosen->point, out);
  return out.finish({{"point", chosen->point->id()},
                     {"files", t->files},
                     {"directories", t->directories},
                     {"others", t->others},
                     {"bytes", t->bytes},
                     {"hole_bytes", t->holes},
                     {"chunks", t->chunk_references},
                     {"unique_chunks", t->unique_chunks},
                     {"unique_bytes", t->unique_bytes}});
}

// Of the whole vault, without a key.
int stats_of_vault(const GlobalOptions& global, Output& out) {
  auto vault = open_vault(global);
  if (!vault.ok()) return out.fail(vault.error());
  const auto stored = vault::measure_stored((*vault)->store(), (*vault)->id());
  if (!stored.ok()) return out.fail(stored.error());
  const auto list = (*vault)->list_points_without_secret();
  if (!list.ok()) return out.fail(list.error());
  const vault::StoredSizes& s = *stored;
  out.result("data      " + format_size(s.data_bytes) + " in " + format_count(s.data_packs) +
             " packs, " + format_count(s.data_chunks) + " chunks");
  out.result("metadata  " + format_size(s.metadata_bytes) + " in " +
             format_count(s.metadata_packs) + " packs, " + format_count(s.metadata_chunks) +
             " pages");
  out.result("index     " + format_size(s.index_bytes) + " in " + format_count(s.index_runs) +
             " runs");
  out.result("points    " + format_count(list->points.size()) + ", " +
             format_size(s.manifest_bytes) + " of manifests; other objects " +
             format_size(s.other_bytes));
  return out.finish({{"data_bytes", s.data_bytes},
                     {"data_packs", s.data_packs},
                     {"data_chunks", s.data_chunks},
                     {"metadata_bytes", s.metadata_bytes},
                     {"metadata_packs", s.metadata_packs},
                     {"metadata_chunks", s.metadata_chunks},
                     {"index_bytes", s.index_bytes},
                     {"index_runs", s.index_runs},
                     {"manifest_bytes", s.manifest_bytes},
                     {"other_bytes", s.other_bytes},
                     {"points", list->points.size()}});
}

int stats(const GlobalOptions& global, const PointArguments& a) {
  Output out(global);
  return a.point.empty() ? stats_of_vault(global, out) : stats_of_point(global, a.point, out);
}

}  // namespace

void add_point_commands(Commands& commands) {
  auto a = std::make_shared<PointArguments>();
  CLI::App* cmd = commands.app.add_subcommand("points",
                                              "List recovery points; with --passphrase-file or "
                                              "HOLDFAST_PASSPHRASE also names, paths, sizes");
  cmd->add_option("--item", a->item, "Only those of this item");
  cmd->add_option("--tag", a->tags, "Only those with this label; repeat for more")
      ->allow_extra_args(false);
  cmd->add_flag("--deleted", a->deleted, "Also soft-deleted ones, which can be brought back");
  add_vault_option(*cmd, commands.options);
  add_passphrase_option(*cmd, commands.options);
  add_expect_head_option(*cmd, commands.options);
  add_output_options(*cmd, commands.options);
  cmd->require_subcommand(0, 1);
  add_point_lifecycle_commands(commands, *cmd);
  cmd->callback([&commands, a, cmd] {
    if (!cmd->get_subcommands().empty()) return;
    commands.run = [&commands, a] { return points(commands.options, *a); };
  });

  cmd = commands.app.add_subcommand(
      "stats", "What the vault holds, without a key; or what a recovery point holds");
  cmd->add_option("POINT", a->point, "A recovery point, with ':/PATH' a part of it");
  add_vault_option(*cmd, commands.options);
  add_passphrase_option(*cmd, commands.options);
  add_output_options(*cmd, commands.options);
  cmd->callback(
      [&commands, a] { commands.run = [&commands, a] { return stats(commands.options, *a); }; });
}

}  // namespace holdfast::cli
