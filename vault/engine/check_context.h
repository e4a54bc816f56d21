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

}  // namespace holdfast::vault
