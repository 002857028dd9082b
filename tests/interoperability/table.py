# SPDX-License-Identifier: MIT
"""What was exchanged with whom, and how it went: as JSON, and as the table of README.md."""
import contextlib
import dataclasses
import json
import os
import pathlib
import re
import typing

import peers
from hl7test import BUILD, SOURCE

README = SOURCE / "README.md"
BEGIN = "<!-- interoperability: written by HL7_INTEROPERABILITY_WRITE=1 packaging/test interoperability -->\n"
END = "<!-- interoperability: end -->\n"

FOLDER = pathlib.Path(os.environ.get("HL7_INTEROPERABILITY_DIR", BUILD / "interoperability"))

COLUMNS = ("peer", "version", "client", "server", "host", "front", "tls", "behind", "seen")
HEADINGS = ("peer", "version", "client", "server", "starts `hl7-receive`", "ends TLS", "TLS client",
            "behind `hl7-forward`", "what was seen")

# Those whose traffic is for tshark to read
IN_THE_CLEAR = ("client", "server", "host")
IN_TLS = ("front", "tls")


@dataclasses.dataclass
class Exchange:
    peer: str
    role: str
    scenario: str
    port: typing.Optional[int] = None   # where it is captured
    messages: tuple = (0, 0)            # at least and at most so many are to be read from the capture
    answers: tuple = (0, 0)
    result: str = "failed"
    is_peculiar: bool = False           # it went as we must expect it of that peer, but not well
    facts: list = dataclasses.field(default_factory=list)


def many(n):
    return n if isinstance(n, tuple) else (n, n)


class Table:
    def __init__(self):
        self.exchanges = []
        self.is_read = False  # tshark made out each of their frames

    @contextlib.contextmanager
    def exchange(self, peer, role, scenario, port=None, messages=0, answers=0):
        """It has passed when the block ends without an exception; exchange.facts is what was found out."""
        made = Exchange(peer.name, role, scenario, port, many(messages), many(answers))
        self.exchanges.append(made)
        yield made
        made.result = "passed"

    def of(self, name, role):
        return [e for e in self.exchanges if (e.peer, e.role) == (name, role)]

    def passed(self, roles):
        return [e for e in self.exchanges if e.result == "passed" and e.role in roles]

    def complete(self):
        """All that there is to be tried was."""
        return {(e.peer, e.role, e.scenario) for e in self.exchanges} == \
            {(peer.name, role, s) for role in peers.SCENARIOS for peer in peers.roles(role)
             for s in peers.scenarios(peer, role)}

    def row(self, peer, version):
        """How many of a role's exchanges went well, which did not, and what was found out."""
        made = {"peer": peer.name, "version": version}
        for role in peers.SCENARIOS:
            of = self.of(peer.name, role)
            well = sum(e.result == "passed" and not e.is_peculiar for e in of)
            failed = [e.scenario for e in of if e.result != "passed"]
            made[role] = f"{well} of {len(peers.tried(peer, role))}" if of else ""
            if failed:
                made[role] += f", failed: {', '.join(failed)}"
        facts = [fact for e in self.exchanges if e.peer == peer.name for fact in e.facts]
        return made | {"seen": "; ".join(dict.fromkeys(facts))}


def other_row(peer, version, seen):
    """Of one that has no role."""
    return dict.fromkeys(COLUMNS, "") | {"peer": peer, "version": version, "seen": seen}


def markdown(rows):
    lines = [HEADINGS, ["---"] * len(HEADINGS), *([r[c] for c in COLUMNS] for r in rows)]
    return "".join("|" + "|".join(f" {cell} " if cell else " " for cell in line) + "|\n" for line in lines)


def parsed(text):
    """The rows of such a table."""
    lines = [line for line in text.splitlines() if line.startswith("|")][2:]
    return [dict(zip(COLUMNS, (cell.strip() for cell in line[1:-1].split("|")))) for line in lines]


def in_readme():
    """What README.md has between the markers, or None."""
    found = re.search(re.escape(BEGIN) + r"(.*?)" + re.escape(END), README.read_text(encoding="utf-8"), re.S)
    return found and found[1]


def row_in_readme(name):
    """As it stands there, for those that are tried elsewhere."""
    found = [row for row in parsed(in_readme() or "") if row["peer"] == name]
    return found[0] if found else other_row(name, "", "")


def write_readme(rows):
    text = README.read_text(encoding="utf-8")
    old = in_readme()
    assert old is not None, f"{README} has no marked place for the table"
    README.write_text(text.replace(BEGIN + old + END, f"{BEGIN}\n{markdown(rows)}\n{END}"), encoding="utf-8")


def write(rows, context):
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / "interoperability.md").write_text(markdown(rows), encoding="utf-8")
    (FOLDER / "interoperability.json").write_text(
        json.dumps(context | {"rows": rows}, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def without_versions(rows, but=()):
    """To be compared: versions of Debian's packages differ from one Debian to another."""
    return [row | ({} if row["peer"] in but else {"version": ""}) for row in rows]


def other_versions(rows):
    """Which of these rows README.md has with another version."""
    shown = {row["peer"]: row["version"] for row in parsed(in_readme())}
    return [f"{row['peer']} {row['version']} (README.md: {shown.get(row['peer'])})" for row in rows
            if shown.get(row["peer"]) != row["version"]]
