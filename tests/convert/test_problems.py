# SPDX-License-Identifier: MIT
"""Every error and every warning: problems/NAME.hl7t is what is wrong, NAME.txt what is told of it.

A message that is in the sources and in none of these files is a message that nobody has ever seen.
"""
import re

import pytest

from tool import HERE, SOURCE, check_golden, convert

PROBLEMS = HERE / "problems"
CASES = sorted(PROBLEMS.glob("*.hl7t"))

# Told of what no file in a repository should be; each has a test below.
TOLD_ELSEWHERE = {"a table has at most %zu rows"}

# A file of that size is refused when it is read, by its size (File too large): the compiler's own
# limit stands behind it, for callers that have the text from elsewhere.
NEVER_TOLD = {"a template has at most %zu bytes"}


def check(name):
    tables = "broken-tables" if name == "broken-tables" else "tables"
    return convert("--check", f"--tables={tables}", "--destinations=destinations", f"{name}.hl7t",
                   cwd=PROBLEMS)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_what_is_told(case):
    done = check(case.stem)
    check_golden(case.with_suffix(".txt"), done.told.encode())
    assert done.status == (78 if " error: " in done.told else 0)
    assert done.out == b""


PLACE = re.compile(r"([^:\n]+):(\d+):(\d+): (?:error|warning): .*")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_place_line_and_caret(case):
    """Line and column are in the file, the line is shown as it is, the caret stands under it."""
    told = check(case.stem).told.split("\n")
    for i, line in enumerate(told):
        match = PLACE.fullmatch(line)
        if not match or match[2] == "0":
            continue
        path, number, column = PROBLEMS / match[1], int(match[2]), int(match[3])
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
        assert number <= len(lines) and told[i + 1] == lines[number - 1]
        assert column <= len(told[i + 1]) + 1
        assert len(told[i + 2]) == column and re.fullmatch(r"[ \t]*\^", told[i + 2])
        assert all((a == "\t") == (b == "\t") for a, b in zip(told[i + 1], told[i + 2][:-1]))


CONVERSION = "{to ris}\nMSH|^~\\&|{MSH-3}|||||||ADT^A08|{MSH-10}|P|2.5\n"
ACKNOWLEDGEMENT = "MSH|^~\\&|{MSH-5}|||||||ACK|{id}|P|2.5\nMSA|{ack.code}|{MSH-10}\n"


@pytest.mark.parametrize("folder, text, status", [
    ("convert.d", CONVERSION, 0), ("convert.d", ACKNOWLEDGEMENT, 78), ("ack.d", ACKNOWLEDGEMENT, 0),
    ("ack.d", CONVERSION, 78), ("other", CONVERSION, 0), ("other", ACKNOWLEDGEMENT, 0)])
@pytest.mark.parametrize("named", ["the folder", "the file", "from inside"])
def test_kind_by_its_folder(tmp_path, folder, text, status, named):
    """What the receiver would refuse is not right."""
    (tmp_path / folder).mkdir()
    (tmp_path / "ris.conf").touch()
    path = tmp_path / folder / "x.hl7t"
    path.write_text(text, encoding="ascii")
    argument, cwd = {"the folder": (path.parent, None), "the file": (path, None),
                     "from inside": ("x.hl7t", path.parent)}[named]
    done = convert("--check", f"--destinations={tmp_path}", argument, cwd=cwd)
    assert done.status == status and ("error: " in done.told) == (status != 0), done


def test_there_is_nothing_to_tell_of_a_right_one():
    assert check("right").told == ""


# --- none is missing ------------------------------------------------------------------------------

STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')
REPORTS = re.compile(r"\b(?:complain\w*|warn\w*|problem_add|expect|snprintf)\(|\breturn (?=\")")


def call_text(source, begin):
    """From behind a call's parenthesis to the end of its statement; strings may hold anything."""
    i = begin
    while source[i] != ";":
        string = STRING.match(source, i)
        i = string.end() if string else i + 1
    return source[begin:i]


def literals(text):
    """Literals of a call: neighbours are one, the alternatives of a ?: are not."""
    for match in re.finditer(rf"(?:{STRING.pattern}\s*)+", text):
        joined = "".join(m[1] for m in STRING.finditer(match[0]))
        yield joined.replace('\\"', '"').replace("\\\\", "\\")


def formats():
    """Every text that is given to a function which reports a problem, and the file it is in."""
    found = {}
    for name in ("compile.c", "expression.c", "table.c", "load.c"):
        source = (SOURCE / "src/template" / name).read_text(encoding="utf-8", errors="replace")
        source = re.sub(r"/\*.*?\*/", "", source, flags=re.S)
        for match in REPORTS.finditer(source):
            for text in literals(call_text(source, match.end())):
                if " " in text.strip():
                    found[text] = name
    return found


FORMATS = formats()


def test_the_sources_were_understood():
    assert len(FORMATS) > 75
    for known in ("a } without its {; a literal one is written }}", "a ] is missing",
                  "unknown segment %s; did you mean %s?", "a comparison is written ==",
                  "a tab between key and value is missing", "nothing may follow this word"):
        assert known in FORMATS


@pytest.mark.parametrize("text", sorted(FORMATS))
def test_each_is_in_a_golden_file(text):
    if text in TOLD_ELSEWHERE | NEVER_TOLD:
        return
    told = "".join(p.read_text(encoding="utf-8", errors="replace") for p in sorted(PROBLEMS.glob("*.txt")))
    pattern = re.sub(r"%(?:\\\.\\\*)?(?:zu|s|u|d)", ".+?", re.escape(text).replace("%%", "%"))
    assert re.search(rf": {pattern}\n", told), f"{FORMATS[text]}: {text}"


def test_each_refusal_is_in_a_golden_file():
    source = (SOURCE / "src/template/render.c").read_text(encoding="utf-8", errors="replace")
    texts = re.findall(r'TEMPLATE_REFUSAL_\w+:\s+return "([a-z][^"]*)";', source)
    assert len(texts) == 4
    told = "".join(p.read_text(encoding="utf-8", errors="replace") for p in (HERE / "golden").glob("*/told.txt"))
    for text in texts:
        assert f": {text}" in told, text


def test_too_many_rows(tmp_path):
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables/many.tsv").write_text("".join(f"{i}\t\n" for i in range(1_000_001)))
    (tmp_path / "t.hl7t").write_text("ZZZ|{PID-8:map(many)}\n")
    done = convert("--check", f"--tables={tmp_path}/tables", tmp_path / "t.hl7t")
    assert done.status == 78
    assert "many.tsv:1000001:1: error: a table has at most 1000000 rows\n" in done.told


@pytest.mark.parametrize("n, status", [(1024 * 1024, 0), (1024 * 1024 + 1, 66)])
def test_size_of_a_template(tmp_path, n, status):
    template = b"ZZZ|x\n"
    (tmp_path / "t.hl7t").write_bytes(template + b"#" * (n - len(template)))
    done = convert("--check", tmp_path / "t.hl7t")
    assert (done.status, "File too large" in done.told) == (status, status != 0)
