// Recovery points as a read-only file system (FUSE).
//
//   by-id/<first digits of the id>/...       every point
//   by-time/<item>/<time>/...                the same, found by item and time
//   latest/<item> -> ../by-time/<item>/<time>
//
// What is shown are the points there were when it was mounted. Reads are answered from any number
// of threads; nothing is written anywhere.
#pragma once

#include <functional>
#include <stop_token>
#include <string>

#include "vault/client/vault.h"

namespace holdfast::backup_agent {

struct MountOptions {
  std::string directory;
  bool allow_other = false;  // other users than the one who mounts; modes are enforced
};

// Mounts and serves until unmounted or stopped. `mounted` is called once it answers.
// Errors: what FUSE says; std::errc::invalid_argument for a directory that the vault lies in.
Status run_mount(vault::VaultReader& vault, const vault::PointList& points,
                 const MountOptions& options, const std::function<void()>& mounted,
                 std::stop_token stop);

}  // namespace holdfast::backup_agent
