"""Tables and JSON from samples."""

import datetime
import os
import platform
import statistics

import tools

MIB = 1 << 20


def _median(values):
    values = [v for v in values if v is not None]
    return statistics.median(values) if values else None


class Row:
    """The median of one operation of one tool over all runs."""

    def __init__(self, samples):
        self.case = samples[0].case
        self.operation = samples[0].operation
        self.tool = samples[0].tool
        good = [s for s in samples if s.cost]
        self.runs = len(good)
        self.wall = _median([s.cost.wall for s in good])
        self.wall_spread = (min(s.cost.wall for s in good), max(s.cost.wall for s in good)) \
            if good else None
        self.cpu = _median([s.cost.cpu for s in good])
        self.rss = max((s.cost.rss for s in good), default=None)
        self.added = _median([s.added for s in good])
        self.stored = good[-1].stored if good else None
        notes = [s.note for s in samples if s.note]
        wrong = [n for n in notes if n != "exact"]
        self.note = (wrong or notes or [""])[0]
        unsynced = _median([s.unsynced for s in good])
        if unsynced is not None:
            self.note = "; ".join(t for t in (self.note, f"{unsynced:.1f} s more to the disk") if t)


def rows(samples):
    """In the order of the first appearance, holdfast before its peers."""
    order = {"holdfast": 0, "bare pipeline": 8, "dd conv=fsync": 9, "cp -a": 9}
    for i, kind in enumerate(tools.ALL):
        order.setdefault(kind.name, i)
    groups = {}
    for s in samples:
        groups.setdefault((s.case, s.operation), {}).setdefault(s.tool, []).append(s)
    return [[Row(by_tool[t]) for t in sorted(by_tool, key=lambda t: order.get(t, 7))]
            for by_tool in groups.values()]


def _with_ratio(value, reference, text):
    if value is None:
        return "-"
    if not reference or value is reference:
        return text
    ratio = value / reference
    return f"{text} ({ratio:.1f}x)" if ratio < 100 else f"{text} ({ratio:.0f}x)"


def _size(n):
    return "-" if n is None else f"{n / MIB:,.2f}" if n < 10 * MIB else f"{n / MIB:,.0f}"


def _parts(stored):
    if not stored:
        return ""
    return ", ".join(f"{k} {_size(v)}" for k, v in stored.items() if k != "total")


def table(case, groups):
    """One case as markdown. Ratios are against holdfast's value in the same operation."""
    lines = [f"### {case.title} (`{case.name}`)", "",
             "| operation | tool | wall s | CPU s | peak MiB | added MiB | in store MiB | remarks |",
             "| --- | --- | --- | --- | --- | --- | --- | --- |"]
    for group in groups:
        if group[0].case != case.name:
            continue
        own = next((r for r in group if r.tool == "holdfast"), None)
        for i, r in enumerate(group):
            ref = own if own and own is not r and r.wall is not None else None
            cells = [r.operation if i == 0 else "", r.tool,
                     _with_ratio(r.wall, ref and ref.wall, f"{r.wall or 0:.2f}"),
                     _with_ratio(r.cpu, ref and ref.cpu, f"{r.cpu or 0:.2f}"),
                     _with_ratio(r.rss, ref and ref.rss, _size(r.rss)),
                     _with_ratio(r.added, ref and ref.added, _size(r.added)),
                     _size(r.stored["total"]) if r.stored else "-",
                     "; ".join(t for t in (_parts(r.stored), r.note) if t)]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def machine():
    model = "unknown processor"
    with open("/proc/cpuinfo") as f:
        for line in f:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    with open("/proc/meminfo") as f:
        memory = int(f.readline().split()[1]) // 1024
    return {"processor": model, "processors": os.cpu_count(), "memory_mib": memory,
            "kernel": platform.release(), "system": _system()}


def _system():
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "")
    except OSError:
        return platform.system()


def header(settings, versions, file_system):
    m = machine()
    lines = [f"Measured {datetime.date.today().isoformat()} on {m['processor']}, "
             f"{m['processors']} processors, {m['memory_mib']:,} MiB, {m['system']}, Linux "
             f"{m['kernel']}, {file_system}; medians of {settings.runs} run(s)"
             + (", small data (--quick)" if settings.quick else "") + ".", ""]
    for kind in tools.ALL:
        lines.append(f"- {kind.title} {versions[kind.name]}: {kind.options}")
    lines += ["- bare pipeline: read, SHA-256, zstd 1 and AES-256-GCM on 1 MiB blocks, two threads, "
              "nothing written",
              "", "Warm cache: everything was read once before each backup. Numbers in brackets "
              "are ratios to Holdfast: above 1 the tool needs more."]
    return "\n".join(lines)


def as_json(settings, versions, file_system, groups):
    return {"date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            "machine": machine(), "file_system": file_system, "runs": settings.runs,
            "quick": settings.quick, "failed": settings.failed,
            "tools": {k.name: {"version": versions[k.name], "options": k.options}
                      for k in tools.ALL},
            "rows": [{"case": r.case, "operation": r.operation, "tool": r.tool, "runs": r.runs,
                      "wall_s": r.wall, "wall_s_least_most": r.wall_spread, "cpu_s": r.cpu,
                      "peak_rss_bytes": r.rss, "added_bytes": r.added, "stored_bytes": r.stored,
                      "note": r.note} for group in groups for r in group],
            "samples": [{"case": s.case, "run": s.run, "operation": s.operation, "tool": s.tool,
                         "wall_s": s.cost and s.cost.wall, "cpu_s": s.cost and s.cost.cpu,
                         "peak_rss_bytes": s.cost and s.cost.rss, "added_bytes": s.added,
                         "note": s.note} for s in settings.samples]}
