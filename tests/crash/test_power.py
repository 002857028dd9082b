# SPDX-License-Identifier: MIT
"""Power cuts: a run is recorded, and for each moment of it all states of the disk are made that a
cut at that moment may leave. In each of them no message with a positive answer is missing, and the
programs go on from there to exactly one of each. power.py says which rules are assumed.
"""
import copy
import re
import shutil

import pytest

from crash import STEM, Sink, Snapshot, Walk, check_store, deliver_all, receive, resend
from power import Disk, build
from test_kill import (CONVERTED, FORWARD_SCENES, IDS, NO_ATTRIBUTES, OTHER, PLAIN, Delivery, Scene,
                       is_first_byte)

EVERYTHING = ("-e", "trace=all")


class State:
    """What a power cut left, and what was sent and answered by then."""

    def __init__(self, call, names, disk):
        self.call = call        # the last one before it
        self.names = names
        self.answers = dict(disk.answers)
        self.sent = list(disk.sent)

    def __repr__(self):
        return f"behind {self.call}, with {sorted('/'.join(n[0]) for n in self.names)}"

    def key(self):
        """The same for states of several recordings that differ in times and ids only."""
        stems = {}
        text = re.sub(STEM, lambda m: stems.setdefault(m[0], f"stem {len(stems)}"),
                      repr(self.names))
        return (re.sub(r"\d{14}[+-]\d{4}|\|[0-9A-Z]{20}\|", "", text),
                tuple(sorted(self.answers.items())))

    def build(self, place):
        folder = place.folder()
        build(self.names, folder)
        return folder


class Recording:
    """Runs one after another that began with the same store."""

    def __init__(self, folder):
        self.disk = Disk(folder / "store")
        self.traces = []
        self.answers = {}       # {control id: (code, bytes)}

    def add(self, done):
        self.traces.append(done.trace)
        self.answers.update(done.answers)

    def states(self, in_order):
        """All different ones."""
        disk, seen = copy.deepcopy(self.disk), {}

        def note(call):
            for names in disk.states(in_order):
                key = (names, tuple(sorted(disk.answers.items())), tuple(disk.sent))
                if key not in seen:
                    seen[key] = State(call, names, disk)

        note("nothing")
        for trace in self.traces:
            for call in disk.run(trace):
                note(call)
        return list(seen.values())


# --- the receiver ---------------------------------------------------------------------------------

def judge_in_order(s, state, answers):
    """As after a kill."""
    folder = state.build(s.place)
    return s.judge(folder, {i: answers[i] for i in state.answers}, deliver=True)


def is_known(received, stem):
    """Whether a resend finds the message, by its key."""
    inode = (received / f"{stem}.hl7").stat().st_ino
    return any(k.stat().st_ino == inode for k in received.glob(".k*"))


def forgotten(s, folder):
    """Messages that are there without the name by which a resend would find them."""
    snapshot = Snapshot(folder / "store")
    return {m.id for m in s.messages for stem in snapshot.stems_of(m)
            if not is_known(folder / "store" / "received", stem)}


def judge_any_order(s, state, _answers, walk):
    """What was not acknowledged may be stored again if its key was lost. Nothing else may be."""
    folder = state.build(s.place)
    accepted = set(s.before) | set(state.answers)
    problems = check_store(folder / "store", s.messages, accepted, ask=False)
    lost = forgotten(s, folder)
    if lost & accepted:
        problems.append(f"{lost & accepted} would be stored twice")
    again = resend(s.place, folder, s.messages)
    snapshot = Snapshot(folder / "store")
    for m in s.messages:
        if again.get(m.id, ("",))[0] != "AA":
            problems.append(f"{m} is not taken when it is sent again")
        if len(snapshot.stems_of(m)) != 1 + (m.id in lost):
            problems.append(f"{m} is stored {len(snapshot.stems_of(m))} times")
    walk.note("in which a message was stored again", bool(lost))
    if not lost:
        problems += check_store(folder / "store", s.messages, set(), complete=True, ask=False)
        problems += deliver_all(folder, s.messages)
    if not problems:
        shutil.rmtree(folder)
    return problems


def walk_states(name, s, recordings, at_least):
    for in_order in (True, False):
        walk = Walk(f"power, hl7-receive, {name}, " + ("in order" if in_order else "in any order"))
        cases = {}
        for recording in recordings:
            for state in recording.states(in_order):
                cases.setdefault(state.key(), (state, recording.answers))
        cases = list(cases.values())
        if in_order:
            walk.run(cases, lambda case: judge_in_order(s, *case))
        else:
            walk.run(cases, lambda case: judge_any_order(s, *case, walk))
        walk.finish(at_least)


# As in test_kill: messages stored before, messages sent, options, options of strace
SCENES = {
    "the first": ([], [CONVERTED], [], ()),
    "the second": ([OTHER, PLAIN], [CONVERTED], [], ()),
    "two, pipelined": ([PLAIN], [CONVERTED, OTHER], ["--messages=0"], ()),
    "without attributes": ([PLAIN], [CONVERTED], [], NO_ATTRIBUTES),
}


@pytest.mark.parametrize("scene", SCENES, ids=[s.replace(" ", "-") for s in SCENES])
def test_receiver(memory, scene):
    s = Scene(memory, *SCENES[scene])
    folder = s.begin()
    recording = Recording(folder)
    recording.add(receive(memory, folder, s.sent, *s.options, inject=[*s.inject, *EVERYTHING]))
    assert set(recording.answers) == {m.id for m in s.sent}
    walk_states(scene, s, [recording], at_least=10)


def test_receiver_killed_before(memory):
    """A first process was killed; what it did is not on disk yet when the message comes again."""
    s = Scene(memory, [PLAIN], [CONVERTED], [], ())
    points = [p for p in s.run(*EVERYTHING).trace.behind(is_first_byte)
              if p.name in ("linkat", "fsync", "sendto")]
    recordings = []
    for point in points:
        folder = s.begin()
        recordings.append(Recording(folder))
        kill = ("-e", f"inject={point.name}:signal=KILL:when={point.nth}")
        for name, inject in (("first", kill), ("second", ())):
            recordings[-1].add(receive(memory, folder, s.sent, inject=[*EVERYTHING, *inject],
                                       name=name))
    walk_states("killed, and sent again", s, recordings, at_least=50)


# --- the forwarder --------------------------------------------------------------------------------

def judge_delivery(d, state, in_order):
    folder, problems = state.build(d.place), []
    taken = [i for i in IDS if state.answers.get(i) == "AA"]
    snapshot = Snapshot(folder / "store")
    left = d.check(folder / "store", taken, problems, strict=in_order)
    again = [i for i in left if i in taken]
    if again and (again != left[:1] or again != taken[-1:]):
        problems.append(f"{taken} were taken, and {left} still wait")
    # failed by its answer only
    if {k for k in snapshot.failed} - {d.keys[i] for i, c in state.answers.items() if c == "AE"}:
        problems.append(f"failed: {sorted(snapshot.failed)}")
    with Sink(d.codes) as sink:
        status, _ = d.run(folder, sink)
        if status != 0:
            problems.append(f"the next one ended with {status}")
        if list(dict.fromkeys(sink.accepted)) != [i for i in left if i not in d.failing]:
            problems.append(f"the destination took {sink.accepted} of {left}")
    if d.check(folder / "store", IDS, problems, strict=in_order):
        problems.append("some still wait")
    if not problems:
        shutil.rmtree(folder)
    return problems


@pytest.mark.parametrize("scene", ["all taken", "one fails, one later"])
def test_forwarder(memory, scene):
    d = Delivery(memory, **FORWARD_SCENES[scene])
    folder = d.begin()
    recording = Recording(folder)
    with Sink(d.codes) as sink:
        _, trace = d.run(folder, sink, inject=EVERYTHING)
    recording.traces.append(trace)
    for in_order in (True, False):
        walk = Walk(f"power, hl7-forward, {scene}, " + ("in order" if in_order else "in any order"))
        walk.run(recording.states(in_order), lambda state, o=in_order: judge_delivery(d, state, o))
        walk.finish(at_least=20)
