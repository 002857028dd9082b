# SPDX-License-Identifier: MIT
"""client.py PORT: sends the framed messages of standard input one after another over one connection, with
the client of python3-hl7, and prints "MSA-1 MSA-2" of each answer as that package reads it."""
import sys

import hl7
import hl7.client

texts = [text[1:] for text in sys.stdin.buffer.read().decode().split("\x1c\r") if text]
with hl7.client.MLLPClient("127.0.0.1", int(sys.argv[1])) as client:
    for sent in texts:
        answer = client.send_message(sent).decode()
        msa = hl7.parse(answer.strip("\x0b\x1c\r")).segment("MSA")
        print(msa[1], msa[2])
