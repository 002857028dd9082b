# SPDX-License-Identifier: MIT
"""Both programs killed right before each of their system calls.

One clean run under strace tells the calls; then there is one run for each of them, from the first
byte of a message (hl7-forward: from the first look at the store) to the exit. After each run the
store is checked, and what has no positive answer is sent again: then there is exactly one of each.
"""
import os
import shutil
import signal
import time

import pytest

from crash import (Message, Reception, Sink, Snapshot, Walk, ask_queue_check, check_store,
                   copy_store, deliver_all, forward, kill_at, receive, resend, stop_behind, strace,
                   wait_for_stop)

# pylint: disable=redefined-outer-name

CONVERTED, OTHER = Message("K1"), Message("K2", words="another finding")
PLAIN = Message("K3", app="ELSEWHERE")

# As on a file system without extended attributes
NO_ATTRIBUTES = ("-e", "inject=fsetxattr,fgetxattr:error=EOPNOTSUPP")

# name: messages stored before, messages sent, options of hl7-receive, options of strace
SCENES = {
    "converted": ([], [CONVERTED], [], ()),
    "not converted": ([], [PLAIN], [], ()),
    "the second": ([OTHER, PLAIN], [CONVERTED], [], ()),
    "a duplicate": ([CONVERTED], [CONVERTED], [], ()),
    "two, pipelined": ([], [CONVERTED, OTHER], ["--messages=0"], ()),
    "a duplicate, and another": ([CONVERTED], [CONVERTED, PLAIN], ["--messages=0"], ()),
    "without attributes": ([], [CONVERTED], [], NO_ATTRIBUTES),
}


def is_first_byte(call):
    return call.name == "recvfrom" and call.ok and call.result > 0


def unique(*lists):
    return list({m.id: m for messages in lists for m in messages}.values())


class Scene:
    """A run of the receiver that can be repeated from the same beginning."""

    def __init__(self, place, before, sent, options, inject):
        self.place, self.sent, self.options, self.inject = place, sent, options, inject
        self.messages = unique(before, sent)
        self.store = place.folder() / "store"
        self.before = resend(place, self.store.parent, before)

    def begin(self):
        folder = self.place.folder()
        if self.store.exists():
            copy_store(self.store, folder / "store")
        return folder

    def run(self, *inject):
        return receive(self.place, self.begin(), self.sent, *self.options,
                       inject=[*self.inject, *inject])

    def recover(self, folder, answers):
        """Sends all again. What was acknowledged must be told the same."""
        again = resend(self.place, folder, self.messages)
        problems = [f"{m} is answered {again.get(m.id, ('not', b''))[0]} when it is sent again"
                    for m in self.messages if again.get(m.id, ("", b""))[0] != "AA"]
        problems += [f"{m} is answered in another way when it is sent again"
                     for m in self.messages
                     if answers.get(m.id, ("",))[0] == "AA" and again.get(m.id) != answers[m.id]]
        return problems + check_store(folder / "store", self.messages, set(), complete=True)

    def judge(self, folder, answers, deliver):
        """`answers`: what the sender got, and must be able to rely on."""
        answers = {**self.before, **answers}
        accepted = {i for i, (code, _) in answers.items() if code == "AA"}
        problems = check_store(folder / "store", self.messages, accepted)
        problems += self.recover(folder, answers)
        if deliver:
            problems += deliver_all(folder, self.messages)
        if not problems:
            shutil.rmtree(folder)
        return problems


@pytest.mark.parametrize("scene", SCENES, ids=[s.replace(" ", "-") for s in SCENES])
def test_receiver(place, scene):
    s = Scene(place, *SCENES[scene])
    clean = s.run()
    assert clean.status == 0 and clean.accepted == {m.id for m in s.sent}, clean.trace.text
    points = clean.trace.behind(is_first_byte)
    walk = Walk(f"kill, hl7-receive, {scene}")

    def one(point):
        done = s.run(*kill_at(point, "fsetxattr", "fgetxattr"))
        if not done.trace.killed:
            return [f"it was not killed: {done.trace.text[-200:]}"]
        walk.note("answered all the same", len(done.answers))
        return s.judge(done.folder, done.answers, deliver=True)

    assert not s.judge(clean.folder, clean.answers, deliver=True)
    walk.run(points, one)
    walk.finish(at_least=25)


def test_receiver_from_its_start(place):
    """The first message of a store that is not there yet: also what comes before the first byte."""
    s = Scene(place, [], [CONVERTED], [], ())
    points = s.run().trace.behind(lambda c: c.name == "mkdirat")
    points = points[:[is_first_byte(c) for c in points].index(True)]
    walk = Walk("kill, hl7-receive, its start")

    def one(point):
        done = s.run(*kill_at(point))
        if not done.trace.killed or done.answers:
            return ["it was not killed"]
        return s.judge(done.folder, done.answers, deliver=True)

    walk.run(points, one)
    walk.finish(at_least=25)


# --- two at once ----------------------------------------------------------------------------------

def started(s, folder, name, *inject):
    trace = folder / f"{name}.trace"
    return Reception(s.place, folder, s.sent, wrapper=strace(trace, *inject) if inject else (),
                     name=name)


def wait_for(condition, process, seconds):
    """True as soon as it holds, False when the process ended or the time is over."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.popen.poll() is None:
        if condition():
            return True
        time.sleep(0.001)
    return condition()


def test_another_waits_for_the_one_that_is_killed(place):
    """The same message on two connections. The first stops behind each of its calls in turn, the
    second has to wait for it or not, and the first is killed then."""
    s = Scene(place, [], [CONVERTED], [], ())
    points = [p for p in s.run().trace.behind(is_first_byte) if p.name != "exit_group"]
    walk = Walk("kill, two hl7-receive, the first")

    def one(point):
        folder = s.begin()
        first = started(s, folder, "first", *stop_behind(point))
        pid = wait_for_stop(first.trace_path, first.connection)
        if not pid:
            return ["it did not stop"]
        second = started(s, folder, "second")
        wait_for(lambda: False, second.connection, 0.05)
        if second.connection.popen.poll() is None:
            walk.note("waited for the first")
        os.kill(pid, signal.SIGKILL)
        first.finish()
        second.finish()
        if second.accepted != {CONVERTED.id}:
            return [f"the second was answered {second.answers}: {second.connection.log_text}"]
        if first.answers and first.answers != second.answers:
            return [f"the answers differ: {first.answers}, {second.answers}"]
        return s.judge(folder, second.answers, deliver=True)

    walk.run(points, one)
    walk.finish(at_least=50)
    assert walk.notes["waited for the first"] > 10


def n_pauses(path):
    return path.read_text("latin-1").count("clock_nanosleep(") if path.exists() else 0


def test_one_that_waits_for_another_is_killed(place):
    """The first has claimed the message; the second is killed at each of its calls before, while
    and after it waits."""
    s = Scene(place, [], [CONVERTED], [], ())
    claim = s.run().trace.behind(lambda c: c.name == "linkat")[0]
    walk = Walk("kill, two hl7-receive, the second")

    def both(folder, *inject):
        first = started(s, folder, "first", *stop_behind(claim))
        pid = wait_for_stop(first.trace_path, first.connection)
        second = started(s, folder, "second", *inject)
        waits = wait_for(lambda: n_pauses(second.trace_path) >= 2, second.connection, 10)
        os.kill(pid, signal.SIGCONT)
        return first.finish(), second.finish(), waits

    first, second, waits = both(s.begin(), "-e", "trace=all")
    assert waits and first.accepted == second.accepted == {CONVERTED.id}
    assert first.answers == second.answers
    # how often it asks for the lock is another number each time
    points = [p for p in second.trace.behind(is_first_byte)
              if p.name not in ("flock", "clock_nanosleep") or p.nth <= 2]

    def one(point):
        folder = s.begin()
        first, second, _ = both(folder, *kill_at(point, "clock_nanosleep"))
        if not second.trace.killed:
            return ["it was not killed"]
        if first.accepted != {CONVERTED.id}:
            return [f"the first was answered {first.answers}: {first.connection.log_text}"]
        if second.answers and first.answers != second.answers:
            return [f"the answers differ: {first.answers}, {second.answers}"]
        return s.judge(folder, first.answers, deliver=False)

    walk.run(points, one)
    walk.finish(at_least=30)


# --- the forwarder --------------------------------------------------------------------------------

FOUR = [Message(f"F{n}", words=f"finding {n}") for n in range(1, 5)]
IDS = [m.id for m in FOUR]


class Delivery:
    """A queue of four messages, and runs of hl7-forward that begin with it."""

    DESTINATION = "archive"    # gets each message once

    def __init__(self, place, codes=None, options=(), failing=()):
        self.place, self.codes, self.options, self.failing = place, codes, options, failing
        self.store = place.folder() / "store"
        resend(place, self.store.parent, FOUR)
        snapshot = Snapshot(self.store)
        stems = {m.id: snapshot.stems_of(m)[0] for m in FOUR}
        self.keys = {m.id: (self.DESTINATION, stems[m.id], 2) for m in FOUR}
        self.others = {k: v for k, v in snapshot.waiting.items() if k[0] != self.DESTINATION}

    def begin(self):
        folder = self.place.folder()
        copy_store(self.store, folder / "store")
        return folder

    def run(self, folder, sink, *more, **how):
        return forward(folder, self.DESTINATION, sink.port, *self.options, *more, **how)

    def reach(self, is_reached, *options, inject):
        """A run in which the injection took place: how often it asks whether a pause is over
        depends on the time that it has. Folder, sink, and what forward() returns."""
        for attempt in range(5):
            folder, sink = self.begin(), Sink(self.codes)
            run = self.run(folder, sink, *options, inject=inject)
            if is_reached(run[1]) or attempt == 4:
                break
            sink.stop()
        return folder, sink, run

    def waiting(self, snapshot):
        return [i for i in IDS if self.keys[i] in snapshot.waiting]

    def check(self, path, accepted, problems, strict=True):
        """Nothing is lost, and nothing that a positive answer or a reason does not explain is gone;
        the ids that wait."""
        snapshot = Snapshot(path)
        problems += snapshot.problems + (ask_queue_check(path) if strict else [])
        for m in FOUR:
            places = [found[self.keys[m.id]] for found in (snapshot.waiting, snapshot.failed)
                      if self.keys[m.id] in found]
            if any(data != m.payload for data in places) or len(places) > 1:
                problems.append(f"{m} is there {len(places)} times, or not as it was")
            if not places and m.id not in accepted:
                problems.append(f"{m} is lost: nobody took it")
        for key in snapshot.failed:
            if strict and b"answer: AE" not in snapshot.reasons.get(key, b""):
                problems.append(f"failed/ has {key} without its reason")
        if {k: v for k, v in snapshot.waiting.items() if k[0] != self.DESTINATION} != self.others:
            problems.append("the other queue has changed")
        return self.waiting(snapshot)

    def check_end(self, path, sink, problems):
        """All that can be delivered was, in order."""
        left = self.check(path, sink.accepted, problems)
        if left:
            problems.append(f"still waiting: {left}")
        first = list(dict.fromkeys(sink.accepted))
        if first != [i for i in IDS if i not in self.failing]:
            problems.append(f"the destination took {sink.accepted}")
        snapshot = Snapshot(path)
        if sorted(k for k in snapshot.failed) != sorted(self.keys[i] for i in self.failing):
            problems.append(f"failed: {sorted(snapshot.failed)}")
        for i, payload, _ in sink.tries:
            if payload != FOUR[IDS.index(i)].payload:
                problems.append(f"{i} was sent with other bytes")


def twice(sink):
    return sorted({i for i in sink.accepted if sink.accepted.count(i) > 1})


FORWARD_SCENES = {
    "all taken": {},
    # the second is refused for good, the third at first
    "one fails, one later": {"codes": {"F2": ["AE"], "F3": ["AR", "AA"]},
                             "options": ("--on-error=fail:1", "--retry-min=20ms",
                                         "--retry-max=20ms"), "failing": ("F2",)},
    "a connection each": {"options": ("--per-connection=1",)},
}


@pytest.mark.parametrize("kind, scene", [*(("memory", s) for s in FORWARD_SCENES),
                                         ("disk", "one fails, one later")])
def test_forwarder(place_on, kind, scene):
    d = Delivery(place_on(kind), **FORWARD_SCENES[scene])
    walk = Walk(f"kill, hl7-forward, {scene}")
    folder = d.begin()
    with Sink(d.codes) as sink:
        status, trace = d.run(folder, sink, inject=("-e", "trace=all"))
        problems = []
        d.check_end(folder / "store", sink, problems)
        assert status == 0 and not problems and not twice(sink), problems
    points = trace.behind(lambda c: str(folder / "store") in c.args and c.name != "execve")

    def one(point):
        problems = []
        folder, sink, (_, trace) = d.reach(lambda trace: trace.killed, inject=kill_at(point))
        with sink:
            if not trace.killed:
                return ["it was not killed"]
            left = d.check(folder / "store", sink.accepted, problems)
            in_flight = [i for i in left if i in sink.accepted]
            if in_flight and (in_flight != left[:1] or in_flight != sink.accepted[-1:]):
                problems.append(f"{in_flight} were taken, and {left} still wait")
            status, _ = d.run(folder, sink, name="again")
            if status != 0:
                problems.append(f"the next one ended with {status}")
            d.check_end(folder / "store", sink, problems)
            if twice(sink) != in_flight:
                problems.append(f"{twice(sink)} delivered twice, {in_flight} was in flight")
            walk.note("delivered twice", len(twice(sink)))
        if not problems:
            shutil.rmtree(folder)
        return problems

    walk.run(points, one)
    walk.finish(at_least=60)
