"""Signs in, listens, and says what is typed: python demo.py ws://127.0.0.1:3000/peyk sara reza"""

import asyncio
import json
import pathlib
import sys

from peyk import Peyk, PeykError


async def main(url, me, to):
    file = pathlib.Path(f"{me}.peyk.json")
    peyk = Peyk(
        url,
        token=me,
        kept=json.loads(file.read_text()) if file.exists() else None,
        on_message=lambda message: print(f"{message.sender}: {message.content}"),
        on_status=lambda word, detail: print(f"[{word}] {detail or ''}"),
    )
    running = asyncio.ensure_future(peyk.run())
    while line := await asyncio.to_thread(sys.stdin.readline):
        try:
            result = await peyk.publish(to, line.strip())
            print(f"[stored: {result['durability']}]")
        except PeykError as error:
            print(f"[{error}]")
    peyk.close()
    await running
    file.write_text(json.dumps(peyk.keep()))


asyncio.run(main(*sys.argv[1:]))
