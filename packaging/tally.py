#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""tally.py FILE...: the results of meson's *.json or pytest's *.xml, a line each: STATUS NAME REASON, by tabs.

STATUS is passed, failed or skipped. A file that is missing or cannot be read is a failure: its runner died.
"""
import json
import pathlib
import re
import sys
import xml.etree.ElementTree

WORST = ["passed", "skipped", "failed"]


def skipped_by_cmocka(test):
    """The tests inside of a program that skipped themselves: for meson it has passed."""
    said = []
    for line in (test.get("stdout") or "").splitlines():
        name = re.fullmatch(r"\[ +SKIPPED +\] (.+)", line)
        if name and said:
            # who does not say why has not skipped itself, but forgotten something
            reason = " ".join(said[1:])
            yield "skipped" if reason else "failed", f"{test['name']}: {name[1]}", reason or "skipped without a reason"
        if line.startswith("["):
            said = [line] if " RUN " in line else []
        elif said:
            said.append(line)


def of_meson(path):
    for line in path.read_text(encoding="utf-8").splitlines():
        test = json.loads(line)
        result = test["result"]
        if result in ("OK", "EXPECTEDFAIL"):
            yield "passed", test["name"], ""
            yield from skipped_by_cmocka(test)
        elif result == "SKIP":
            yield "skipped", test["name"], (test.get("stdout") or "").strip()[-200:]
        else:
            yield "failed", test["name"], result


def of_pytest(path):
    for case in xml.etree.ElementTree.parse(path).iter("testcase"):
        name = "::".join(filter(None, (case.get("classname"), case.get("name"))))
        status, reason = "passed", ""
        for child in case:
            if child.tag in ("failure", "error"):
                status, reason = "failed", child.get("message") or child.tag
            elif child.tag == "skipped" and status == "passed":
                status, reason = "skipped", child.get("message") or ""
        yield status, name, reason


def of_file(path):
    results = {}    # a test that fails in its body and in its end is one test
    for status, name, reason in of_pytest(path) if path.suffix == ".xml" else of_meson(path):
        if name not in results or WORST.index(status) > WORST.index(results[name][0]):
            results[name] = (status, reason)
    if not results:
        raise ValueError("no test was run")
    return results


def main():
    for path in map(pathlib.Path, sys.argv[1:]):
        try:
            results = of_file(path)
        except (OSError, ValueError, KeyError, xml.etree.ElementTree.ParseError) as error:
            results = {path.stem: ("failed", f"no results: {error}")}
        for name, (status, reason) in results.items():
            print(status, name, " ".join(reason.split())[:160], sep="\t")


main()
