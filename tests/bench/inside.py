# SPDX-License-Identifier: MIT
"""inside.py FOLDER: runs in a booted tree as root what tests/bench/connections wants run there: shell commands that
come one by one over FOLDER/control, each answered with its exit status and what it printed."""
import json
import pathlib
import socket
import subprocess
import sys


def answer(connection):
    with connection, connection.makefile("rw", encoding="utf-8") as lines:
        command = json.loads(lines.readline())
        done = subprocess.run(["sh", "-euc", command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)
        lines.write(json.dumps([done.returncode, done.stdout]) + "\n")


def main():
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(pathlib.Path(sys.argv[1]) / "control"))
        listener.listen()
        while True:
            answer(listener.accept()[0])


main()
