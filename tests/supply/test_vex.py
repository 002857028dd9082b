# SPDX-License-Identifier: MIT
"""What the VEX documents say of vulnerabilities is true of these programs, and refers to what is in the SBOM."""
import json
import os
import re

import pytest

from supply import PACKAGES, SOURCE, document, imports, loaded, program, run, sonames

STATEMENTS = json.loads((SOURCE / "packaging/vex.json").read_text(encoding="utf-8"))["statements"]


def built():
    """The programs of this build, by their names."""
    return {f"hl7-{n}": program(n) for names in PACKAGES.values() for n in names}


def path_of(soname):
    """A library that a program of ours loads, at once or later; None where none does."""
    if not version_of(soname):
        return None
    path = run("gcc", f"-print-file-name={soname}").strip()
    assert path.startswith("/"), f"{soname} is not found"
    return path


def version_of(soname):
    for package in PACKAGES:
        for c in document(package)["components"]:
            if soname in sonames(c):
                return c["version"]
    return ""


# --- what a statement can rest on: each gives what contradicts it ---------------------------------------------------

def not_imported(functions, _):
    return [f"{name} imports {f}" for name, path in built().items() for f in functions if f in imports(path)]


def not_imported_by(pairs, _):
    return [f"{name} imports {f}" for name, functions in pairs.items() for f in functions
            if f in imports(built()[name])]


def not_imported_by_library(pairs, _):
    wrong = []
    for soname, functions in pairs.items():
        path = path_of(soname)
        # a library that is opened later is asked for functions by their names
        names = imports(path) | set(re.findall(r"[\w]{6,}", open(path, "rb").read().decode("latin-1")))
        wrong += [f"{soname} knows {f}" for f in functions if f in names]
    return wrong


def imports_only(pairs, _):
    return [f"{name} imports {f}" for prefix, allowed in pairs.items() for name, path in built().items()
            for f in imports(path) if f.startswith(prefix) and f not in allowed]


def not_in_source(pairs, _):
    return [f"{file} has {word}" for file, words in pairs.items() for word in words
            if word.lower() in (SOURCE / file).read_text(encoding="utf-8").lower()]


def not_privileged(_, __):
    wrong = []
    for name, path in built().items():
        if path.stat().st_mode & 0o6000 or "security.capability" in os.listxattr(path):
            wrong.append(f"{name} has privileges of its own")
        if not loaded(path):
            wrong.append(f"{name} is linked statically")
    for file in (SOURCE / "src").rglob("meson.build"):
        if "install_mode" in file.read_text(encoding="utf-8"):
            wrong.append(f"{file} installs with a mode of its own")
    return wrong


def not_a_component(names, _):
    return [f"{package} has {c['name']}" for package in PACKAGES for c in document(package)["components"]
            if c["name"] in names]


def not_loaded_by(names, statement):
    return [f"{name} loads it" for name in names if statement["library"] in loaded(built()[name])]


def version_is_not(versions, statement):
    version = version_of(statement["library"])
    return [f"it is {version}" for v in versions if re.search(rf"(^|:){re.escape(v)}\b", version)]


def fixed(_, statement):
    """The state is the generator's; here only that there is something to compare with."""
    return [] if statement["fixed"] and statement["state"] == "resolved" else ["no version is named"]


KINDS = {f.__name__: f for f in (not_imported, not_imported_by, not_imported_by_library, imports_only, not_in_source,
                                 not_privileged, not_a_component, not_loaded_by, version_is_not, fixed)}


def contradictions(holds, statement):
    return [wrong for kind, what in holds.items() for wrong in KINDS[kind](what, statement)]


# --- tests ----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("statement", STATEMENTS, ids=lambda s: s["ids"][0])
def test_it_holds(statement):
    if path_of(statement["library"]) is None:
        pytest.skip(f"nothing loads {statement['library']} here: it is in no document")
    assert statement["holds"]
    assert contradictions(statement["holds"], statement) == []


@pytest.mark.parametrize("holds, library", [
    ({"not_imported": ["iconv_open"]}, "libc.so.6"),
    ({"not_imported_by": {"hl7-forward": ["getaddrinfo"]}}, "libc.so.6"),
    ({"not_imported_by_library": {"libsystemd.so.0": ["lzma_stream_decoder"]}}, "liblzma.so.5"),
    ({"imports_only": {"sd_": ["sd_journal_open"]}}, "libsystemd.so.0"),
    ({"not_in_source": {"src/template/charset.c": ["ISO-2022-JP-3"]}}, "libc.so.6"),
    ({"not_a_component": ["libc6"]}, "libc.so.6"),
    ({"not_loaded_by": ["hl7-receive"]}, "libc.so.6"),
], ids=lambda x: next(iter(x)) if isinstance(x, dict) else "")
def test_what_does_not_hold_is_found(holds, library):
    assert contradictions(holds, {"library": library})


def test_a_version_that_is_excluded_is_found():
    version = version_of("libc.so.6").partition("-")[0]
    assert version_is_not([version], {"library": "libc.so.6"})
    assert not version_is_not([version + "9"], {"library": "libc.so.6"})


@pytest.mark.parametrize("package", PACKAGES)
def test_references(package):
    """Each refers to a component of the SBOM that it was made with, and each library's statements are there."""
    bom, vex = document(package), document(package, "vex.cdx")
    link = f"urn:cdx:{bom['serialNumber'].removeprefix('urn:uuid:')}/{bom['version']}#"
    refs = {s: c["bom-ref"] for c in bom["components"] for s in sonames(c)}
    expected = {(i, link + refs[s["library"]]) for s in STATEMENTS if s["library"] in refs for i in s["ids"]}
    assert {(v["id"], a["ref"]) for v in vex["vulnerabilities"] for a in v["affects"]} == expected
    assert expected


@pytest.mark.parametrize("package", PACKAGES)
def test_states(package):
    """Not affected always says why; what has to be updated is resolved only where the library is newer."""
    by_id = {i: s for s in STATEMENTS for i in s["ids"]}
    for v in document(package, "vex.cdx")["vulnerabilities"]:
        analysis = v["analysis"]
        assert ("justification" in analysis) == (analysis["state"] == "not_affected"), v["id"]
        assert analysis["detail"]
        if "fixed" in by_id[v["id"]]:
            assert analysis["state"] in ("resolved", "in_triage"), v["id"]


def test_ids():
    ids = [i for s in STATEMENTS for i in s["ids"]]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"CVE-\d{4}-\d{4,7}", i) for i in ids)
