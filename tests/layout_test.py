"""The tree keeps its shape: what includes what, what is built, what is tracked, what pages point to.
Goal: rules that nobody has to remember in a review. Method: read the files of the working tree (what
git tracks and what it would add), and ask the compiler and clang-format where reading is not enough.
HOLDFAST_BUILD names the build directory; without it, build/."""

import concurrent.futures
import json
import os
import re
import shlex
import subprocess
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.environ.get("HOLDFAST_BUILD", os.path.join(ROOT, "build"))
SOURCE_LINES_MAX = 600
FILE_BYTES_MAX = 1 << 20
JOBS = min(2, os.cpu_count() or 1)

# What the files of a folder may include besides their own folder's. A new folder gets a line here.
BASE = ["base", "base/async", "base/crypto", "base/io", "base/wire"]
VAULT = ["vault", "vault/format", "vault/seal", "vault/store", "vault/index", "vault/engine",
         "vault/client", "vault/lifecycle"]
VAULT_FRONT = ["vault", "vault/client", "vault/format"]  # vault itself is errc.h
AGENT = ["backup-agent/" + name for name in ("chunk", "mount", "restore", "scan", "upload")]
ARROWS = {
    "base": [],
    "base/async": ["base"],
    "base/crypto": ["base"],
    "base/io": ["base", "base/crypto"],
    "base/wire": ["base"],
    "vault": ["base"],
    "vault/format": BASE + ["vault"],
    "vault/seal": BASE + ["vault", "vault/format"],
    "vault/store": BASE + ["vault"],
    "vault/index": BASE + ["vault", "vault/format", "vault/store"],
    "vault/lifecycle": BASE + ["vault", "vault/format", "vault/store"],
    "vault/engine": BASE + ["vault", "vault/format", "vault/seal", "vault/store", "vault/index",
                            "vault/lifecycle"],
    "vault/client": BASE + VAULT,
    "backup-agent/chunk": BASE,
    "backup-agent/scan": BASE + VAULT_FRONT,
    "backup-agent/mount": BASE + VAULT_FRONT,
    "backup-agent/restore": BASE + VAULT_FRONT + ["backup-agent/scan"],
    "backup-agent/upload": BASE + VAULT_FRONT + ["backup-agent/scan", "backup-agent/chunk"],
    "tools/holdfast": BASE + VAULT + AGENT,
    "tools/format-vectors": BASE + VAULT,
    "tools/benchmark": BASE + VAULT,
}
# Compiled in other build directories than the tests'.
BUILT_ELSEWHERE = {"tests/fuzz/libfuzzer.cc": "tools/fuzz"}


def git_list(*options):
    result = subprocess.run(["git", "-c", "safe.directory=*", "ls-files", "-z", *options],
                            cwd=ROOT, capture_output=True)
    return result.stdout.decode().split("\0")[:-1] if result.returncode == 0 else None


def walked():
    """For a tree without git: everything but build directories."""
    for folder, folders, names in os.walk(ROOT):
        inside = os.path.relpath(folder, ROOT)
        folders[:] = [f for f in folders if f not in (".git", ".cache", "__pycache__") and
                      not (inside == "." and f.startswith("build"))]
        yield from (os.path.normpath(os.path.join(inside, name)) for name in names)


def present(names):
    return sorted(n for n in set(names) if os.path.isfile(os.path.join(ROOT, n)))


TRACKED = git_list()
if TRACKED is not None:
    FILES = present(git_list("--cached", "--others", "--exclude-standard"))
else:
    FILES = present(walked())
HEADERS = [f for f in FILES if f.endswith(".h")]
SOURCES = [f for f in FILES if f.endswith(".cc")]


def read_bytes(path):
    with open(os.path.join(ROOT, path), "rb") as file:
        return file.read()


def read(path):
    return read_bytes(path).decode("utf-8", "replace")


def compile_commands():
    try:
        with open(os.path.join(BUILD, "compile_commands.json")) as file:
            return json.load(file)
    except OSError as error:
        raise AssertionError(f"{error}: build first (tools/test), or set HOLDFAST_BUILD")


def in_parallel(function, arguments):
    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        return [found for found in pool.map(function, arguments) if found]


# What is blanked before C++ is searched for scopes: comments, literals, preprocessor lines.
NOT_CODE = re.compile(r'//[^\n]*|/\*.*?\*/|R"(\w*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"'
                      r"|(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])+'|^[ \t]*#(?:\\\n|[^\n])*", re.S | re.M)
COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.S)
CLASS = re.compile(r"\b(?:class|struct|union)\s+(?:\[\[[^\]]*\]\]\s*)?(?:alignas\([^)]*\)\s*)?"
                   r"([\w:]+(?:<.*>)?)\s*(?:final\s*)?(?::(?!:).*)?$", re.S)
NAMESPACE = re.compile(r"\bnamespace\s*([\w:]*)\s*$")


def classes_of(text):
    """Yields the full name of each class that `text` defines outside functions and unnamed
    namespaces."""
    scopes, head_from = [], 0  # a scope is its name, or None where a name has no linkage
    text = NOT_CODE.sub(" ", text)
    for match in re.finditer("[{};]", text):
        head, head_from = text[head_from:match.start()], match.end()
        if match[0] == "}" and scopes:
            scopes.pop()
        if match[0] != "{":
            continue
        namespace, class_ = NAMESPACE.search(head), CLASS.search(head)
        if namespace:
            scopes.append(namespace[1] or None)
            continue
        # In `template <class T> void f() {` the words in angle brackets define nothing.
        is_class = class_ and not head.rstrip().endswith(")")
        if is_class and None not in scopes:
            yield "::".join(scopes + [class_[1]])
        scopes.append(class_[1] if is_class else None)


def headings(markdown):
    """The anchors that a page offers, as forges derive them from headings."""
    found = set()
    for line in re.sub(r"^```.*?^```", "", markdown, flags=re.S | re.M).splitlines():
        if re.match("#+ ", line):
            words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", line.lstrip("# ")).lower()
            found.add(re.sub(r"[^\w\- ]", "", words).strip().replace(" ", "-"))
    return found


class Layout(unittest.TestCase):
    maxDiff = None

    def none(self, found, advice):
        self.assertFalse(found, advice + ":\n  " + "\n  ".join(found))

    def test_includes_follow_the_arrows(self):
        wrong = []
        for path in HEADERS + SOURCES:
            folder = os.path.dirname(path)
            if folder.startswith("tests"):
                continue  # tests may use everything
            self.assertIn(folder, ARROWS, f"{path}: add its folder and arrows to {__file__}")
            for included in re.findall(r'^\s*#\s*include\s+"([^"]+)"', read(path), re.M):
                target = os.path.dirname(included)
                if not os.path.isfile(os.path.join(ROOT, included)):
                    wrong.append(f'{path}: "{included}" is not a path from the root of the tree')
                elif target != folder and target not in ARROWS[folder]:
                    wrong.append(f"{path}: {folder} may not include {included}")
        self.none(wrong, "Includes against the arrows base <- vault <- backup-agent <- tools (all of"
                         " them: ARROWS). Move the code down to where both may use it, or pass it in")

    def test_the_arrows_have_no_circle(self):
        done, todo = set(), dict(ARROWS)
        while todo:
            free = [f for f, uses in todo.items() if done.issuperset(set(uses) - {f})]
            self.assertTrue(free, f"ARROWS go round in a circle among {sorted(todo)}")
            done.update(free)
            for folder in free:
                del todo[folder]

    def test_every_source_is_compiled(self):
        compiled = {os.path.realpath(os.path.join(c["directory"], c["file"]))
                    for c in compile_commands()}
        missing = [s for s in SOURCES if s not in BUILT_ELSEWHERE and
                   os.path.realpath(os.path.join(ROOT, s)) not in compiled]
        self.none(missing, "No target compiles these: put them where a glob of CMake finds them,"
                           " delete them, or run ninja if they are newer than the build")

    def test_every_header_compiles_alone(self):
        # A header that is the first thing in its .cc is compiled alone by the build.
        proven = set()
        for source in SOURCES:
            first = re.search(r'^\s*#\s*(\w+)\s+"?([^"\n]*)', COMMENT.sub("", read(source)), re.M)
            if first and first[1] == "include" and source not in BUILT_ELSEWHERE:
                proven.add(first[2])
        flags = set()
        for command in compile_commands():
            words = shlex.split(command["command"])
            flags.update(w for w in words if re.match("-[DI]", w))
            flags.update("-isystem" + b for a, b in zip(words, words[1:]) if a == "-isystem")

        def compile_one(header):
            result = subprocess.run(["g++", "-fsyntax-only", "-std=c++20", "-I" + ROOT,
                                     *sorted(flags), "-x", "c++", "-"], cwd=ROOT, text=True,
                                    input=f'#include "{header}"\n', capture_output=True)
            return result.returncode and header + ":\n" + result.stderr[:600]

        self.none(in_parallel(compile_one, [h for h in HEADERS if h not in proven]),
                  "Headers that do not compile alone: include or declare what they use")

    def test_no_class_has_two_definitions(self):
        where = {}
        for path in HEADERS + SOURCES:
            for name in classes_of(read(path)):
                where.setdefault(name, []).append(path)
        self.none([f"{name}: {', '.join(paths)}" for name, paths in sorted(where.items())
                   if len(paths) > 1],
                  "One name for two classes; the linker merges their functions and says nothing."
                  " Rename one, or put what a .cc alone uses into an unnamed namespace")

    def test_sources_are_not_too_long(self):
        long = [f"{path}: {lines} lines" for path in FILES
                if path.endswith((".cc", ".h", ".py", ".cmake")) or path.startswith("tools/")
                if (lines := read_bytes(path).count(b"\n")) > SOURCE_LINES_MAX]
        self.none(long, f"More than {SOURCE_LINES_MAX} lines: divide by subject (400 read well)")

    def test_clang_format_is_content(self):
        def check(paths):
            try:
                result = subprocess.run(["clang-format-14", "--dry-run", "--Werror", *paths],
                                        cwd=ROOT, capture_output=True, text=True)
            except FileNotFoundError:
                return "clang-format-14 is missing: run tools/setup test"
            # Two lines of three show the place with a caret.
            return "\n  ".join(li for li in result.stderr.splitlines() if "error:" in li)[:2000]

        paths = HEADERS + SOURCES
        self.none(in_parallel(check, [paths[i::8] for i in range(8)]),
                  "Run clang-format-14 -i on these files")

    def test_no_file_is_large(self):
        self.none([f"{f}: {size} bytes" for f in FILES
                   if (size := os.path.getsize(os.path.join(ROOT, f))) > FILE_BYTES_MAX],
                  f"More than {FILE_BYTES_MAX} bytes: generate it in the test instead")

    def test_no_build_output_is_tracked(self):
        if TRACKED is None:
            self.skipTest("not a git checkout")
        output = re.compile(r"(^|/)(build[^/]*|CMakeFiles|__pycache__|\.cache|Testing)/"
                            r"|\.(o|a|so|pyc|ninja|gch|log|profraw)$"
                            r"|(^|/)(CMakeCache\.txt|compile_commands\.json|core)$")
        self.none([f for f in present(TRACKED)
                   if output.search(f) or read_bytes(f).startswith((b"\x7fELF", b"!<arch>\n"))],
                  "Made by a build: git rm --cached, and add to .gitignore")

    def test_links_between_pages_resolve(self):
        broken = []
        for page in (f for f in FILES if f.endswith(".md")):
            text = re.sub(r"^```.*?^```|`[^`\n]+`", "", read(page), flags=re.S | re.M)
            links = re.findall(r"\]\(\s*<?([^)\s>]+)", text)
            links += re.findall(r"^\s*\[[^\]]+\]:\s*(\S+)", text, re.M)
            for link in links:
                if re.match(r"[a-z]+:", link):
                    continue
                path, _, anchor = link.partition("#")
                target = os.path.normpath(os.path.join(os.path.dirname(page), path)) if path else page
                if not os.path.exists(os.path.join(ROOT, target)):
                    broken.append(f"{page}: {link}")
                elif anchor and target.endswith(".md") and anchor not in headings(read(target)):
                    broken.append(f"{page}: {link} (no such heading)")
        self.none(broken, "Links that lead nowhere: correct the path, or name what replaced it")

    def test_the_readme_names_the_first_commands(self):
        text = read("README.md")
        self.none([c for c in ("tools/quickstart", "tools/test") if c not in text],
                  "README.md must show a newcomer these commands")
        self.none([c for c in ("tools/quickstart", "tools/test")
                   if not os.access(os.path.join(ROOT, c), os.X_OK)],
                  "README.md promises these commands: they must exist and be executable")

    def test_no_machine_paths_and_no_unfinished_work(self):
        # Written so that this file does not contain what it looks for.
        machine = re.compile(rb"(?<![\w.)}$])/(?:" + b"|".join([b"work/", b"root/", b"farm"]) + rb")")
        unfinished = re.compile(rb"\b(?:" + b"|".join([b"TO" b"DO", b"FIX" b"ME", b"X" b"XX"]) +
                                rb")\b")
        found = []
        for path in FILES:
            for number, line in enumerate(read_bytes(path).splitlines(), 1):
                if machine.search(line) or unfinished.search(line):
                    found.append(f"{path}:{number}: {line[:100].decode('utf-8', 'replace')}")
        self.none(found, "A path of one machine, or a note of unfinished work: use a relative path or"
                         " a temporary directory; do the work, or say in a page what is missing")


if __name__ == "__main__":
    unittest.main()
