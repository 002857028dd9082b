#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""layers.py SOURCE: the dependencies between the modules run one way, and pure modules stay pure.

Fails when a module includes what is not below it, when a pure one includes an I/O header or calls what it
may not, when a system call that belongs to one module turns up in another, or when a folder of src/ is not
in the table. First it checks itself on violations made up for it.
"""
import pathlib
import re
import sys

# What each folder of src/ may include, besides itself. A program may include all modules, no other program.
BELOW = {
    "base": set(),
    "mllp": {"base"},
    "hl7": {"base"},
    "template": {"base", "hl7"},
    "ack": {"base", "hl7", "template"},
    "store": {"base"},
    "net": {"base"},
    "journal": {"base"},
    "sandbox": {"base"},
    "cli": {"base"},
    "listen": {"base", "mllp", "hl7", "template", "ack", "net", "journal", "sandbox", "cli"},
}
PROGRAMS = {"receive", "forward", "send", "convert", "show", "queue", "amqp"}

# Files that touch the outside world in modules that otherwise do not; each says so in its first lines.
IMPURE = {"base/cleanup.c", "base/clock.c", "template/load.c", "template/charset.c"}
PURE = {"base", "mllp", "hl7", "template", "ack"}
# And files that do not, in a module that otherwise does; and what else each may include.
PURE_FILES = {"net/proxy.c": set(), "net/proxy.h": set(), "net/allow.c": {"arpa/inet.h"}, "net/allow.h": set()}

# All that a pure module may include of the system: nothing here can reach a descriptor, but for stdio.h,
# of which only the functions that write to memory may be used, and time.h, of which only those that compute.
PURE_HEADERS = {
    "assert.h", "errno.h", "inttypes.h", "limits.h", "stdarg.h", "stdbool.h", "stddef.h", "stdint.h",
    "stdio.h", "stdlib.h", "string.h", "strings.h", "time.h",
}
IMPURE_CALLS = re.compile(
    r"\b(stdin|stdout|stderr)\b|\b(v?printf|v?fprintf|v?dprintf|f?put[cs]|putchar|puts|f?get[cs]|getchar|f?scanf|f(open|close|read|write"
    r"|flush|seek|tell|dopen|reopen)|perror|popen|remove|rename|tmpfile|getenv|secure_getenv"
    r"|setenv|system|v?syslog|exit|_exit|abort|atexit|clock_gettime|gettimeofday|time|localtime(_r)?|mktime"
    r"|tzset|strftime_l|setlocale|rand|random|srand|getline|getdelim)\s*\(")

# What the headers of addresses declare besides.
SOCKET_CALLS = re.compile(
    r"\b(socket|socketpair|bind|listen|accept4?|connect|shutdown|getpeername|getsockname|[gs]etsockopt"
    r"|recv(from|m?msg)?|send(to|m?msg)?)\s*\(")

# Calls and headers that belong to one module, in all of src/.
OWNED_CALLS = {
    re.compile(r"\b(fsync|fdatasync|syncfs|sync|sync_file_range|linkat|link)\s*\("): {"store"},
    re.compile(r"\b(exec[lv]p?e?|execveat|fexecve|posix_spawnp?|system|popen)\s*\("): {"net"},
}
OWNED_HEADERS = {
    re.compile(r"systemd/.*"): {"journal"},
    re.compile(r"amqp.*|rabbitmq-c/.*"): {"amqp"},
}

INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^>"]+)[>"]', re.MULTILINE)
SKIP = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)


def without_comments(text):
    """The text with comments gone; strings stay, as #include needs them."""
    return SKIP.sub(lambda m: " " if m.group().startswith("/") else m.group(), text)


def without_strings(text):
    return SKIP.sub(lambda m: " " if m.group().startswith("/") else '""', text)


def check_file(name, text):
    """The violations of one file, `name` relative to src/."""
    module = name.split("/")[0]
    pure = module in PURE and name not in IMPURE or name in PURE_FILES
    headers = PURE_HEADERS | PURE_FILES.get(name, set())
    if module not in BELOW and module not in PROGRAMS:
        return [f"{name}: the folder is not in the table of modules"]
    allowed = {module} | (BELOW[module] if module in BELOW else set(BELOW))
    wrong = []
    for quote, header in INCLUDE.findall(without_comments(text)):
        if quote == '"':
            if header.split("/")[0] not in allowed or "/" not in header or ".." in header:
                wrong.append(f'{name}: includes "{header}", which is not below it')
            continue
        if pure and header not in headers:
            wrong.append(f"{name}: a pure module includes <{header}>")
        for pattern, owners in OWNED_HEADERS.items():
            if pattern.fullmatch(header) and module not in owners:
                wrong.append(f"{name}: <{header}> is for {', '.join(sorted(owners))} only")
    code = without_strings(text)
    if pure:
        wrong += [f"{name}: a pure module uses {m.group().rstrip(' (')}" for m in IMPURE_CALLS.finditer(code)]
    if name in PURE_FILES:
        wrong += [f"{name}: a pure module uses {m.group(1)}" for m in SOCKET_CALLS.finditer(code)]
    for pattern, owners in OWNED_CALLS.items():
        if module not in owners:
            wrong += [f"{name}: {m.group(1)} is for {', '.join(sorted(owners))} only"
                      for m in pattern.finditer(code)]
    return wrong


# Made-up files, and whether they violate a rule.
SELF_CHECK = [
    ("hl7/x.c", '#include "base/buffer.h"\n#include <stdio.h>\nint n = snprintf(p, 3, "printf(");\n', False),
    ("hl7/x.c", '/* unlike fsync(), printf() or "net/x.h" */\n#include "hl7/y.h"\n', False),
    ("receive/x.c", '#include "ack/ack.h"\n#include "net/inherit.h"\n#include <unistd.h>\n', False),
    ("journal/x.c", "#include <systemd/sd-journal.h>\n", False),
    ("net/x.c", "#include <systemd/sd-daemon.h>\n", True),
    ("store/x.c", "int r = fsync(fd);\n", False),
    ("net/allow.c", "#include <arpa/inet.h>\nint r = inet_pton(AF_INET, s, p);\n", False),
    ("amqp/x.c", '#include "amqp/y.h"\n#include <rabbitmq-c/amqp.h>\n#include <amqp.h>\n', False),
    ("template/load.c", "#include <dirent.h>\n", False),
    ("template/x.c", "time_t t; struct tm tm; gmtime_r(&t, &tm); int lifetime (void);\n", False),
    ("base/x.c", '#include "hl7/message.h"\n', True),
    ("mllp/x.h", '#include "hl7/message.h"\n', True),
    ("hl7/x.c", '#include "mllp/frame.h"\n', True),
    ("hl7/x.c", '# include "template/template.h"\n', True),
    ("template/x.c", '#include "ack/ack.h"\n', True),
    ("store/x.c", '#include "hl7/message.h"\n', True),
    ("net/x.c", '#include "journal/journal.h"\n', True),
    ("receive/x.c", '#include "send/options.h"\n', True),
    ("receive/x.c", '#include "../send/options.h"\n', True),
    ("receive/x.c", '#include "options.h"\n', True),
    ("base/x.c", "#include <unistd.h>\n", True),
    ("mllp/x.c", "#include <sys/socket.h>\n", True),
    ("hl7/x.c", "#include <fcntl.h>\n", True),
    ("template/x.c", "#include <dirent.h>\n", True),
    ("ack/x.c", "#include <poll.h>\n", True),
    ("ack/x.h", "#include <systemd/sd-journal.h>\n", True),
    ("store/x.c", "#include <systemd/sd-journal.h>\n", True),
    ("receive/x.c", "#include <systemd/sd-daemon.h>\n", True),
    ("hl7/x.c", '#include <stdio.h>\nvoid f(void) { printf("x"); }\n', True),
    ("hl7/x.c", '#include <stdio.h>\nvoid f(void) { fputs("x", stderr); }\n', True),
    ("ack/x.c", "usec_t t = time(NULL);\n", True),
    ("template/x.c", 'const char *s = getenv ("HOME");\n', True),
    ("receive/x.c", "int r = fsync(fd);\n", True),
    ("net/x.c", 'int r = linkat(a, "b", c, "d", 0);\n', True),
    ("template/load.c", "int r = fdatasync (fd);\n", True),
    ("receive/x.c", "#include <amqp.h>\n", True),
    ("net/x.c", "#include <rabbitmq-c/tcp_socket.h>\n", True),
    ("receive/x.c", 'int r = execl("/bin/sh", "sh", NULL);\n', True),
    ("send/x.c", "int r = system(command);\n", True),
    ("net/command.c", "int r = execv(path, argv);\n", False),
    ("net/x.c", "#include <sys/socket.h>\n", False),
    ("net/allow.c", "#include <unistd.h>\n", True),
    ("net/allow.c", "int r = getpeername(fd, p, &n);\n", True),
    ("net/allow.c", 'int r = printf("x");\n', True),
    ("hl7/x.c", "#include <arpa/inet.h>\n", True),
    ("net/proxy.c", "#include <sys/socket.h>\n", True),
    ("unknown/x.c", "", True),
]


def self_check():
    for name, text, violates in SELF_CHECK:
        found = check_file(name, text)
        if bool(found) != violates:
            sys.exit(f"layers.py is wrong about {name}: {text!r}: {found or 'nothing found'}")


def main():
    self_check()
    source = pathlib.Path(sys.argv[1])
    files = sorted(p for p in source.rglob("*") if p.suffix in (".c", ".h"))
    wrong = []
    for path in files:
        wrong += check_file(path.relative_to(source).as_posix(), path.read_text())
    seen = {p.relative_to(source).parts[0] for p in files}
    missing = {"base", "mllp", "hl7", "template", "ack", "store", "net", "journal", "receive"} - seen
    if missing:
        wrong.append(f"{source}: no file in {', '.join(sorted(missing))}: is this src/?")
    stale = {name for name in IMPURE | PURE_FILES.keys() if not (source / name).exists()}
    if stale:
        wrong.append(f"listed as impure or pure, but not there: {', '.join(sorted(stale))}")
    print("\n".join(wrong) or f"{len(files)} files keep their layers")
    sys.exit(bool(wrong))


main()
