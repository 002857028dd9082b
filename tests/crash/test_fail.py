# SPDX-License-Identifier: MIT
"""Both programs with an error from each of their system calls: once, and from then on.

Whatever fails, a positive answer stands only for what is stored, on disk and queued; a failed fsync
is never tried again on the same descriptor; and what got no positive answer can be sent again, and
then there is exactly one of each.
"""
import shutil
import subprocess

import pytest

import hl7test
from crash import Sink, Walk
from ledger import ForwardLedger, Ledger
from test_kill import (CONVERTED, FORWARD_SCENES, FOUR, IDS, NO_ATTRIBUTES, OTHER, PLAIN, Delivery,
                       Scene, is_first_byte, twice)

# Every call fails with EIO, and with those of these that its manual page has
ERRORS = {
    "openat": ["ENOSPC", "EMFILE", "ENOMEM"],
    "write": ["ENOSPC"],
    "pwrite64": ["ENOSPC"],
    "fsync": ["ENOSPC"],
    "linkat": ["ENOSPC", "ENOMEM"],
    "unlinkat": ["ENOMEM"],
    "mkdirat": ["ENOSPC", "ENOMEM"],
    "renameat2": ["ENOSPC", "ENOMEM"],
    "fsetxattr": ["ENOSPC", "ENOMEM"],
    "fgetxattr": ["ENOMEM"],
    "fstatfs": ["ENOMEM"],
    "newfstatat": ["ENOMEM"],
    "faccessat2": ["ENOMEM"],
    "flock": ["ENOMEM"],
    "mmap": ["ENOMEM"],
    "munmap": ["ENOMEM"],
    "recvfrom": ["ENOMEM"],
    "sendto": ["ENOMEM"],
    "ppoll": ["ENOMEM"],
    "poll": ["ENOMEM"],
    "socket": ["EMFILE", "ENOMEM"],
    "inotify_init1": ["EMFILE", "ENOMEM"],
    "inotify_add_watch": ["ENOSPC", "ENOMEM"],
}

# What cannot fail, and close(2): whatever it says, the kernel has closed the descriptor, but strace
# would leave it open
NEVER = ("exit_group", "getpid", "rt_sigreturn", "close")

# Calls through which the answer goes, or the memory for it comes: without them there may be none
OF_THE_PEER = ("recvfrom", "sendto", "ppoll", "mmap", "brk")

# The calls that a disk fails when it is full, or broken
OF_THE_DISK = {
    "ENOSPC": ("openat", "write", "pwrite64", "fsync", "linkat", "mkdirat",
               "renameat2", "fsetxattr"),
    "EIO": ("openat", "write", "pwrite64", "fsync", "linkat", "mkdirat", "renameat2",
            "fsetxattr", "fgetxattr", "unlinkat", "fstatfs", "newfstatat",
            "faccessat2", "getdents64", "pread64", "utimensat"),
    "EMFILE": ("openat", "socket"),
    "ENOMEM": ("openat", "mmap", "brk", "linkat", "unlinkat", "mkdirat"),
}

# What the ledger reads
TRACED = ("openat,close,write,pwrite64,fsetxattr,fsync,linkat,mkdirat,renameat2,unlinkat,"
          "sendto,recvfrom")


ONCE, FOR_GOOD = "once", "from then on"


class Fault:
    """An error for one call, or for several from a point on."""

    def __init__(self, text, *injections):
        self.text = text
        self.injections = injections

    def __repr__(self):
        return self.text

    @property
    def names(self):
        return sorted({name for name, _ in self.injections})

    def options(self):
        out = ["-e", "trace=" + ",".join([TRACED, *self.names])]
        for name, what in self.injections:
            out += ["-e", f"inject={name}:{what}"]
        return out


def error_of(name, error):
    # the kernel says that brk(2) failed by telling the old end
    return "retval=0" if name == "brk" else f"error={error}"


def faults_at(points, modes=(ONCE, FOR_GOOD)):
    for point in points:
        if point.name in NEVER:
            continue
        for error in ["ENOMEM"] if point.name == "brk" else ["EIO", *ERRORS.get(point.name, [])]:
            for mode in modes:
                when = f"{point.nth}+" if mode == FOR_GOOD else point.nth
                yield Fault(f"{point}: {error} {mode}",
                            (point.name, f"{error_of(point.name, error)}:when={when}"))


def faults_of_the_disk(calls, points, without=()):
    """From each point on, all calls of a kind."""
    for error, all_names in OF_THE_DISK.items():
        names, last = [n for n in all_names if n not in without], None
        for point in points:
            at = calls.index(point)
            counts = {n: sum(c.name == n for c in calls[:at]) for n in names}
            if counts != last and any(c.name in names for c in calls[at:]):
                yield Fault(f"all calls from {point} on: {error}",
                            *((n, f"{error_of(n, error)}:when={counts[n] + 1}+") for n in names))
            last = counts


def judge_run(s, done, fault, walk):
    trace = done.trace
    problems = Ledger(trace, done.folder / "store").problems
    if trace.crashed or done.status < 0:
        problems.append(f"it ended with {done.status}: {trace.text[-200:]}")
    if fault and not trace.injected:
        problems.append("nothing was injected")
    silent = {m.id for m in s.sent} - set(done.answers)
    if fault and silent and not set(fault.names) & set(OF_THE_PEER):
        problems.append(f"{sorted(silent)} got no answer")
    # one whose kept answer cannot be read is answered anew, at another time and with another id
    told = {i: a for i, a in done.answers.items()
            if not (fault and "fgetxattr" in fault.names and i in s.before)}
    walk.note("refused", sum(code not in ("AA", "CA") for code, _ in done.answers.values()))
    walk.note("without an answer", len(silent))
    return problems + s.judge(done.folder, told, deliver=True)


# As in test_kill: messages stored before, messages sent, options, options of strace
SCENES = {
    "converted": ([], [CONVERTED], [], ()),
    "two, pipelined": ([PLAIN], [CONVERTED, OTHER], ["--messages=0"], ()),
    "a duplicate": ([CONVERTED], [CONVERTED], [], ()),
    "without attributes": ([], [CONVERTED], [], NO_ATTRIBUTES),
}


def recorded(s):
    clean = s.run("-e", "trace=all")
    assert clean.status == 0 and clean.accepted == {m.id for m in s.sent}, clean.trace.text[-1000:]
    walk = Walk("")
    assert not judge_run(s, clean, None, walk)
    return clean.trace.calls, clean.trace.behind(is_first_byte)


@pytest.mark.parametrize("kind, scene", [*(("memory", s) for s in SCENES), ("disk", "converted")])
def test_receiver(place_on, kind, scene):
    s = Scene(place_on(kind), *SCENES[scene])
    calls, points = recorded(s)
    walk = Walk(f"fail, hl7-receive, {scene}")
    without = ["fsetxattr", "fgetxattr"] if s.inject else []    # these fail already
    faults = [*faults_at(points), *faults_of_the_disk(calls, points, without)]
    walk.run(faults, lambda fault: judge_run(s, s.run(*fault.options()), fault, walk))
    walk.finish(at_least=80)
    assert walk.notes["refused"] > 10


KILL = "signal=KILL"


# --- one fault after another ----------------------------------------------------------------------

# A commit that has to be taken back: the call that fails first, by what it is for
FIRST = {
    "an entry's link": lambda c: c.name == "linkat" and ".001.hl7" in c.args,
    "a queue's sync": lambda c: c.name == "fsync" and c.args.endswith("/queue/archive>"),
    "the message's link": lambda c: c.name == "linkat" and "Z-" in c.args and ".0" not in
                          c.string(3).decode()[22:] and ".k" not in c.args,
    "the last sync": lambda c: c.name == "fsync" and c.args.endswith("/received>"),
}


@pytest.mark.parametrize("first", FIRST, ids=[f.replace(" ", "-").replace("'", "") for f in FIRST])
def test_receiver_while_it_takes_back(memory, first):
    """After the first fault, a second one, or a kill, at each of the calls behind it."""
    s = Scene(memory, [], [CONVERTED], [], ())
    call = s.run("-e", "trace=all").trace.behind(FIRST[first])[0]
    again = ("-e", f"inject={call.name}:error=EIO:when={call.nth}")
    faulty = s.run("-e", "trace=all", *again)
    assert [code for code, _ in faulty.answers.values()] == ["AR"], faulty.trace.text[-2000:]
    calls = faulty.trace.calls
    points = calls[1 + next(i for i, c in enumerate(calls) if c.injected):]
    walk = Walk(f"fail twice, hl7-receive, {first}")

    def one(case):
        point, what = case
        options = ["-e", f"trace={TRACED},{point.name}", *again,
                   "-e", f"inject={point.name}:{what}:when={point.nth}"]
        done = s.run(*options)
        if what == KILL:
            problems = [] if done.trace.killed else ["it was not killed"]
            return problems + s.judge(done.folder, done.answers, deliver=True)
        return judge_run(s, done, Fault(str(point), (point.name, what)), walk)

    # strace has one injection for a name; the same call failing for good is in the walk above
    points = [p for p in points if p.name != call.name]
    walk.run([(p, "error=EIO") for p in points if p.name not in NEVER] +
             [(p, KILL) for p in points], one)
    walk.finish(at_least=20)


# --- short writes ---------------------------------------------------------------------------------

@pytest.fixture(scope="session")
def short_writes(tmp_path_factory):
    """Options of strace for a program that is told that less was written, as it was: for all of
    its calls, or for those from one to another."""
    cc = next(filter(shutil.which, ("cc", "gcc", "clang")), None)
    if not cc:
        hl7test.missing("there is no C compiler")
    library = tmp_path_factory.mktemp("short") / "shortwrite.so"
    source = hl7test.HERE.parent / "crash" / "shortwrite.c"
    subprocess.run([cc, "-shared", "-fPIC", "-O1", "-o", library, source], check=True)

    def options(first=1, last=None, n_bytes=5):
        out = [f"LD_PRELOAD={library}", f"SHORT_BYTES={n_bytes}", f"SHORT_FROM={first}"]
        out += [f"SHORT_TO={last}"] if last else []
        return [word for text in out for word in ("-E", text)]

    return options


WRITES = ("write", "pwrite64", "sendto")


def test_receiver_short_writes(memory, short_writes):
    """Each write takes a few bytes only, and then the disk is full, or a kill comes."""
    s = Scene(memory, [], [CONVERTED], [], ())
    calls, points = recorded(s)
    n = sum(c.name in WRITES for c in calls)
    walk = Walk("fail, hl7-receive, short writes")

    def one(options):
        done = s.run("-e", f"trace={TRACED}", *options)
        problems = judge_run(s, done, None, walk)
        return problems + [f"{m} was not taken" for m in s.sent if m.id not in done.accepted]

    walk.run([short_writes(at, last) for at in range(1, n + 1) for last in (at, None)], one)

    clean = s.run("-e", "trace=all", *short_writes())
    assert sum(c.name in WRITES for c in clean.trace.calls) > 50
    points = [c for c in clean.trace.behind(is_first_byte) if c.name in WRITES]
    faults = list(faults_at(points, [FOR_GOOD]))
    walk.run(faults, lambda f: judge_run(s, s.run(*short_writes(), *f.options()), f, walk))
    walk.finish(at_least=150)


# --- the forwarder --------------------------------------------------------------------------------

def judge_forward(d, folder, sink, fault, run):
    """After a run with a fault, and one without."""
    status, trace = run
    names = {f"{stem}.{n:03d}.hl7": i for i, (_, stem, n) in d.keys.items()}
    problems = ForwardLedger(trace, folder / "store", names).problems
    if trace.crashed or status < 0:
        problems.append(f"it ended with {status}: {trace.text[-200:]}")
    if fault and not trace.injected:
        problems.append("nothing was injected")
    left = d.check(folder / "store", sink.accepted, problems)
    unheard = [i for i in sink.accepted if i in left]
    status, _ = d.run(folder, sink, name="again")
    if status != 0:
        problems.append(f"the next one ended with {status}")
    d.check_end(folder / "store", sink, problems)
    # only one is on its way at any time
    if len(twice(sink)) > 1 or (twice(sink) and len(sink.accepted) > len(FOUR) + 1):
        problems.append(f"the destination took {sink.accepted}; {unheard} was left")
    if not problems:
        shutil.rmtree(folder)
    return problems


@pytest.mark.parametrize("scene", ["all taken", "one fails, one later"])
def test_forwarder(memory, scene):
    d = Delivery(memory, **FORWARD_SCENES[scene])
    walk = Walk(f"fail, hl7-forward, {scene}")

    def record(*options):
        folder = d.begin()
        with Sink(d.codes) as sink:
            _, trace = d.run(folder, sink, *options, inject=("-e", "trace=all"))
        return trace.calls, trace.behind(lambda c: str(folder / "store") in c.args and
                                         c.name != "execve")

    def one(case):
        fault, options = case
        folder, sink, run = d.reach(lambda trace: trace.injected, *options, inject=fault.options())
        with sink:
            problems = judge_forward(d, folder, sink, fault, run)
            walk.note("delivered twice", len(twice(sink)))
        walk.note(f"ended with {run[0]}")
        return problems

    _, points = record()
    walk.run([(fault, ()) for fault in faults_at(points, [ONCE])], one)
    # what fails for good is tried again for ever, but for --once
    calls, points = record("--once")
    faults = [*faults_at(points, [FOR_GOOD]), *faults_of_the_disk(calls, points)]
    walk.run([(fault, ("--once",)) for fault in faults], one)
    walk.finish(at_least=200)


def test_forwarder_cannot_remove(memory):
    """What was delivered and cannot be removed is not sent again as long as this process lives;
    when it can be removed, it goes on."""
    d = Delivery(memory)
    walk = Walk("fail, hl7-forward, removals")
    with Sink() as sink:
        trace = d.run(d.begin(), sink, inject=("-e", "trace=all"))[1]
    sync = trace.behind(lambda c: c.name == "unlinkat")[1]
    assert sync.name == "fsync"
    for name, when, expected in (("unlinkat", "1+", IDS[:1]), ("unlinkat", "1..20", IDS),
                                 ("fsync", f"{sync.nth}+", IDS)):
        folder = d.begin()
        inject = ["-e", f"trace={TRACED}", "-e", f"inject={name}:error=EIO:when={when}"]
        with Sink() as sink:
            run = d.run(folder, sink, inject=inject, wrapper=("timeout", "2"))
            assert sink.accepted == expected, run[1].text[-1000:]
            assert run[1].text.count("(INJECTED)") >= len(expected)
            problems = judge_forward(d, folder, sink, None, run)
            assert not problems, problems
        walk.runs += 1
    walk.finish(at_least=3)
