# SPDX-License-Identifier: MIT
"""A model of a disk: what a trace did to it, and what of that a power cut may leave.

What is assumed:

1. fsync(2) of a file: its bytes, its length and its extended attributes are there. Its name need
   not be ("does not necessarily ensure that the entry in the directory containing the file has
   also reached disk", fsync(2)).
2. fsync(2) of a directory: all changes made to its names before are there.
3. Without it a change of a name may or may not be there, each directory for itself:
   - as the file systems document it: of one directory, those that are there are the first ones.
     ext4 puts changes of names into transactions of its journal and replays these in their order
     and as a whole (Documentation/filesystems/ext4/journal.rst: "guaranteeing the atomicity of
     whatever gets written through the journal"); xfs logs each change of names as an atomic
     transaction and recovers these in the order of the log (xfs-delayed-logging-design.rst); btrfs
     commits all that was changed since the last commit as one, and fsync of a directory logs what
     that one holds. All of them keep one order for the whole file system; less is assumed here:
     directories that do not know of each other.
   - as POSIX leaves it: any of them, in any combination.
4. rename(2) is one change, also from one directory to another: it is there in both, or in neither
   (ext4, xfs: one transaction; btrfs: "if we crash, the inode is either at the old name or the new
   one", fs/btrfs/inode.c). POSIX promises it while the machine runs only; no store could move a
   message without it.
5. The bytes of a file that was not synced may be missing, all or in part, or be zeros, be its name
   there or not (ext4 data=ordered: "file data blocks are not guaranteed to be in any consistent
   state").
6. A disk keeps what it said that it wrote: no fsync that lies.
"""
import itertools
import os
import re

from ledger import ANSWERED, POSITIVE, text_of


class Inode:
    """A file, a symbolic link or a directory."""

    def __init__(self, kind, data=b"", synced=False):
        self.kind = kind        # "file", "link", "dir"
        self.data = data
        self.attributes = {}
        self.synced = synced

    def frozen_attributes(self):
        return tuple(sorted(self.attributes.items()))

    def variants(self):
        """The bytes and attributes that may be there."""
        if self.synced or self.kind != "file":
            return [(self.data, self.frozen_attributes())]
        half = self.data[:len(self.data) // 2]
        return list(dict.fromkeys((data, attributes)
                                  for data in (self.data, b"", half, bytes(len(self.data)))
                                  for attributes in (self.frozen_attributes(), ())))


class Change:
    """Of names: [(directory, name, inode or None)], all of them at once."""

    def __init__(self, *names):
        self.names = names
        self.durable = False

    def directories(self):
        return {directory for directory, _, _ in self.names}


class Disk:
    """The store's tree; directories are paths relative to its parent."""

    def __init__(self, store):
        self.parent = os.path.dirname(str(store))
        self.base = {}          # {(directory, name): inode}, there for good from the beginning
        self.changes = []
        self.open = {}          # of the process in hand
        self.answers = {}       # {control id: code}, as far as they were sent, or came
        self.sent = []          # control ids of messages that were sent
        if os.path.isdir(store):
            self.read_base(str(store))

    # --- what was there ---

    def read_base(self, store):
        seen = {}
        self.base[".", os.path.basename(store)] = Inode("dir", synced=True)
        for folder, folders, names in os.walk(store):
            place = os.path.relpath(folder, self.parent)
            for name in folders:
                self.base[place, name] = Inode("dir", synced=True)
            for name in names:
                path = os.path.join(folder, name)
                number = os.lstat(path).st_ino
                if number not in seen:
                    seen[number] = self.read_inode(path)
                self.base[place, name] = seen[number]

    @staticmethod
    def read_inode(path):
        with open(path, "rb") as f:
            inode = Inode("file", f.read(), synced=True)
        for name in os.listxattr(path):
            inode.attributes[name] = os.getxattr(path, name)
        return inode

    def now(self):
        """The names as a running system sees them."""
        tree = dict(self.base)
        for change in self.changes:
            apply(tree, change)
        return tree

    # --- what a process does ---

    def run(self, trace):
        """Goes through a trace; yields behind each call that changed something."""
        self.open = {}
        for call in trace.calls:
            handler = getattr(self, f"on_{call.name}", None)
            if handler and call.ok and handler(call) is not False:
                yield call

    def place(self, path):
        """A path inside of the tree, or None."""
        if path is None or not (path + "/").startswith(self.parent + "/"):
            return None
        return os.path.relpath(path, self.parent)

    def change(self, *names):
        self.changes.append(Change(*names))

    def on_openat(self, call):
        arguments = call.arguments()
        path = re.search(r" = \d+<(.*?)>(?:\(deleted\))?", call.line)
        place = self.place(path.group(1)) if path else None
        self.open.pop(call.result, None)
        if place is None:
            return False
        if "O_TMPFILE" in arguments[2]:
            self.open[call.result] = Inode("file")
            return False
        at = os.path.split(place)
        inode = self.now().get((at[0] or ".", at[1]))
        if inode is None and "O_CREAT" in arguments[2]:
            inode = Inode("file")
            self.change((at[0] or ".", at[1], inode))
            self.open[call.result] = inode
            return True
        self.open[call.result] = place if inode is None or inode.kind == "dir" else inode
        return False

    def on_close(self, call):
        self.open.pop(call.fd(), None)
        return False

    def on_write(self, call):
        inode = self.open.get(call.fd())
        if not isinstance(inode, Inode):
            return False
        inode.data += call.string(1)[:call.result]
        inode.synced = False
        return True

    def on_pwrite64(self, call):
        inode, at = self.open.get(call.fd()), int(call.arguments()[3])
        if not isinstance(inode, Inode):
            return False
        data = call.string(1)[:call.result]
        inode.data = inode.data[:at].ljust(at, b"\0") + data + inode.data[at + len(data):]
        inode.synced = False
        return True

    def on_fsetxattr(self, call):
        inode = self.open[call.fd()]
        inode.attributes[call.string(1).decode()] = call.string(2)
        inode.synced = False
        return True

    def on_fsync(self, call):
        what = self.open.get(call.fd())
        if isinstance(what, Inode):
            what.synced = True
            return True
        for change in self.changes:
            change.durable |= what in change.directories()
        return what is not None

    on_fdatasync = on_fsync

    def on_linkat(self, call):
        number = re.search(r'"/proc/self/fd/(\d+)"', call.args)
        self.change((self.place(call.path(2)), call.string(3).decode(),
                     self.open[int(number.group(1))]))

    def on_mkdirat(self, call):
        path = os.path.join(call.path(0) or "", call.string(1).decode())
        place = self.place(path)
        if place is None:
            return False
        at = os.path.split(place)
        return self.change((at[0] or ".", at[1], Inode("dir", synced=True)))

    def on_unlinkat(self, call):
        self.change((self.place(call.path(0)), call.string(1).decode(), None))

    def on_renameat2(self, call):
        before = (self.place(call.path(0)), call.string(1).decode())
        after = (self.place(call.path(2)), call.string(3).decode())
        self.change((*before, None), (*after, self.now()[before]))

    def on_sendto(self, call):
        data = text_of(call, 1)[:call.result]
        answered = [(i.decode(), "AA") for i in POSITIVE.findall(data)]
        self.answers.update(answered)
        if b"MSA|" not in data:
            self.sent += [i.decode() for i in
                          re.findall(rb"\x0bMSH(?:\|[^|\r]*){8}\|([^|\r]*)", data)]
        return bool(data)

    def on_recvfrom(self, call):
        found = [(i.decode(), code.decode()) for code, i in ANSWERED.findall(text_of(call, 1))]
        self.answers.update(found)
        return bool(found)

    # --- what may be left ---

    def choices(self, in_order):
        """Sets of changes, not yet there for good, that may be there all the same."""
        open_ones = [c for c in self.changes if not c.durable]
        if not in_order:
            for n in range(len(open_ones) + 1):
                yield from itertools.combinations(open_ones, n)
            return
        queues = {}
        for change in open_ones:
            for directory in change.directories():
                queues.setdefault(directory, []).append(change)
        for lengths in itertools.product(*(range(len(q) + 1) for q in queues.values())):
            kept = dict(zip(queues, lengths))
            inside = {id(c): [queues[d].index(c) < kept[d] for d in c.directories()]
                      for c in open_ones}
            if all(len(set(there)) == 1 for there in inside.values()):
                yield [c for c in open_ones if inside[id(c)][0]]

    def states(self, in_order):
        """The trees that a power cut now may leave, as frozen() has them."""
        for chosen in self.choices(in_order):
            tree = dict(self.base)
            for change in self.changes:
                if change.durable or change in chosen:
                    apply(tree, change)
            tree = reachable(tree)
            loose = {id(i): i for i in tree.values() if i.kind == "file" and not i.synced}
            for left in itertools.product(*(i.variants() for i in loose.values())):
                yield frozen(tree, dict(zip(loose, left)))


def apply(tree, change):
    for directory, name, inode in change.names:
        if inode is None:
            tree.pop((directory, name), None)
        else:
            tree[directory, name] = inode


def reachable(tree):
    """Without what is in folders that are not there."""
    folders = {"."}
    for directory, name in sorted(tree, key=lambda key: key[0].count("/") + (key[0] != ".")):
        if tree[directory, name].kind == "dir" and directory in folders:
            folders.add(os.path.normpath(os.path.join(directory, name)))
    return {key: inode for key, inode in tree.items() if key[0] in folders}


def frozen(tree, left):
    """((directory, name), number of the inode, kind, bytes, attributes) of each name: the same for
    the same names, contents and hard links. `left` has bytes and attributes by the inode's id."""
    numbers, out = {}, []
    for place in sorted(tree):
        inode = tree[place]
        number = numbers.setdefault(id(inode), len(numbers))
        out.append((place, number, inode.kind,
                    *left.get(id(inode), (inode.data, inode.frozen_attributes()))))
    return tuple(out)


def build(names, parent):
    """Makes such a tree below a folder."""
    made = {}
    for place, number, kind, data, attributes in sorted(names, key=lambda n: n[0][0].count("/") +
                                                        (n[0][0] != ".")):
        path = os.path.join(parent, *place)
        if kind == "dir":
            os.mkdir(path, 0o750)
        elif number in made:
            os.link(made[number], path)
        else:
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640), "wb") as f:
                f.write(data)
            for attribute, value in attributes:
                os.setxattr(path, attribute, value)
            made[number] = path
