# SPDX-License-Identifier: MIT
"""What these tests share: the build, its programs, and what other tools say of them.

Environment:
  HL7_BUILD_DIR     a finished build (default: ../../build)
  HL7_NODE_MODULES  where the packages of package.json are
  HL7_STRICT        when set, a tool that is missing is a failure and not a skip
"""
import functools
import json
import os
import pathlib
import re
import shutil
import subprocess

import pytest

HERE = pathlib.Path(__file__).resolve().parent
SOURCE = HERE.parent.parent
BUILD = pathlib.Path(os.environ.get("HL7_BUILD_DIR", SOURCE / "build"))

# The programs by their packages
PACKAGES = {"hl7-inetd": ["receive", "forward", "queue"], "hl7-inetd-tools": ["send", "convert", "show"],
            "hl7-amqp": ["amqp"]}


def missing(reason):
    """Skips the test and says why; a failure where HL7_STRICT is set."""
    if os.environ.get("HL7_STRICT"):
        pytest.fail(reason)
    pytest.skip(reason)


def need(tool):
    """The path of a program that these tests need beside ours."""
    path = shutil.which(tool, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if not path:
        missing(f"{tool} is not installed")
    return path


def run(*command, **options):
    """What a command prints; it must succeed."""
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, f"{' '.join(map(str, command))}: {done.stdout}{done.stderr}"
    return done.stdout


def program(name):
    """A built program by its short name; it is in the build if its package is."""
    path = BUILD / "src" / name / f"hl7-{name}"
    if not path.exists():
        missing(f"{path} was not built (-Damqp=enabled builds hl7-amqp)")
    return path


@functools.cache
def document(package, kind="cdx"):
    path = BUILD / "packaging" / f"{package}.{kind}.json"
    if not path.exists():
        missing(f"{path} was not built (-Damqp=enabled builds hl7-amqp)")
    return json.loads(path.read_text(encoding="utf-8"))


def build_id(path):
    return re.search(r"Build ID: ([0-9a-f]+)", run("readelf", "-n", path))[1]


@functools.cache
def imports(path):
    """The functions that a program or a library takes from others, without their versions."""
    found = re.findall(r" UND ([\w.]+)", run("readelf", "--dyn-syms", "-W", path))
    assert found, f"{path} imports nothing?"
    return set(found)


def loaded(path):
    """The loader's own list of what it loads for a program: {soname: path}."""
    text = run("ldd", path)
    found = dict(re.findall(r"^\s*(\S+) => (/\S+) \(", text, re.M))
    return found | {os.path.basename(p): p for p in re.findall(r"^\s*(/\S+) \(", text, re.M)}


def properties(component, name):
    return [p["value"] for p in component["properties"] if p["name"] == f"hl7-inetd:{name}"]


def sonames(component):
    """The libraries of a component, also those that are opened later."""
    return properties(component, "soname") + properties(component, "soname-opened-later")


def reached(bom, ref):
    """The components that one of them needs, directly or not."""
    needs = {d["ref"]: d["dependsOn"] for d in bom["dependencies"]}
    found, left = set(), [ref]
    while left:
        for on in needs[left.pop()]:
            if on not in found:
                found.add(on)
                left.append(on)
    return [c for c in bom["components"] if c["bom-ref"] in found]
