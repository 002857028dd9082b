# SPDX-License-Identifier: MIT
"""server.py PORT [CODE]: the asyncio listener of python3-hl7 on this machine. Prints "ready", then
MSH-10 of each message, unless HL7_QUIET is set (the benches). It ends with its standard input."""
import asyncio
import os
import sys

import hl7.mllp


async def converse(reader, writer):
    try:
        while not writer.is_closing():
            message = await reader.readmessage()
            if "HL7_QUIET" not in os.environ:
                print(str(message[0][10]), flush=True)
            writer.writemessage(message.create_ack(sys.argv[2] if len(sys.argv) > 2 else "AA"))
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def main():
    server = await hl7.mllp.start_hl7_server(converse, "127.0.0.1", int(sys.argv[1]),
                                             encoding="utf-8")
    print("ready", flush=True)
    async with server:
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


asyncio.run(main())
