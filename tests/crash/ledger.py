# SPDX-License-Identifier: MIT
"""What a trace says of the disk: what is there for good, and what was answered when."""
import os
import re

POSITIVE = re.compile(rb"\rMSA\|[AC]A\|([^\r|]*)")
ANSWERED = re.compile(rb"MSA\|([AC][AER])\|([^\r|]*)")



def text_of(call, place):
    """A string argument; empty where there is another thing, as in messages to the kernel."""
    return call.string(place) if call.arguments()[place].startswith('"') else b""


class File:
    """A file without a name yet."""

    def __init__(self):
        self.dirty = False
        self.names = []


class Open:
    """An open descriptor."""

    def __init__(self, path, file=None):
        self.path = path
        self.file = file
        self.sync_failed = False


class Ledger:
    """Reads a trace from its beginning. `problems` are breaches of what the store promises:

    - a name is given only to a file that is on disk
    - a positive answer is sent only when all names given before are on disk too, and the folder of
      received messages was synced since the answer before
    - after an fsync that failed, none is made on the same descriptor
    """

    def __init__(self, trace, store):
        self.store = str(store)
        self.problems = []
        self.open = {}
        self.pending = {}       # {folder: names that are not on disk}
        self.received_synced = False
        self.positive = []      # control ids
        for call in trace.calls:
            handler = getattr(self, f"on_{call.name}", None)
            if handler and (call.ok or call.name == "fsync"):
                handler(call)

    def inside(self, path):
        return path and (path == self.store or path.startswith(self.store + "/"))

    def on_openat(self, call):
        arguments = call.arguments()
        path = re.search(r" = \d+<(.*?)>(?:\(deleted\))?", call.line)
        opened = Open(path.group(1) if path else "")
        if "O_TMPFILE" in arguments[2]:
            opened.file = File()
        self.open[call.result] = opened

    def on_close(self, call):
        self.open.pop(call.fd(), None)

    def on_write(self, call):
        opened = self.open.get(call.fd())
        if opened and opened.file:
            opened.file.dirty = True

    on_pwrite64 = on_fsetxattr = on_write

    def on_fsync(self, call):
        opened = self.open[call.fd()]
        if opened.sync_failed:
            self.problems.append(f"fsync again after it failed on the same descriptor: {call}")
        if not call.ok:
            opened.sync_failed = True
        elif opened.file:
            opened.file.dirty = False
        else:
            self.pending.pop(opened.path, None)
            self.received_synced |= opened.path == self.store + "/received"

    def name(self, folder, name):
        if self.inside(folder) or self.inside(os.path.join(folder, name)):
            self.pending.setdefault(folder, set()).add(name)

    def on_linkat(self, call):
        number = re.search(r'"/proc/self/fd/(\d+)"', call.args)
        file = self.open[int(number.group(1))].file
        if file and file.dirty:
            self.problems.append(f"a name for what is not on disk: {call}")
        self.name(call.path(2), call.string(3).decode())

    def on_mkdirat(self, call):
        path = os.path.join(call.path(0) or "", call.string(1).decode())
        self.name(*os.path.split(path))

    def on_renameat2(self, call):
        self.forget(call.path(0), call.string(1).decode())
        self.name(call.path(2), call.string(3).decode())

    def forget(self, folder, name):
        self.pending.get(folder, set()).discard(name)

    def on_unlinkat(self, call):
        self.forget(call.path(0), call.string(1).decode())

    def on_sendto(self, call):
        ids = [i.decode() for i in POSITIVE.findall(text_of(call, 1))]
        if not ids:
            return
        self.positive += ids
        waiting = {f: n for f, n in self.pending.items() if n}
        if waiting:
            self.problems.append(f"{ids} answered while these are not on disk: {waiting}")
        if not self.received_synced:
            self.problems.append(f"{ids} answered without a sync of received/")
        self.received_synced = False


class ForwardLedger(Ledger):
    """The same for hl7-forward. `names` are the control ids of the entries' files.

    - a message leaves the queue only after its answer: a positive one, or an AE to failed/
    - what was answered positively is not sent again, whatever becomes of its removal
    """

    def __init__(self, trace, store, names):
        self.names = names
        self.answers = {}       # {control id: code of the last answer}
        super().__init__(trace, store)

    def on_recvfrom(self, call):
        for code, control_id in ANSWERED.findall(text_of(call, 1)):
            self.answers[control_id.decode()] = code.decode()

    def on_sendto(self, call):
        for control_id in re.findall(rb"\x0bMSH(?:\|[^|\r]*){8}\|([^|\r]*)",
                                     text_of(call, 1)):
            if self.answers.get(control_id.decode()) == "AA":
                self.problems.append(f"{control_id.decode()} is sent again after its answer")

    def leaves(self, call, name, codes):
        control_id = self.names.get(name)
        if control_id and self.answers.get(control_id) not in codes:
            self.problems.append(f"{control_id} leaves the queue without an answer: {call}")

    def on_unlinkat(self, call):
        if "/queue/" in (call.path(0) or ""):
            self.leaves(call, call.string(1).decode(), ("AA",))
        super().on_unlinkat(call)

    def on_renameat2(self, call):
        self.leaves(call, call.string(1).decode(), ("AE",))
        super().on_renameat2(call)
