"""The same as client.mjs, with the client of examples/python."""

import asyncio
import sys

from peyk import Peyk


async def main(url, me):
    contents, both = [], asyncio.Event()

    def on_message(message):
        contents.append(message.content)
        if len(contents) == 2:
            both.set()

    peyk = Peyk(url, token=me, on_message=on_message)
    running = asyncio.ensure_future(peyk.run())
    await peyk.publish(me, "as ever")
    await both.wait()
    print(f"{me} got: {', '.join(contents)}")
    peyk.close()
    await running


asyncio.run(main(*sys.argv[1:]))
