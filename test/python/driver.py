"""A Python client that a test drives: a line of JSON for each thing to do, a line of JSON when it was done."""

import asyncio
import json
import random
import sys

from peyk import Peyk, PeykError

state = {"handled": [], "gaps": [], "answers": {}, "receipts": [], "statuses": [], "ended": False}
messages, running = {}, []
random.seed(7)  # the moment of leaving and the backoffs are the same in every run
holds = False


def on_message(message):
    state["handled"].append(message.content)
    messages[message.content] = message
    if holds:
        running.append(asyncio.get_running_loop().create_future())
        return running[-1]


async def answered(name, answer):
    try:
        await answer
        state["answers"][name] = "ok"
    except PeykError as error:
        state["answers"][name] = error.code


async def run(peyk):
    await peyk.run()
    state["ended"] = True


async def main(url, token, kept):
    global holds
    peyk = Peyk(
        url,
        token=token or None,
        kept=json.loads(kept),
        on_message=on_message,
        on_gap=lambda topic, epoch, offset: state["gaps"].append({"topic": topic, "epoch": epoch, "offset": offset}),
        on_receipt=lambda kind, topic, id: state["receipts"].append([kind, id]),
        on_status=lambda word, detail: state["statuses"].append([word, str(detail)]),
    )
    tasks = [asyncio.ensure_future(run(peyk))]
    while line := await asyncio.to_thread(sys.stdin.readline):
        await settled()
        what, *rest = json.loads(line)
        if what == "holds":
            holds = rest[0]
        elif what == "finishes":
            running.pop(0).set_result(None)
        elif what == "ask":
            name, method, args, options = rest
            args = [messages[arg["message"]] if isinstance(arg, dict) and "message" in arg else arg for arg in args]
            tasks.append(asyncio.ensure_future(answered(name, getattr(peyk, method)(*args, **options))))
        elif what == "hides":
            peyk.set_activity(visible=False)
        elif what == "shows":
            peyk.set_activity(visible=True, touched=True)
        elif what == "close":
            peyk.close()
        await settled()
        kept = peyk.keep()
        cursors = [{"topic": topic, "epoch": epoch, "offset": offset} for topic, epoch, offset in kept["cursors"]]
        print(json.dumps({**state, "cursors": cursors, "kept": kept}), flush=True)


async def settled():
    """What has come is handled, and what follows from that is said."""
    for _ in range(20):
        await asyncio.sleep(0)


asyncio.run(main(*sys.argv[1:]))
