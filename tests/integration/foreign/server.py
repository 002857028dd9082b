# SPDX-License-Identifier: MIT
"""server.py PORT [CODE [DELAY]]: the asyncio listener of python3-hl7 on this machine. Prints "ready", then
MSH-10 of each message, and NTE-3 if there is one, unless HL7_QUIET is set (the benches). It answers with
CODE (AA); the first message of all so many milliseconds late. It ends with its standard input."""
import asyncio
import os
import sys

import hl7.mllp

CODE = sys.argv[2] if len(sys.argv) > 2 else "AA"
delays = [int(sys.argv[3]) / 1000] if len(sys.argv) > 3 else []


def note(message):
    try:
        return str(message.segment("NTE")[3])
    except KeyError:
        return ""


async def converse(reader, writer):
    try:
        while not writer.is_closing():
            message = await reader.readmessage()
            if "HL7_QUIET" not in os.environ:
                print(f"{message[0][10]} {note(message)}".strip(), flush=True)
            if delays:
                await asyncio.sleep(delays.pop())
            writer.writemessage(message.create_ack(CODE))
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def main():
    server = await hl7.mllp.start_hl7_server(converse, "127.0.0.1", int(sys.argv[1]),
                                             encoding="utf-8", limit=1 << 24)
    print("ready", flush=True)
    async with server:
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


asyncio.run(main())
