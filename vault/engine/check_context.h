// What the parts of a check share.
#pragma once

#include <mutex>
#include <stop_token>

#include "vault/engine/check.h"
#include "vault/errc.h"

namespace holdfast::vault {

struct CheckContext {
  Store& store;
  const Description& description;
  const CheckOptions& options;
  CheckProgress& progress;
  const std::stop_token stop;
  const unsigned workers;
  CheckReport report;
  std::mutex mutex;  // of report, while workers run

  void damage(const std::string& object, const std::string& what) {
    const std::lock_guard lock(mutex);
    report.damage.push_back({object, what});
  }
  void remark(const std::string& object, const std::string& what) {
    const std::lock_guard lock(mutex);
    report.remarks.push_back({object, what});
  }
  Status interrupted() const {
    if (stop.stop_requested()) return Error{holdfast::Errc::interrupted, ""};
    return {};
  }
};

inline bool is_absent(const Error& e) {
  return e.code == std::errc::no_such_file_or_directory;
}

// Errors that say something about the object, not about the moment.
inline bool is_verdict(const Error& e) {
  return e.code == Errc::damaged || e.code == Errc::missing || e.code == Errc::key_not_trusted ||
         e.code == holdfast::Errc::malformed || e.code == holdfast::Errc::authentication_failed ||
         e.code == holdfast::Errc::unsupported || e.code == holdfast::Errc::limit_exceeded ||
         is_absent(e);
}

}  // namespace holdfast::vault
