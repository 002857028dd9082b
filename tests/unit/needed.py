#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""needed.py READELF SANITIZERS PROGRAM LIBRARY...: the program asks the loader for these and no others.

The loader itself is not counted. A sanitizer (anything but "none") links libraries of its own, so its build
has nothing to tell.
"""
import re
import subprocess
import sys


def main():
    readelf, sanitizers, program, *wanted = sys.argv[1:]
    if sanitizers != "none":
        print(f"skipped: built with -Db_sanitize={sanitizers}, which adds libraries")
        sys.exit(77)
    text = subprocess.run([readelf, "-d", program], check=True, capture_output=True, text=True).stdout
    needed = re.findall(r"\(NEEDED\).*\[(.*)\]", text)
    needed = [name for name in needed if not name.startswith("ld-linux")]
    if not needed:
        sys.exit(f"{program}: no dynamic section was read:\n{text}")
    print(f"{program} needs {' '.join(needed)}")
    sys.exit(0 if sorted(needed) == sorted(wanted) else f"wanted: {' '.join(wanted)}")


main()
