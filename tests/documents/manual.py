# SPDX-License-Identifier: MIT
"""The examples of the manual pages, as a reader sees them, and what runs each.

A comment in front of an example names its runner, and what that needs to know:

  .\" example: shell [STATUS]         a shell; the exit status of the last command, 0 unless given
  .\" example: machine                root's shell in a booted machine (tests/machine)
  .\" example: drop-in UNIT           a drop-in of this unit
  .\" example: unit UNIT              a unit of this name
  .\" example: receive.conf           options of hl7-receive, as the units read them
  .\" example: queue.conf             options of hl7-queue expire, the same
  .\" example: destination [STATUS]   the file of a destination, and how hl7-forward --once ends
  .\" example: listener               a command that listens
  .\" example: inetd                  a line of inetd.conf
  .\" example: haproxy                a section of haproxy.cfg
  .\" example: keepalived             keepalived.conf

hl7-template(5) has marks of its own, ".\" test:", which tests/convert runs. This file needs nothing but itself: it is
taken along into the machines.
"""
import dataclasses
import pathlib
import re

RUNNERS = {"shell", "machine", "drop-in", "unit", "receive.conf", "queue.conf", "destination", "listener", "inetd",
           "haproxy", "keepalived"}

BLOCK = r"\.Bd -literal[^\n]*\n(?P<block>.*?)^\.Ed$|(?P<lines>(?:\.Dl [^\n]*\n)+)"


@dataclasses.dataclass
class Example:
    page: str       # hl7-send.1
    line: int
    runner: str
    argument: str   # what stands behind the runner
    text: str

    @property
    def status(self):
        return int(self.argument or 0)

    def __str__(self):
        return f"{self.page}:{self.line}"


def plain(text):
    """Of mdoc's text, what is shown; without the prompts."""
    text = re.sub(r"^\.Dl ", "", text, flags=re.M)
    for escape, shown in ((r"\e", "\\"), (r"\(dq", '"'), (r"\&", "")):
        text = text.replace(escape, shown)
    return re.sub(r"^[#$] ", "", text, flags=re.M)


def examples(path):
    """All marked examples of a page."""
    text = path.read_text(encoding="utf-8")
    found = []
    for match in re.finditer(rf'^\.\\" example: (?P<runner>\S+)(?: (?P<argument>\S+))?\n(?:{BLOCK})', text, re.M | re.S):
        found.append(Example(path.name, text.count("\n", 0, match.start()) + 2, match["runner"], match["argument"] or "",
                             plain(match["block"] or match["lines"])))
    return found


def unmarked(path):
    """Lines of examples in EXAMPLES that nothing says how to run, and marks that stand before no example."""
    text = path.read_text(encoding="utf-8")
    begin = text.find("\n.Sh EXAMPLES\n") + 1
    end = text.find("\n.Sh ", begin)
    lines = []
    if begin:
        for match in re.finditer(rf'^(?P<before>[^\n]*)\n(?:{BLOCK})', text[begin:end], re.M | re.S):
            if not re.match(r'\.\\" (?:example|test): ', match["before"]):
                lines.append(text.count("\n", 0, begin + match.start()) + 2)
    marks = [text.count("\n", 0, match.start()) + 2 for match in re.finditer(r'^\.\\" example: ', text, re.M)]
    return lines + sorted(set(marks) - {example.line for example in examples(path)})


def all_examples(folder):
    """Of all pages below a folder."""
    return [example for path in sorted(pathlib.Path(folder).glob("*/hl7-*.[1-8]")) for example in examples(path)]
