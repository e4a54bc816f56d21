// How `vault check` and its relatives print what they found.
#pragma once

#include "tools/holdfast/output.h"
#include "vault/engine/check.h"

namespace holdfast::cli {

void print_report(const vault::CheckReport& report, Output& out);

}  // namespace holdfast::cli
