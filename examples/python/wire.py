"""One connection of Peyk's protocol, and its bytes: src/protocol/PROTOCOL.md, sections 2 and 6."""

import asyncio
from types import SimpleNamespace

import msgpack

HELLO, _, ACK, PUBLISH, SUBSCRIBE, UNSUBSCRIBE, STATE, _, MARK, TARGET, FAILED, LOGOUT = range(1, 13)
NORMAL, RESUME, HEARTBEAT, PROTOCOL = 1000, 4000, 4004, 4102


class PeykError(Exception):
    """What the server refused, or became of a request without an answer; `bad-frame`: bytes that are not of this protocol."""

    def __init__(self, code, retryable=False, hint=None):
        super().__init__(f"{code}: {hint}" if hint else code)
        self.code, self.retryable, self.hint = code, retryable, hint


def decode(data):
    """The frames of one WebSocket message, as lists."""
    unpacker = msgpack.Unpacker(raw=False, strict_map_key=True, max_buffer_size=0)
    try:
        unpacker.feed(data)
        frames = list(unpacker)
        integers = [item for frame in frames for item in frame if type(item) is int]
    except Exception as fault:
        raise PeykError("bad-frame", hint=str(fault)) from fault
    if not frames or unpacker.tell() != len(data) or not all(0 <= integer < 2**53 for integer in integers):
        raise PeykError("bad-frame", hint="cut off, or an integer out of range")
    return frames


def read_message(topic, position, envelope):
    """An envelope and the payload in it."""
    match envelope:
        case [str(id), str() | None as sender, int(sent_at), int(), dict() | None as options, [*_] as payload, *_]:
            match payload:
                case [str() | None as content, data, *_]:
                    return SimpleNamespace(topic=topic, position=position, id=id, sender=sender, sent_at=sent_at,
                                           options=options, content=content, data=data)
    raise PeykError("bad-message", hint="a message that can't be read")


class Link:
    """One connection: what belongs to it alone. What is said goes out in order, and before the close."""

    def __init__(self):
        self.out, self.leaving = asyncio.Queue(), None
        self.welcomed_at, self.silence, self.refusal, self.departing, self.drain_timer = None, 20, (None, 0), False, None
        self.seen, self.seen_told, self.moved, self.acked_at, self.ack_after, self.ack_timer = 0, 0, set(), -1e9, 0, None
        self.told, self.input_every = None, 0

    def send(self, *frame):
        if self.leaving is None:
            self.out.put_nowait(msgpack.packb(frame))

    def leave(self, code):
        if self.leaving is None:
            self.leaving = code
            self.out.put_nowait(code)

    async def write(self, socket):
        while isinstance(said := await self.out.get(), bytes):
            await socket.send(said)
        await socket.close(said)
