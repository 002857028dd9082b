# SPDX-License-Identifier: MIT
"""What a program's manual page says of its command line: options, their values, commands, arguments.

The page is the one source: tests/documents holds it to what the program's --help says, and the completions that
are made of it to what the program takes.
"""
import dataclasses
import re

# Arguments that are one of a few words, which their items name by Cm
CLOSED = {"action", "how", "level", "mode", "when", "where"}


@dataclasses.dataclass
class Option:
    names: list         # as typed: -q, --quiet
    argument: str       # "" if it has none; else the word of the page: dir, file, time, ...
    values: list        # of an argument that is one of a few words
    description: str    # of the item's first sentence
    commands: list      # of hl7-queue: with which of them; empty: with all


@dataclasses.dataclass
class Command:
    name: str
    arguments: list     # the words of the page: id, dir, ...
    description: str


@dataclasses.dataclass
class Page:
    program: str
    section: str
    options: list
    commands: list
    arguments: list     # of the program, as in its synopsis


def section(text, title):
    found = re.search(rf"^\.Sh {title}\n(.*?)(?=^\.Sh |\Z)", text, re.M | re.S)
    return found[1] if found else ""


MACROS = {"Ar", "Cm", "Dq", "Dv", "Ev", "Fl", "Ic", "Li", "No", "Pa", "Po", "Pq", "Sx", "Ta", "Va",
          "Xr"}


def plain(lines):
    """mdoc as a sentence: enough of the language for the first one of an item."""
    text, glue = "", ""
    for line in lines:
        macro, opened = line.startswith("."), line.startswith((".Pq", ".Po"))
        words = line[1:].split() if macro else line.split()
        prefix = "(" if opened else ""
        for word in words:
            if macro and word in MACROS:
                prefix += "-" if word == "Fl" else ""
            elif macro and word == "Ns":
                glue = ""
            else:
                text += ("" if macro and re.fullmatch(r"[.,:;]", word) else glue) + prefix + word
                prefix, glue = "", " "
        text += ")" if opened else ""
        if line.startswith(".Xr"):
            text = re.sub(r"(\S+) (\d)(\W*)$", r"\1(\2)\3", text)
    return re.sub(r"\\&|\\e", lambda escape: {"\\&": "", "\\e": "\\"}[escape[0]], text)


# A colon or semicolon ends a description only behind so much of it
ENOUGH = 16


def first_sentence(lines):
    until = []
    for line in lines:
        if re.match(r"\.(?:Pp|Bl|Bd|It|El|Sm)\b", line):
            break
        until.append(line)
        if line.endswith("."):
            break
    sentence = re.sub(r"(?:[;,] see [A-Z ]+)?[.:]$", "", re.split(r"(?<=[a-z)])\. ", plain(until))[0])
    ends = [end.start() for end in re.finditer("[:;] ", sentence) if end.start() > ENOUGH]
    return re.sub("[:;]$", "", sentence[:ends[0]] if ends else sentence)


def items(text):
    """[(what is behind .It, its lines)] of the outer lists."""
    found, depth = [], 0
    for line in text.splitlines():
        if line.startswith(".Bl"):
            depth += 1
        elif line.startswith(".El"):
            depth -= 1
        elif line.startswith(".It ") and depth == 1:
            found.append((line[4:], []))
        elif found and depth:
            found[-1][1].append(line)
    return found


def closed_values(lines):
    """The words that an item names by Cm, in their order."""
    values = []
    for line in lines:
        if line.startswith(".Cm "):
            for word in line[4:].split(" Ns ")[0].split():
                if re.fullmatch(r"[a-z]+:?", word) and word not in values:
                    values.append(word)
    return values


def option(heading, lines, before):
    """The Option of an item; before: the item above, whose values are the same if it names none."""
    names = ["-" + name for name in re.findall(r"(?:^Fl |, )(-?[\w-]+)", heading)]
    behind = heading.partition("= Ns ")[2]
    argument, values = "", []
    if behind.startswith("Cm "):
        argument, values = "how", behind[3:].split(" | ")
    elif behind:
        argument = behind.split()[1]
        if argument in CLOSED:
            values = closed_values(lines) or before.values
    commands = []
    if lines and lines[0].startswith(".Pq Cm "):
        commands = lines[0][7:].replace(",", " ").split()
        lines = lines[1:]
    return Option(names, argument, values, first_sentence(lines), commands)


def read(path):
    text = path.read_text(encoding="utf-8")
    page = Page(path.stem, path.suffix[1:], [], [], [])
    for heading, lines in items(section(text, "OPTIONS")):
        if heading.startswith("Fl "):
            page.options.append(option(heading, lines, page.options[-1] if page.options else None))
    for heading, lines in items(section(text, "COMMANDS")):
        if heading.startswith("Cm "):
            name, _, rest = heading[3:].partition(" ")
            rest = re.sub(r"\bFl .*| Op .*", " ", rest)
            page.commands.append(Command(name, re.findall(r"(?:Ar|\|) ([\w-]+)", rest), first_sentence(lines)))
    synopsis = re.sub(r"(?:Fl|Ns =) .*", "", section(text, "SYNOPSIS"))
    for word in re.findall(r"\bAr ([\w-]+)", synopsis):
        if word not in ("option", "port") and word not in page.arguments:
            page.arguments.append(word)
    return page
