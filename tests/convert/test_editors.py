# SPDX-License-Identifier: MIT
"""The highlighting for Vim and for editors with TextMate grammars: it loads, and colours what it
should. The grammar is run by the modules that Visual Studio Code runs it with, if they are there
(npm install in this folder); without them its regular expressions are compiled, and no more."""
import json
import os
import re
import shutil
import subprocess

import pytest

from tool import HERE, PATIENCE, SOURCE, TEMPLATES, missing

VIM = TEMPLATES / "vim"
VSCODE = TEMPLATES / "vscode"
GRAMMAR = VSCODE / "syntaxes/hl7t.tmLanguage.json"

SAMPLE = r'''# a comment with {PID-3}
  # an indented one
{when MSH-9.1 == "ORU" and not MSH-3 in ("LAB", "a } brace") or null(PID-8)}
{to ris}
{delimiters source}
MSH|^~\&|BROKER|{MSH-4[2].1.2}|{0-9}|{now}|{id}
PID|1||{PID-2 or PID-3[*].1:map(sex, "U"):first(20)}^A\S\B|{{literal}}
  {each error}
ERR||{error.location}|{"say ""x"""}|}
  {end}
{PID}'''.split("\n")

# (line from 0, token, group of Vim, scope of the grammar)
EXPECTED = [
    (0, "comment", "hl7tComment", "comment.line.number-sign"),
    (0, "PID-3", "hl7tComment", "comment.line.number-sign"),
    (1, "indented", "hl7tComment", "comment.line.number-sign"),
    (2, "when", "hl7tKeyword", "keyword.control"),
    (2, "MSH-9.1", "hl7tAddress", "variable.other.address"),
    (2, "==", "hl7tOperator", "keyword.operator"),
    (2, "ORU", "hl7tString", "string.quoted.double"),
    (2, "and", "hl7tOperator", "keyword.operator"),
    (2, "not", "hl7tOperator", "keyword.operator"),
    (2, "a } brace", "hl7tString", "string.quoted.double"),
    (2, "null", "hl7tOperator", "keyword.operator"),
    (2, "PID-8", "hl7tAddress", "variable.other.address"),
    (3, "to", "hl7tKeyword", "keyword.control"),
    (4, "source", "hl7tKeyword", "keyword.control"),
    (5, "MSH", "hl7tSegment", "entity.name.type.segment"),
    (5, "MSH-4[2].1.2", "hl7tAddress", "variable.other.address"),
    (5, "0-9", "hl7tPosition", "variable.other.position"),
    (5, "now", "hl7tName", "variable.language"),
    (5, "id", "hl7tName", "variable.language"),
    (6, "PID", "hl7tSegment", "entity.name.type.segment"),
    (6, "|1", "hl7tDelimiter", "punctuation.separator"),
    (6, "or", ("hl7tOr", "hl7tOperator"), "keyword.operator"),
    (6, "PID-3[*].1", "hl7tAddress", "variable.other.address"),
    (6, "map", "hl7tFilter", "support.function.filter"),
    (6, "U", "hl7tString", "string.quoted.double"),
    (6, "first", "hl7tFilter", "support.function.filter"),
    (6, "\\S\\", "hl7tEscape", "constant.character.escape"),
    (6, "{{", "hl7tBrace", "constant.character.escape"),
    (6, "}}", "hl7tBrace", "constant.character.escape"),
    (7, "each", "hl7tKeyword", "keyword.control"),
    (7, "error", "hl7tName", "variable.language"),
    (8, "error.location", "hl7tName", "variable.language"),
    (8, "say", "hl7tString", "string.quoted.double"),
    (9, "end", "hl7tKeyword", "keyword.control"),
    (10, "PID", "hl7tAddress", "variable.other.address"),
]


def at(line, token):
    """Where a token begins: a word as a word."""
    pattern = re.escape(token)
    if token[0].isalnum():
        pattern = rf"(?<![\w.-]){pattern}" + (r"(?![\w.-])" if token[-1].isalnum() else "")
    return re.search(pattern, SAMPLE[line]).start()


def run(command, **env):
    return subprocess.run([str(c) for c in command], capture_output=True, text=True, check=True,
                          timeout=PATIENCE, stdin=subprocess.DEVNULL,
                          env={**os.environ, "LC_ALL": "C.UTF-8", **env})


# --- Vim ------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def vim():
    path = shutil.which("vim")
    if not path:
        missing("vim is not installed")
    version = run([path, "--version"]).stdout
    if "+syntax" not in version or "+eval" not in version:
        missing("this vim has no syntax highlighting (a small one, such as vim-tiny)")
    return path


def look(vim, tmp_path, text):
    """(first line: what was found out, then the groups of each line's characters)"""
    (tmp_path / "t.hl7t").write_text(text, encoding="utf-8")
    run([vim, "-es", "-N", "-u", "NONE", "-i", "NONE", "-n", "--cmd", f"set rtp^={VIM}", "-S",
         HERE / "editors/look.vim"], HL7T_FILE=str(tmp_path / "t.hl7t"),
        HL7T_OUT=str(tmp_path / "groups"), HOME=str(tmp_path))
    lines = (tmp_path / "groups").read_text().split("\n")
    return lines[0], [line.split(",") for line in lines[1:]]


def test_vim(vim, tmp_path):
    loaded, groups = look(vim, tmp_path, "\n".join(SAMPLE))
    assert loaded == "filetype hl7t syntax hl7t"
    for line, token, group, _ in EXPECTED:
        assert groups[line][at(line, token)] in (group if isinstance(group, tuple) else (group,)), \
            (line, token)
    assert groups[8][len(SAMPLE[8]) - 1] == "hl7tError", "a brace that closes nothing"


def test_vim_finds_no_error_in_shipped_templates(vim, tmp_path):
    for path in TEMPLATES.glob("*.hl7t"):
        _, groups = look(vim, tmp_path, path.read_text(encoding="utf-8"))
        assert not any("hl7tError" in line for line in groups), path
        assert any("hl7tSegment" in line or "hl7tKeyword" in line for line in groups), path


# --- TextMate -------------------------------------------------------------------------------------

def expressions(value):
    """All regular expressions of a grammar."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in ("match", "begin", "end"):
                yield inner
            else:
                yield from expressions(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from expressions(inner)


def includes(value):
    if isinstance(value, dict):
        if "include" in value:
            yield value["include"]
        for inner in value.values():
            yield from includes(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from includes(inner)


def test_package():
    package = json.loads((VSCODE / "package.json").read_text(encoding="utf-8"))
    language, = package["contributes"]["languages"]
    grammar, = package["contributes"]["grammars"]
    assert language["extensions"] == [".hl7t"] and language["id"] == grammar["language"]
    assert json.loads(GRAMMAR.read_text(encoding="utf-8"))["scopeName"] == grammar["scopeName"]
    assert (VSCODE / grammar["path"]).samefile(GRAMMAR)
    configuration = json.loads((VSCODE / language["configuration"]).read_text(encoding="utf-8"))
    for rule in (*configuration["indentationRules"].values(),
                 *configuration["folding"]["markers"].values()):
        re.compile(rule)


def test_grammar():
    grammar = json.loads(GRAMMAR.read_text(encoding="utf-8"))
    assert len([re.compile(e) for e in expressions(grammar)]) > 10
    assert {i.lstrip("#") for i in includes(grammar)} == set(grammar["repository"])


@pytest.fixture(scope="module")
def modules():
    for folder in (HERE / "node_modules", os.environ.get("HL7_NODE_MODULES")):
        if folder and os.path.isdir(os.path.join(folder, "vscode-textmate")):
            return folder
    return missing("vscode-textmate is not installed: npm install in tests/convert")


def tokens(modules, path):
    if not shutil.which("node"):
        missing("node is not installed")
    done = run(["node", HERE / "editors/tokenize.js", modules, GRAMMAR, path])
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_tokens(modules, tmp_path):
    (tmp_path / "t.hl7t").write_text("\n".join(SAMPLE), encoding="utf-8")
    lines = tokens(modules, tmp_path / "t.hl7t")
    for line, token, _, scope in EXPECTED:
        begin, position = at(line, token), 0
        for text, found in lines[line]:
            if position <= begin < position + len(text):
                assert found.removesuffix(".hl7t") == scope, (line, token)
            position += len(text)
    assert lines[8][-1] == ["}", "invalid.illegal.hl7t"]


def test_tokens_of_shipped_templates(modules):
    for path in TEMPLATES.glob("*.hl7t"):
        found = [scope for line in tokens(modules, path) for _, scope in line]
        assert "invalid.illegal.hl7t" not in found, path


# --- both know what the compiler knows ------------------------------------------------------------

@pytest.mark.parametrize("path", [GRAMMAR, VIM / "syntax/hl7t.vim"], ids=["TextMate", "Vim"])
def test_names(path):
    text = re.sub(r"\\+([.%|()])", r"\1", path.read_text(encoding="utf-8"))
    expression = (SOURCE / "src/template/expression.c").read_text(encoding="utf-8")
    compiler = (SOURCE / "src/template/compile.c").read_text(encoding="utf-8")
    filters = re.search(r"filter_names\[\] = \{(.*?)\}", expression, re.S)[1]
    steers = re.findall(r'\{ "(\w+)", (?:true|false), steer_', compiler)
    names = re.findall(r'\[TEMPLATE_\w+\] = "([\w.]+)"', expression)
    assert len(names) >= 14 and len(steers) == 9
    for word in (*re.findall(r'"(\w+)"', filters), *steers, *names):
        for part in word.split("."):
            assert re.search(rf"\b{part}\b", text), word
