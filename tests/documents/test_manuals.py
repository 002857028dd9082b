# SPDX-License-Identifier: MIT
"""The manual pages say what is so: options, defaults, exit statuses, outcomes, log fields.

    HL7_BUILD_DIR=build /usr/bin/python3 -m pytest tests/documents

The build is expected to have the prefix /usr, which the pages speak of.
"""
import functools
import json
import os
import pathlib
import re
import shutil
import subprocess

import pytest

SOURCE = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = pathlib.Path(os.environ.get("HL7_BUILD_DIR", SOURCE / "build"))
PAGES = sorted((SOURCE / "src").glob("*/*.[1-8]"))
PROGRAMS = {page.stem.removeprefix("hl7-"): page for page in PAGES if page.suffix in (".1", ".8")}

RECEIVE = PROGRAMS["receive"].read_text(encoding="utf-8")
OUTCOMES = (SOURCE / "src/ack/outcome.c").read_text(encoding="utf-8")
# what every program that a sender talks to tells, and what only hl7-receive does
LISTEN_REPORT = "".join((SOURCE / "src/listen" / name).read_text(encoding="utf-8") for name in ("report.c", "report.h"))
REPORT = LISTEN_REPORT + (SOURCE / "src/receive/report.c").read_text(encoding="utf-8")
FORWARD = PROGRAMS["forward"].read_text(encoding="utf-8")
FORWARD_REPORT = (SOURCE / "src/forward/report.c").read_text(encoding="utf-8")
AMQP = PROGRAMS["amqp"].read_text(encoding="utf-8")
# What has to do with the store never happens there
AMQP_OUTCOMES = re.sub(r"#define ID_DUPLICATE .*", "", OUTCOMES)
AMQP_REPORT = LISTEN_REPORT + (SOURCE / "src/amqp/report.c").read_text(encoding="utf-8")

QUEUE = PROGRAMS["queue"].read_text(encoding="utf-8")
QUEUE_REPORT = (SOURCE / "src/queue/report.c").read_text(encoding="utf-8")

# Whose log entries are whose: page and sources
LOGGED = {"receive": (RECEIVE, OUTCOMES + REPORT), "forward": (FORWARD, FORWARD_REPORT), "queue": (QUEUE, QUEUE_REPORT),
          "amqp": (AMQP, AMQP_OUTCOMES + AMQP_REPORT)}


def section(page, title):
    found = re.search(rf"^\.Sh {title}\n(.*?)(?=^\.Sh |\Z)", page, re.M | re.S)
    assert found, f"no section {title}"
    return found[1]


@pytest.fixture(params=PROGRAMS)
def program(request):
    """(what --help prints, the page's text)"""
    path = BUILD / "src" / request.param / f"hl7-{request.param}"
    done = subprocess.run([path, "--help"], stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout, PROGRAMS[request.param].read_text(encoding="utf-8")


def test_every_program_has_a_page():
    rooms = {path.parent.name for path in (SOURCE / "src").glob("*/main.c")}
    assert rooms == set(PROGRAMS)


def helped_options(text):
    """{"--store": its line, "-h": …} of the lines that describe options."""
    options = {}
    for line in text.splitlines():
        if match := re.match(r" +((?:-\w, )?--[\w-]+)", line):
            for name in match[1].split(", "):
                options[name] = line
    return options


def manual_options(page):
    """{"--store": the text of its item, …}"""
    options = {}
    for item in re.split(r"^\.It ", section(page, "OPTIONS"), flags=re.M)[1:]:
        heading = item.splitlines()[0]
        if not heading.startswith("Fl "):
            continue
        for name in re.findall(r"(?:^Fl |, )(-?[\w-]+)", heading):
            options["-" + name] = item
    return options


def test_same_options(program):
    text, page = program
    assert sorted(helped_options(text)) == sorted(manual_options(page))


def test_same_defaults(program):
    text, page = program
    for name, line in helped_options(text).items():
        if match := re.search(r"\(default: \$?([^;)]+)", line):
            item = manual_options(page)[name]
            default = re.escape(match[1])
            assert re.search(rf"Default:\s+(\.\w+ )?{default}\b", item) or \
                re.search(rf"{default}\n\(default\)", item), f"{name}: {match[1]}"


def test_same_exit_statuses(program):
    text, page = program
    items = re.findall(r"^\.It (\d+)$", section(page, "EXIT STATUS"), re.M)
    if match := re.search(r"^Exit status: (.*?)\n\n", text, re.M | re.S):
        helped = re.findall(r"(?:^|, |,\n)(\d+)(?= |,)", match[1])
        # 74, standard output cannot be written, goes without saying in a summary
        assert set(helped) <= set(items) <= {*helped, "74"}


def test_exit_statuses_of_receive():
    header = (SOURCE / "src/ack/outcome.h").read_text(encoding="utf-8")
    numbers = set(re.findall(r"OUTCOME_EXIT_\w+ = (\d+)", header)) | {"64"}
    assert numbers == set(re.findall(r"^\.It (\d+)$", section(RECEIVE, "EXIT STATUS"), re.M))


# Which of them depends on what is wrong with the value
REFUSED = "101, 102, 103"


def outcomes():
    """{name: (letter, ERR-3, ERR-2)} of the table in outcome.c"""
    letters = {"ACCEPT": "A", "ERROR": "E", "REJECT": "R", "NONE": "none"}
    codes = dict(re.findall(r'#define (ERR_\w+)\s+"(\d+)', OUTCOMES))
    table = {}
    for row in re.findall(r"\[OUTCOME_\w+\] = \{(.*?)\n\t\}", OUTCOMES, re.S):
        value = dict(re.findall(r"\.(\w+) = \"?([^\",\n]*)", row))
        table[value["name"]] = (letters[value["class"].removeprefix("ACK_")],
                                codes.get(value.get("code"), value.get("code", "").partition("^")[0]),
                                value.get("location", ""))
    return table


def outcome_rows():
    """The table of outcome.c as [{"name": …, "message_id": …}]"""
    rows = re.findall(r"\[OUTCOME_\w+\] = \{(.*?)\n\t\}", OUTCOMES, re.S)
    return [dict(re.findall(r"\.(\w+) = \"?([^\",\n]*)", row)) for row in rows]


def test_kept_outcomes_in_manual():
    """Refused for their content, by the MESSAGE_ID, are those that are kept, and no other."""
    for row in re.findall(r"\[OUTCOME_\w+\] = \{(.*?)\n\t\}", OUTCOMES, re.S):
        assert (".kept = true" in row) == ("ID_CONTENT_REFUSED" in row), row


def test_outcomes_in_manual():
    rows = re.findall(r"^\.It ([\w-]+) Ta (\w+) Ta ([\d, ]*?) ?Ta ?(.*)$",
                      section(RECEIVE, "ACKNOWLEDGEMENTS"), re.M)
    table = {name: (letter, code, where) for name, letter, code, where in rows}
    expected = outcomes()
    expected["value-refused"] = (expected["value-refused"][0], REFUSED, "the address")
    assert table == expected


def test_outcomes_in_readme():
    text = (SOURCE / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\|[^|]*\| `([\w-]+)` \| (\w+) \| ([\d, ]*?) ?\| ?(.*?) ?\|$", text, re.M)
    table = {name: (answer if answer == "none" else answer[1], code, where.strip("`"))
             for name, answer, code, where in rows}
    expected = outcomes()
    expected["value-refused"] = (expected["value-refused"][0], REFUSED, "its address")
    assert table == expected


def message_ids(sources):
    return set(re.findall(r'"([0-9a-f]{32})"', sources))


@pytest.mark.parametrize("page, sources", LOGGED.values(), ids=LOGGED)
def test_message_ids(page, sources):
    assert len(message_ids(sources)) > 3
    assert set(re.findall(r"\b[0-9a-f]{32}\b", page)) == message_ids(sources)


def all_message_ids():
    return set().union(*(message_ids(sources) for _, sources in LOGGED.values()))


def test_message_ids_in_readme():
    readme = (SOURCE / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"\b[0-9a-f]{32}\b", readme)) <= all_message_ids()


def test_every_message_id_of_the_sources_is_tested():
    for path in (SOURCE / "src").rglob("*.[ch]"):
        for found in re.findall(r'"([0-9a-f]{32})"', path.read_text(encoding="utf-8")):
            assert found in all_message_ids(), path


def test_outcomes_by_message_id():
    """Each MESSAGE_ID's item names the outcomes that have it."""
    ids = dict(re.findall(r'#define (ID_\w+)\s+"(\w+)"', OUTCOMES))
    items = dict(re.findall(r"^\.It Li ([0-9a-f]{32})\n(.*?)(?=^\.)", section(RECEIVE, "LOGGING"),
                            re.M | re.S))
    for row in re.findall(r"\[OUTCOME_\w+\] = \{(.*?)\n\t\}", OUTCOMES, re.S):
        value = dict(re.findall(r"\.(\w+) = \"?([^\",\n]*)", row))
        item = items[ids[value["message_id"]]]
        assert re.search(rf"\b{value['name']}\b(?!-)", item), value["name"]


@pytest.mark.parametrize("page, sources", LOGGED.values(), ids=LOGGED)
def test_log_fields(page, sources):
    logged = set(re.findall(r'"(HL7_[A-Z_]+|ERRNO)"', sources))
    documented = set(re.findall(r"\b(HL7_[A-Z_]+|ERRNO)\b", section(page, "LOGGING")))
    assert documented == logged


def test_outcomes_of_amqp():
    """An item names no outcome that has another MESSAGE_ID."""
    ids = dict(re.findall(r'#define (ID_\w+)\s+"(\w+)"', OUTCOMES))
    of = {row["name"]: ids[row["message_id"]] for row in outcome_rows()}
    items = re.findall(r"^\.It Li ([0-9a-f]{32})\n(.*?)(?=^\.)", section(AMQP, "LOGGING"), re.M | re.S)
    named = {(name, of[name]) for message_id, item in items for name in of if re.search(rf"(?<![\w-]){name}(?![\w-])", item)}
    told = {(name, message_id) for message_id, item in items for name, _ in named
            if re.search(rf"(?<![\w-]){name}(?![\w-])", item)}
    assert told == named and len(named) > 12


def test_results_of_amqp():
    source = (SOURCE / "src/amqp/publisher.c").read_text(encoding="utf-8")
    names = set(re.findall(r'\[PUBLISHER_E_\w+\] = "([\w-]+)"', source)) | {"no-password"}
    page = section(PROGRAMS["amqp"].read_text(encoding="utf-8"), "ACKNOWLEDGEMENTS")
    assert set(re.findall(r"^\.It .* Ta ([\w-]+) Ta C[AR]$", page, re.M)) == names


def test_events_of_forward():
    """Each MESSAGE_ID's item has the words that the log has."""
    ids = dict(re.findall(r'#define (ID_\w+)\s+"(\w+)"', FORWARD_REPORT))
    items = dict(re.findall(r"^\.It Li ([0-9a-f]{32})\n(.*?)(?=^\.(?:It|El))", section(FORWARD, "LOGGING"),
                            re.M | re.S))
    priorities = {"INFO": "Information", "NOTICE": "Notice", "WARNING": "Warning", "ERR": "Error"}
    events = re.findall(r"\(r, (?:&e|m), LOG_(\w+), (ID_\w+),\s+(?:\"([^\"]*)\"|what)\)", FORWARD_REPORT)
    assert len(events) == len(ids)  # ID_SYSTEM has two, ID_SANDBOX is told at any of three
    for priority, name, text in events:
        item = " ".join(items[ids[name]].split())
        assert priorities[priority] + ":" in item, name
        if name in ("ID_DELIVERED", "ID_FAILED", "ID_HELD_BACK", "ID_DOWN", "ID_UP"):
            assert text in item, name


def test_events_of_queue():
    """The same for what operators do."""
    ids = dict(re.findall(r'#define (ID_\w+)\s+"(\w+)"', QUEUE_REPORT))
    items = dict(re.findall(r"^\.It Li ([0-9a-f]{32})\n(.*?)(?=^\.(?:It|El))", section(QUEUE, "LOGGING"), re.M | re.S))
    texts = dict(re.findall(r"\{ (ID_\w+), \"([^\"]*)\" \}", QUEUE_REPORT))
    texts |= dict(re.findall(r"LOG_NOTICE, (ID_\w+), \"([^\"]*)\"", QUEUE_REPORT))
    assert set(texts) == set(ids)
    for name, text in texts.items():
        assert " ".join(items[ids[name]].split()).startswith("Notice: " + text), name


def test_settings_of_a_destination(tmp_path):
    """Those that the page says the file can have are those that it can."""
    options = section(FORWARD, "OPTIONS")
    line_only, in_file = options.split("These can be in\n")
    program = BUILD / "src" / "forward" / "hl7-forward"
    for text, can in ((line_only, False), (in_file, True)):
        names = re.findall(r"^\.It Fl (?:\w , )?-([\w-]+)", text, re.M)
        assert len(names) > 3
        for name in names:
            setting = "".join(word.capitalize() for word in name.split("-"))
            (tmp_path / "x.conf").write_text(setting + "=?\n", encoding="utf-8")
            said = subprocess.run([program, f"--destinations={tmp_path}", f"--store={tmp_path}", "x"],
                                  stderr=subprocess.PIPE, text=True, check=False).stderr
            assert ("unknown setting" not in said) == can, setting


def test_template_names():
    """What a hole can read, and the lines that steer."""
    page = (SOURCE / "src/template/hl7-template.5").read_text(encoding="utf-8")
    expression = (SOURCE / "src/template/expression.c").read_text(encoding="utf-8")
    compiler = (SOURCE / "src/template/compile.c").read_text(encoding="utf-8")
    names = re.findall(r'\[TEMPLATE_\w+\] = "([\w.]+)"', expression)
    assert len(names) > 5
    for name in names:
        assert f"{{{name}}}" in page, name
    steers = re.findall(r'\{ "(\w+)", (?:true|false), steer_', compiler)
    assert len(steers) > 3
    for name in steers:
        assert f"{{{name}" in page, name
    filters = re.findall(r'"(\w+)"', re.search(r"filter_names\[\] = \{(.*?)\}", expression, re.S)[1])
    assert len(filters) > 5
    items = re.findall(r"^\.It Cm (.*)$", section(page, "FILTERS OF VALUES"), re.M)
    assert set(re.findall(r":(\w+)", " ".join(items))) == set(filters)


def test_options_elsewhere():
    """Pages of formats, and those of other programs, speak of options that are there."""
    known = {name for page in PROGRAMS.values()
             for name in manual_options(page.read_text(encoding="utf-8"))}
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for name in re.findall(r"(?:Fl |, )(-[a-z][\w-]+)", "\n".join(
                line for line in text.splitlines() if line.startswith((".Fl", ".Ic", ".Pq Fl", ".Po Fl")))):
            assert "-" + name in known, f"{page.name}: -{name}"
        for program, name in re.findall(r"\bhl7-(?!inetd\b)(\w+) (--[a-z][\w-]+)", text):
            assert name in manual_options(PROGRAMS[program].read_text(encoding="utf-8")), \
                f"{page.name}: hl7-{program} {name}"


def test_limits_of_templates():
    """The limits that the sources call by name are the ones the page has."""
    page = section((SOURCE / "src/template/hl7-template.5").read_text(encoding="utf-8"), "LIMITS")
    header = (SOURCE / "src/receive/convert.h").read_text(encoding="utf-8")
    for constant, row in (("CONVERSION_RESULTS_MAX", "renderings of one message"),
                          ("CONVERSION_ENTRIES_MAX", "messages that are made of one")):
        number = re.search(rf"#define {constant} (\d+)", header)[1]
        assert f".It {row} Ta {number}\n" in page
        assert re.search(rf"\b{number}\b", section(RECEIVE, "CONVERSION"))


def test_limits_of_the_store():
    page = section((SOURCE / "src/store/hl7-store.5").read_text(encoding="utf-8"), "LIMITS").replace(",", "")
    for header, constant, row in (("name.h", "STORE_ENTRIES_MAX", "entries of one message"),
                                  ("store.h", "STORE_DESTINATIONS_MAX", "destinations of one receiver"),
                                  ("queue.h", "QUEUE_LIST_MAX", "entries of one queue in one look")):
        text = (SOURCE / "src/store" / header).read_text(encoding="utf-8")
        number = re.search(rf"#define {constant} \(?(?:\(size_t\))?(\d+)", text)[1]
        assert f".It {row} Ta {number}\n" in page


def test_files_of_the_store():
    """What the programs know by name is in the page."""
    page = (SOURCE / "src/store/hl7-store.5").read_text(encoding="utf-8")
    check = (SOURCE / "src/store/check.c").read_text(encoding="utf-8")
    names = re.findall(r'"(\.?\w+)"', re.search(r"names\[\] = \{(.*?)\}", check, re.S)[1])
    assert len(names) > 5
    for name in names:
        assert name in section(page, "FILES"), name


def test_figures_in_manual():
    source = (SOURCE / "src/queue/metrics.c").read_text(encoding="utf-8")
    names = {name + ("_total" if kind == "counter" else "")
             for name, kind in re.findall(r'"(hl7_\w+)", "(gauge|counter)"', source)}
    names |= set(re.findall(r'print_(?:gauge|timestamp)\(out, "(hl7_\w+)"', source))
    assert len(names) > 10
    figures = section(PROGRAMS["queue"].read_text(encoding="utf-8"), "FIGURES")
    assert set(re.findall(r"\bhl7_\w+", figures)) == names


def test_commands_in_manual():
    source = (SOURCE / "src/queue/options.c").read_text(encoding="utf-8")
    names = re.findall(r'\[COMMAND_\w+\] = \{ "(\w+)"', source)
    page = section(PROGRAMS["queue"].read_text(encoding="utf-8"), "COMMANDS")
    assert len(names) > 10 and re.findall(r"^\.It Cm (\w+)(?: Ar|$| Op|\n)", page, re.M)[:2] == names[:2]
    for name in names:
        assert re.search(rf"^\.It Cm {name}\b", page, re.M), name


def test_shipped_template_in_manual():
    page = (SOURCE / "src/template/hl7-template.5").read_text(encoding="utf-8")
    shipped = (SOURCE / "templates/ack.hl7t").read_text(encoding="utf-8")
    lines = [line for line in shipped.splitlines() if not line.startswith("#")]
    assert "\n".join(lines) in page.replace(r"\e", "\\")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_references(page):
    """Pages of ours that it refers to are there."""
    for name, number in re.findall(r"^\.Xr (hl7-\S+) (\d)", page.read_text(encoding="utf-8"), re.M):
        assert list((SOURCE / "src").glob(f"*/{name}.{number}")), f"{name}({number})"


def need(tool):
    if not shutil.which(tool):
        (pytest.fail if os.environ.get("HL7_STRICT") else pytest.skip)(f"{tool} is not installed")


# Ours are not installed where this runs, and systemd's need not be
ABSENT = re.compile(r"referenced manual not found|outdated mandoc.db")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_lint(page):
    """All but the level "base", which is what NetBSD and OpenBSD want in their own pages."""
    need("mandoc")
    done = subprocess.run(["mandoc", "-T", "lint", "-W", "style", page], capture_output=True, text=True, check=False)
    said = [line for line in (done.stdout + done.stderr).splitlines() if not ABSENT.search(line)]
    assert said == []


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_renders(page, columns):
    """As Debian's man does it, with all warnings: also what is too wide for its column of a table."""
    need("man")
    done = subprocess.run(["man", "--local-file", "--warnings=w", "--encoding=UTF-8", "--pager=cat", page],
                          env={**os.environ, "MANWIDTH": str(columns), "LC_ALL": "C.UTF-8"},
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=True)
    assert done.stderr == "" and page.stem.upper() in done.stdout


# In this order; what is a page's own stands between DESCRIPTION and these
LAST_SECTIONS = ["ENVIRONMENT", "FILES", "EXIT STATUS", "LOGGING", "SANDBOX", "SECURITY", "EXAMPLES", "DIAGNOSTICS",
                 "SEE ALSO", "STANDARDS", "CAVEATS"]
FIRST_SECTIONS = ["NAME", "SYNOPSIS", "DESCRIPTION"]
# What each page has, by its number; one of overview or advice has what it needs
PROGRAM_SECTIONS = {"NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "FILES", "EXIT STATUS", "LOGGING", "SECURITY", "EXAMPLES",
                    "SEE ALSO"}
SECTIONS = {".1": PROGRAM_SECTIONS, ".8": PROGRAM_SECTIONS,
            ".5": PROGRAM_SECTIONS - {"SYNOPSIS", "OPTIONS"}, ".7": {"NAME", "DESCRIPTION", "SEE ALSO"}}
WAY_IN = SOURCE / "src/manual/hl7-inetd.7"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_sections(page):
    titles = re.findall(r"^\.Sh (.*)$", page.read_text(encoding="utf-8"), re.M)
    assert len(titles) == len(set(titles))
    wanted = SECTIONS[".5" if page == WAY_IN else page.suffix]
    assert wanted <= set(titles), wanted - set(titles)
    first = [title for title in titles if title in FIRST_SECTIONS]
    last = [title for title in titles if title in LAST_SECTIONS]
    own = [title for title in titles if title not in first + last]
    assert titles == sorted(first, key=FIRST_SECTIONS.index) + own + sorted(last, key=LAST_SECTIONS.index)


OVERVIEWS = [page for page in PAGES if page.suffix in (".5", ".7")]


@pytest.mark.parametrize("page", OVERVIEWS, ids=lambda page: page.name)
def test_what_is_told_again(page):
    """Kinds of entries, their fields and exit statuses are those of a program's own page."""
    text = page.read_text(encoding="utf-8")
    of_programs = [path.read_text(encoding="utf-8") for path in PAGES if path.suffix in (".1", ".8")]
    assert set(re.findall(r"\b[0-9a-f]{32}\b", text)) <= all_message_ids()
    fields = {field for own in of_programs for field in re.findall(r"\bHL7_[A-Z_]+\b", own)}
    assert set(re.findall(r"\bVa (HL7_[A-Z_]+)\b", text)) <= fields
    if "\n.Sh EXIT STATUS\n" in text:
        statuses = {status for own in of_programs for status in re.findall(r"^\.It (\d+)$", section(own, "EXIT STATUS"), re.M)}
        named = set(re.findall(r"^\.It (\d+)(?:$|/)|\bwith (\d+)\b", section(text, "EXIT STATUS"), re.M))
        assert named and {one or other for one, other in named} <= statuses


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_way_back_to_the_way_in(page):
    text = page.read_text(encoding="utf-8")
    assert page == WAY_IN or "\n.Xr hl7-inetd 7" in section(text, "SEE ALSO")


@functools.cache
def installed():
    """{path in the system: path in the build}"""
    done = subprocess.run(["meson", "introspect", "--installed", BUILD], stdout=subprocess.PIPE, text=True, check=True)
    return {path: pathlib.Path(source) for source, path in json.loads(done.stdout).items()}


def made_by_units():
    """Paths that units make, and files that they read if a site has made them."""
    paths = set()
    for unit in (BUILD / "units").glob("hl7-*"):
        text = unit.read_text(encoding="utf-8")
        for key, folder in (("StateDirectory", "/var/lib/"), ("RuntimeDirectory", "/run/")):
            paths |= {folder + name for name in re.findall(rf"^{key}=(\S+)", text, re.M)}
        paths |= set(re.findall(r"^(?:ListenStream|EnvironmentFile)=-?(/\S+)", text, re.M))
    return paths


@functools.cache
def read_by_programs():
    """The folders and files that are the defaults of options."""
    helped = "".join(subprocess.run([BUILD / "src" / name / f"hl7-{name}", "--help"], stdout=subprocess.PIPE, text=True,
                                    check=True).stdout for name in PROGRAMS)
    return set(re.findall(r"\(default: (/[^;)\s]+)", helped))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files(page):
    """A path in FILES is one that is installed, or that a unit or a default of an option speaks of."""
    text = page.read_text(encoding="utf-8")
    if "\n.Sh FILES\n" not in text:
        return
    there = set(installed()) | made_by_units() | read_by_programs()
    units = {pathlib.Path(path).name for path in there}
    paths = [word for heading in re.findall(r"^\.It (Pa .*)$", section(text, "FILES"), re.M)
             for word in re.findall(r"Pa (\S+)", heading)]
    for path in paths:
        if path.startswith("/"):
            # what stands below a folder that a program or a unit makes is in hl7-store(5), and in its tests
            folder = re.sub(r"/[^/]*\*.*$|/$", "", path)
            assert any(folder == known or known.startswith(folder + "/") or folder.startswith(known + "/")
                       for known in there), path
        elif path.startswith("hl7-"):
            assert path in units, path


def test_installed():
    for page in PAGES:
        assert f"/usr/share/man/man{page.suffix[1:]}/{page.name}" in installed()


def test_each_unit_has_a_page():
    page = (SOURCE / "src/manual/hl7-receive.socket.5").read_text(encoding="utf-8")
    units = {pathlib.Path(path).name for path in installed() if re.search(r"/hl7-[^/]*\.(socket|service|path|timer)$", path)}
    assert len(units) > 10
    assert set(re.findall(r"^\.Nm (\S+)", page, re.M)) == units
    for unit in units - {"hl7-receive.socket"}:
        assert installed()[f"/usr/share/man/man5/{unit}.5"].read_text(encoding="utf-8") == ".so man5/hl7-receive.socket.5\n"


def test_settings_of_units():
    """What the page of the units says a unit has, it has."""
    page = (SOURCE / "src/manual/hl7-receive.socket.5").read_text(encoding="utf-8")
    stated = 0
    for title in ("SOCKETS", "SERVICES", "PATHS AND TIMERS"):
        for heading, text in re.findall(r"^\.Ss ([^\n]*)\n(.*?)(?=^\.Ss |\Z)", section(page, title), re.M | re.S):
            for unit in heading.split(" , "):
                source = (BUILD / "units" / unit) if (BUILD / "units" / unit).exists() else SOURCE / "units" / unit
                lines = source.read_text(encoding="utf-8").splitlines()
                for line in re.findall(r"^\.(?:It )?Cm (.*)$", text, re.M):
                    for setting in re.findall(r"[A-Z]\w+=[^ ,]\S*(?: [\d:]{8})?", line):
                        if setting.startswith("PollLimit"):
                            continue    # from systemd 255 on; the stage "units" looks at both
                        stated += 1
                        assert any(re.sub("=-", "=", known).startswith(setting) for known in lines), (unit, setting)
    assert stated > 15


def test_nobody_is_told_to_delete_files_of_the_store():
    """What waits or failed would go with them; hl7-queue expire minds that."""
    for path in [*PAGES, SOURCE / "README.md"]:
        assert not re.search(r"find /var/lib.*-delete|\brm .*/var/lib", path.read_text(encoding="utf-8")), path.name
