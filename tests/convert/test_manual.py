# SPDX-License-Identifier: MIT
"""hl7-template(5) is run: its filters' tables, its examples, and what it says the limits are.

A comment in front of a literal block says what the block is; the page's first lines list them.
"""
import re

import pytest

from tool import CR, MANUAL, RECEIVE, SOURCE, convert, frame, masked, run

PAGE = MANUAL.read_text(encoding="utf-8")


def plain(text):
    """mdoc's literal text as a reader sees it."""
    return re.sub(r"^\\&", "", text, flags=re.M).replace(r"\e", "\\")


def blocks():
    """(kind, name, text) of each marked block."""
    found = re.findall(r'^\.\\" test: (\w+)(?: ([\w-]+))?\n\.Bd [^\n]*\n(.*?)^\.Ed$', PAGE,
                       re.M | re.S)
    return [(kind, name, plain(text)) for kind, name, text in found]


BLOCKS = blocks()


def named(kind):
    return {name: text for k, name, text in BLOCKS if k == kind}


TEMPLATES, MESSAGES, RESULTS = named("template"), named("message"), named("result")


def test_every_mark_was_found():
    assert len(BLOCKS) == len(re.findall(r'^\.\\" test: ', PAGE, re.M)) > 30
    unmarked = PAGE.count("\n.Bd -literal") - len(BLOCKS)
    # the grammar, the shell's lines, the picture of a scope, the looks of an error
    assert unmarked == 4


@pytest.fixture
def tables(tmp_path):
    folder = tmp_path / "tables"
    folder.mkdir()
    for name, text in named("table").items():
        (folder / f"{name}.tsv").write_text(text, encoding="utf-8")
    return folder


def filter_examples():
    for kind, _, text in BLOCKS:
        if kind == "filters":
            for line in text.splitlines():
                hole, value, result = re.split(r" {2,}", line)
                yield hole, value, result


def unquoted(value):
    """Quotes around a value show where its blanks end."""
    return value[1:-1] if len(value) > 2 and value[0] == value[-1] == '"' else value


@pytest.mark.parametrize("hole, value, result", filter_examples())
def test_filter(tmp_path, tables, hole, value, result):
    segment, field = re.search(r"([A-Z][A-Z0-9]{2})-(\d+)", hole).groups()
    message = "MSH|^~\\&|A\r" + segment + "|" * int(field) + unquoted(value) + "\r"
    (tmp_path / "t.hl7t").write_text(f"ZZZ|{hole}\n", encoding="utf-8")
    done = convert(f"--tables={tables}", tmp_path / "t.hl7t", data=message.encode())
    if result == "refused":
        assert done.status == 1 and done.out == b"" and f", at {segment}^1^" in done.told
    else:
        assert done.out.decode() == f"ZZZ|{unquoted(result)}\r"


def test_every_filter_has_an_example():
    expression = (SOURCE / "src/template/expression.c").read_text(encoding="utf-8")
    names = re.search(r"filter_names\[\] = \{(.*?)\}", expression, re.S)[1]
    for name in re.findall(r'"(\w+)"', names):
        assert any(f":{name}" in hole for hole, _, _ in filter_examples()), name


@pytest.mark.parametrize("name", TEMPLATES)
def test_template_compiles_without_a_word(tmp_path, tables, name):
    (tmp_path / "t.hl7t").write_text(TEMPLATES[name], encoding="utf-8")
    (tmp_path / "destinations").mkdir()
    named_there = " ".join(re.findall(r"\{to (.*?)\}", TEMPLATES[name]))
    for destination in named_there.split():
        (tmp_path / "destinations" / f"{destination}.conf").touch()
    done = convert("--check", f"--tables={tables}", f"--destinations={tmp_path}/destinations",
                   tmp_path / "t.hl7t")
    assert (done.status, done.told) == (0, "")


@pytest.mark.parametrize("name", RESULTS)
def test_result(tmp_path, tables, name):
    message = MESSAGES.get(name, MESSAGES["all"])
    (tmp_path / "t.hl7t").write_text(TEMPLATES[name], encoding="utf-8")
    done = convert("--lines", f"--tables={tables}", tmp_path / "t.hl7t", data=message.encode())
    assert (done.status, done.out.decode()) == (0, RESULTS[name])


@pytest.mark.parametrize("name", named("refused"))
def test_refused(tmp_path, tables, name):
    (tmp_path / "t.hl7t").write_text(TEMPLATES[name], encoding="utf-8")
    done = convert(f"--tables={tables}", tmp_path / "t.hl7t", data=MESSAGES["all"].encode())
    assert done.status == 1 and done.out == b""
    assert done.told.endswith(f", at {named('refused')[name]}")


def test_one_message_per_order_gives_messages_of_their_own(tmp_path):
    (tmp_path / "t.hl7t").write_text(TEMPLATES["split"], encoding="utf-8")
    (tmp_path / "out").mkdir()
    done = convert(f"--split={tmp_path}/out", tmp_path / "t.hl7t", data=MESSAGES["all"].encode())
    assert done.status == 0
    files = [p.read_bytes() for p in sorted((tmp_path / "out").iterdir())]
    assert b"".join(files).replace(CR, b"\n").decode() == RESULTS["split"]
    assert [f.count(b"MSH|") for f in files] == [1, 1]


@pytest.mark.parametrize("sender, wanted", [
    ("LAB", ["route"]), ("RAD", []), ("XYZ", ["route-rest"]),
])
def test_routes(tmp_path, sender, wanted):
    for name in ("route", "route-rest"):
        (tmp_path / f"{name}.hl7t").write_text(TEMPLATES[name], encoding="utf-8")
    message = MESSAGES["all"].replace("|LAB|", f"|{sender}|").encode()
    done = convert("--when", tmp_path, data=message)
    taken = re.findall(r"/([\w-]+)\.hl7t: takes it", done.out.decode())
    assert taken == wanted and done.status == (0 if wanted else 1)


# --- acknowledgements -----------------------------------------------------------------------------

@pytest.mark.parametrize("name", named("ack"))
@pytest.mark.parametrize("control_id, code", [("M1", b"AA"), ("", b"AE")])
def test_acknowledgement(tmp_path, name, control_id, code):
    """hl7-receive answers with it; the smallest one only where AA is the outcome."""
    text = named("ack")[name]
    (tmp_path / "ack.d").mkdir()
    (tmp_path / "ack.d/t.hl7t").write_text(text, encoding="utf-8")
    message = MESSAGES["all"].replace("|M1|", f"|{control_id}|").replace("\n", "\r").encode()
    done = run([RECEIVE, "--no-store", f"--ack-templates={tmp_path}/ack.d", "--log=stderr",
                f"--convert-templates={tmp_path}/none", f"--tables={tmp_path}/none"],
               frame(message))
    answer = masked(done.out).split(CR)
    assert answer[1].startswith(b"MSA|" + code)
    sender = {"shipped": b"BROKER|H", "custom": b"BROKER|H", "smallest": b"OUR_APP|OUR_FACILITY"}
    used = name if code == b"AA" or name != "smallest" else "shipped"
    assert answer[0].lstrip(b"\x0b").startswith(b"MSH|^~\\&|" + sender[used])
    if code == b"AE":
        assert answer[2].startswith(b"ERR||MSH^1^10|101^")
    elif name == "custom":
        assert answer[1] == b"MSA|AA|M1|stored"


def test_the_shipped_one_is_shown():
    shipped = (SOURCE / "templates/ack.hl7t").read_text(encoding="utf-8")
    lines = [line for line in shipped.splitlines() if not line.startswith("#")]
    assert named("ack")["shipped"].splitlines() == lines


# --- what it says of limits and names -------------------------------------------------------------

def constant(name, file):
    text = (SOURCE / "src" / file).read_text(encoding="utf-8")
    value = re.search(rf"#define {name}\s+(.*?)(?:\s*/\*|$)", text, re.M)[1]
    numbers = [int(n) for n in re.findall(r"\d+", re.sub(r"\((?:size_t|uint64_t)\)", "", value))]
    product = 1
    for n in numbers:
        product *= n
    return product


@pytest.mark.parametrize("name, file, said", [
    ("TEMPLATE_SOURCE_BYTES_MAX", "template/template.h", "a template Ta 1 MiB"),
    ("TEMPLATE_FILES_MAX", "template/load.h", "templates in a folder Ta 1000"),
    ("TABLE_SOURCE_BYTES_MAX", "template/table.h", "a table Ta 16 MiB"),
    ("TABLE_ROWS_MAX", "template/table.h", "MiB, 1,000,000 rows"),
    ("TEMPLATE_NESTING_MAX", "template/template.h", "inside each other Ta 16"),
    ("CONDITIONS_MAX", "template/expression.c", "with joins Ta 500"),
    ("TEMPLATE_DESTINATIONS_MAX", "template/template.h", "destinations of a template Ta 32"),
    ("TEMPLATE_DESTINATION_CHARS", "template/template.h", "of 64 characters"),
    ("CONVERSION_RESULTS_MAX", "receive/convert.h", "renderings of one message Ta 256"),
    ("CONVERSION_ENTRIES_MAX", "receive/convert.h", "that are made of one Ta 1000"),
    ("TEMPLATE_STEPS_MAX", "template/template.h", "steps of one rendering Ta 50,000,000"),
    ("TEMPLATE_FAILURES_MAX", "template/template.h", "refused values that are told Ta 8"),
    ("PROBLEMS_MAX", "template/problem.h", "that are told of a file Ta 32"),
    ("ADDRESS_NUMBER_MAX", "hl7/address.h", "is 1 to 99999"),
    ("FILTER_NUMBER_MAX", "template/expression.c", "those of filters 1 to 100000"),
])
def test_limit(name, file, said):
    assert said in PAGE
    numbers = re.findall(r"([\d,]*\d)( MiB)?", said)
    number, unit = numbers[0 if " Ta " in said and name != "TABLE_ROWS_MAX" else -1]
    value = int(number.replace(",", "")) * (1024 * 1024 if unit else 1)
    assert constant(name, file) == value


def test_character_sets_that_it_names_are_known(tmp_path):
    paragraph = re.search(r"^Known are (.*?)^\.Pp", PAGE, re.M | re.S)[1]
    names = [n.strip() for n in re.split(r",| and |\n", paragraph.split(", and with")[0])]
    names = [n for n in names if n and " to " not in n]
    names += ["ISO IR87", "ISO IR159", "8859/1", "8859/9", "windows-1250", "windows-1254"]
    names += [n.strip() for n in re.search(r"\.Pq (UNICODE.*) ;", PAGE)[1].split(",")]
    assert len(names) > 15
    for name in names:
        (tmp_path / "t.hl7t").write_text(f"{{charset {name}}}\nZZZ|x\n")
        assert convert("--check", tmp_path / "t.hl7t").told == "", name
    for name in ("UTF-16", "UNICODE UTF-32", "klingon"):
        (tmp_path / "t.hl7t").write_text(f"{{charset {name}}}\nZZZ|x\n")
        assert convert("--check", tmp_path / "t.hl7t").status == 78, name
