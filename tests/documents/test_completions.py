# SPDX-License-Identifier: MIT
"""bash, zsh and fish complete the programs' command lines: real shells, with the files that the build made.

    HL7_BUILD_DIR=build /usr/bin/python3 -m pytest tests/documents

bash and zsh run on a terminal of their own. A key inserts all that is offered for the word before it, and in the place
of the program stands a function that prints its arguments.
"""
import os
import pathlib
import pty
import re
import select
import shutil
import subprocess
import sys
import time

import pytest

SOURCE = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = pathlib.Path(os.environ.get("HL7_BUILD_DIR", SOURCE / "build")).resolve()
sys.path.insert(0, str(SOURCE / "src/cli/completions"))
import page as pages  # noqa: E402

PAGES = {path.stem: pages.read(path) for path in sorted((SOURCE / "src").glob("*/hl7-*.[18]"))}
SHELLS = ("bash", "zsh", "fish")
PATIENCE = 20


def program(name):
    return BUILD / "src" / name.removeprefix("hl7-") / name


def made(shell, name):
    return BUILD / "src/cli/completions" / {"bash": name, "zsh": f"_{name}", "fish": f"{name}.fish"}[shell]


class Terminal:
    """A shell that is typed into; said() is what the function in the program's place got."""

    def __init__(self, argv, environment, setup):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execvpe(argv[0], argv, environment)
        self.heard = b""
        self.type(f"{setup}\necho rea''dy\n")
        self.until(rb"ready\r?\n")

    def type(self, text):
        os.write(self.fd, text.encode())

    def until(self, pattern):
        deadline = time.monotonic() + PATIENCE
        while not (found := re.search(pattern, self.heard, re.S)):
            left = deadline - time.monotonic()
            assert left > 0 and select.select([self.fd], [], [], left)[0], f"no {pattern} in {self.heard!r}"
            self.heard += os.read(self.fd, 65536)
        self.heard = self.heard[found.end():]
        return found

    def offered(self, line):
        """All words for the place at the end of the line."""
        self.type(line + "\x18a\n")
        printed = self.until(rb"<BEGIN>(.*?)<END>")[1].decode()
        return printed.replace("\r", "").split("\n")[1:-1]

    def close(self):
        os.close(self.fd)
        os.waitpid(self.pid, 0)


STAND_IN = "{name}() {{ printf '%s\\n' '<BEG''IN>' \"$@\" '<EN''D>'; }}"
BASH = """\
PS1= PS2=; bind 'set enable-bracketed-paste off'; bind '"\\C-xa": insert-completions'
. /usr/share/bash-completion/bash_completion
"""
ZSH = """\
PS1= PS2= RPS1=; unsetopt zle_bracketed_paste prompt_cr prompt_sp; unset zle_bracketed_paste; setopt no_beep
fpath=({folder} $fpath); autoload -Uz compinit; compinit -u -d {folder}/dump
all() {{ _main_complete; compstate[insert]=all compstate[list]= }}
zle -C all complete-word all; bindkey '^Xa' all
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """The completions where the shells look for them, the programs on PATH; nothing of a user's."""
    home = tmp_path_factory.mktemp("home")
    folders = {"bash": home / "share/bash-completion/completions", "zsh": home / "zsh",
               "fish": home / "share/fish/vendor_completions.d"}
    for shell, folder in folders.items():
        folder.mkdir(parents=True)
        for name in PAGES:
            shutil.copy(made(shell, name), folder)
    path = ":".join([*(str(program(name).parent) for name in PAGES), os.environ["PATH"]])
    return {"HOME": str(home), "PATH": path, "TERM": "dumb", "LC_ALL": "C.UTF-8", "COLUMNS": "10000",
            "XDG_DATA_DIRS": f"{home}/share:/usr/share", "XDG_CONFIG_HOME": str(home), "XDG_DATA_HOME": str(home)}


def missing(shell):
    """Where nothing may be missing it is a failure."""
    if shutil.which(shell) and (shell != "bash" or pathlib.Path("/usr/share/bash-completion/bash_completion").exists()):
        return False
    said = f"{shell} is not installed" if shell != "bash" else "bash-completion is not installed"
    (pytest.fail if os.environ.get("HL7_STRICT") else pytest.skip)(said)
    return True


@pytest.fixture(scope="module")
def bash(environment):
    missing("bash")
    terminal = Terminal(["bash", "--norc", "--noprofile"], environment, BASH)
    yield terminal
    terminal.close()


@pytest.fixture(scope="module")
def zsh(environment):
    missing("zsh")
    terminal = Terminal(["zsh", "-f"], environment, ZSH.format(folder=pathlib.Path(environment["HOME"]) / "zsh"))
    yield terminal
    terminal.close()


@pytest.fixture(params=SHELLS)
def complete(request, environment):
    """complete(words, folder) gives what is offered for the last one, without = at the end."""
    shell = request.param
    missing(shell)

    def by_fish(line, folder):
        done = subprocess.run(["fish", "--no-config", "-c", f"source {made('fish', line.split()[0])}; complete -C {quoted(line)}"],
                              cwd=folder, env=environment, text=True, capture_output=True, check=True)
        assert not done.stderr, done.stderr
        return [offer.partition("\t")[0] for offer in done.stdout.splitlines()]

    def by_terminal(line, folder):
        terminal = request.getfixturevalue(shell)
        name = line.split()[0]
        terminal.type(f"cd {folder}; {STAND_IN.format(name=name)}\n")
        got = terminal.offered(line)
        for word in line.split()[1:-1] if not line.endswith(" ") else line.split()[1:]:
            assert got.pop(0) == word, (line, got)
        return [] if got == line.split(" ")[-1:] or got == [] else got

    def of(line, folder="/"):
        offers = (by_fish if shell == "fish" else by_terminal)(line, folder)
        typed = line.split(" ")[-1]
        before = typed[:typed.index("=") + 1] if typed.startswith("--") and "=" in typed else ""
        return {offer.removeprefix(before).removesuffix("=") for offer in offers}
    return of


def quoted(text):
    return "'" + text + "'"


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("name", PAGES)
def test_syntax(shell, name):
    missing(shell)
    check = "--no-execute" if shell == "fish" else "-n"
    done = subprocess.run([shell, check, made(shell, name)], text=True, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def command_lines(name):
    """(the words before, the options that may follow)"""
    p = PAGES[name]
    if not p.commands:
        return [("", p.options)]
    return [(f"{c.name} ", [o for o in p.options if not o.commands or c.name in o.commands]) for c in p.commands]


@pytest.mark.parametrize("name", PAGES)
def test_every_option_is_offered(complete, name):
    for before, options in command_lines(name):
        wanted = {option for o in options for option in o.names}
        offered = complete(f"{name} {before}--")
        assert {option for option in wanted if option.startswith("--")} == \
            {option for option in offered if option.startswith("--")}, before
        short = {option for option in wanted if not option.startswith("--")}
        # where several letters can be joined, a shell may offer -- alone, and h for -h
        offered = {re.sub(r"^-?(\w)$", r"-\1", option) for option in complete(f"{name} {before}-")}
        assert short <= offered, before


def closed():
    return [(name, o) for name, p in PAGES.items() for o in p.options if o.values]


def test_there_are_options_of_a_few_words():
    assert len(closed()) > 12
    for name, o in closed():
        assert len(o.values) > 1, f"{name} {o.names}"


@pytest.mark.parametrize("name, o", closed(), ids=lambda it: it if isinstance(it, str) else it.names[0])
def test_values_are_offered(complete, name, o):
    assert complete(f"{name} {o.names[-1]}=") == set(o.values)
    first = o.values[0]
    assert first in complete(f"{name} {o.names[-1]}={first[:2]}")


@pytest.mark.parametrize("name, o", closed(), ids=lambda it: it if isinstance(it, str) else it.names[0])
def test_values_are_those_that_the_program_takes(tmp_path, name, o):
    def said(value):
        work = ["--to=mllp://x", f"--store={tmp_path}", "--linger=0", "x"] if name == "hl7-forward" else []
        done = subprocess.run([program(name), f"{o.names[-1]}={value}", *work], stdin=subprocess.DEVNULL, text=True, capture_output=True, check=False)
        return done.stderr
    option = o.names[-1]
    assert option in said("bogus")
    for value in o.values:
        assert option not in said(value + "3" if value.endswith(":") else value), value


@pytest.mark.parametrize("name", PAGES)
def test_arguments_are_those_of_help(name):
    helped = subprocess.run([program(name), "--help"], stdout=subprocess.PIPE, text=True, check=True).stdout
    for o in PAGES[name].options:
        assert bool(o.argument) == bool(re.search(rf"{o.names[-1]}=", helped)), o.names


def test_commands_of_an_option_are_those_of_help():
    helped = subprocess.run([program("hl7-queue"), "--help"], stdout=subprocess.PIPE, text=True, check=True).stdout
    groups = {}
    for head, body in re.findall(r"^([a-z, ]+):\n((?: .*\n)+)", helped, re.M):
        for option in re.findall(r"^ +(--[\w-]+)", body, re.M):
            groups[option] = head.split(", ")
    assert len(groups) > 20
    for o in PAGES["hl7-queue"].options:
        assert o.commands == groups.get(o.names[-1], []), o.names


def test_commands_are_offered(complete):
    assert {c.name for c in PAGES["hl7-queue"].commands} <= complete("hl7-queue ")
    assert complete("hl7-queue re") == {"retry"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Files, a folder, destinations, and a store in which one message waits and one failed."""
    top = tmp_path_factory.mktemp("work")
    for name in ("outbox", "convert.d", "destinations"):
        (top / name).mkdir()
    (top / "order.hl7").touch()
    for name in ("ris", "archive", "$(touch harm)"):
        (top / "destinations" / f"{name}.conf").touch()
    (top / "convert.d/all.hl7t").write_text("{to ris}\n{message}\n", encoding="utf-8")
    for control_id in ("A1", "A2"):
        message = f"MSH|^~\\&|A|B|C|D|20260101||ADT^A01|{control_id}|P|2.4\r"
        subprocess.run([program("hl7-receive"), f"--store={top}/store", f"--convert-templates={top}/convert.d",
                        f"--tables={top}/none", f"--ack-templates={top}/none", "--log=stderr"],
                       input=f"\x0b{message}\x1c\r".encode(), capture_output=True, check=True)
    first, second = ids(top)
    subprocess.run([program("hl7-queue"), f"--store={top}/store", "drop", second], capture_output=True, check=True)
    return top, first, second


def ids(top):
    done = subprocess.run([program("hl7-queue"), f"--store={top}/store", "list"], text=True, stdout=subprocess.PIPE, check=True)
    return [line.split()[0] for line in done.stdout.splitlines()[1:]]


def names(offers):
    """Without the / behind a folder, which shells add or not."""
    return {offer.rstrip("/") for offer in offers}


def test_files(complete, folder):
    for name in "hl7-show", "hl7-convert":
        assert names(complete(f"{name} o", folder[0])) == {"order.hl7", "outbox"}
    assert names(complete("hl7-send localhost o", folder[0])) == {"order.hl7", "outbox"}
    assert names(complete("hl7-queue metrics --output=o", folder[0])) == {"order.hl7", "outbox"}


def test_folders(complete, folder):
    assert names(complete("hl7-receive --store=o", folder[0])) == {"outbox"}
    assert names(complete("hl7-convert --split=o", folder[0])) == {"outbox"}


def test_destinations(complete, folder):
    top = folder[0]
    offered = complete(f"hl7-forward --destinations={top}/destinations ", top)
    assert {"ris", "archive"} <= offered
    assert complete(f"hl7-forward --destinations={top}/destinations r", top) == {"ris"}
    assert complete(f"hl7-queue --store={top}/store status --destination=", top) == {"ris"}
    assert not list(top.rglob("harm"))


def test_ids(complete, folder):
    top, waiting, failed = folder
    store = f"hl7-queue --store={top}/store"
    for command in "show", "why", "drop", "trace":
        assert complete(f"{store} {command} ris/", top) == {waiting, failed}, command
    assert complete(f"{store} retry ris/", top) == {failed}
    assert {waiting, failed} <= complete(f"{store} export ", top)
    assert "outbox" in names(complete(f"{store} export o", top))


def test_installed():
    done = subprocess.run(["meson", "introspect", "--installed", BUILD], stdout=subprocess.PIPE, text=True, check=True)
    zsh = "vendor-completions" if pathlib.Path("/etc/debian_version").exists() else "site-functions"
    for name in PAGES:
        for path in (f"/usr/share/bash-completion/completions/{name}", f"/usr/share/zsh/{zsh}/_{name}",
                     f"/usr/share/fish/vendor_completions.d/{name}.fish"):
            assert path in done.stdout, path
