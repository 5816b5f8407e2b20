"""A client for Peyk, written from src/protocol/PROTOCOL.md alone; the numbers in brackets are that page's sections."""

import asyncio
import inspect
import random
import secrets
from contextlib import suppress
from time import monotonic, time
from types import SimpleNamespace

import msgpack
from websockets import ConnectionClosed, WebSocketException, connect

HELLO, CURSORS, ACK, PUBLISH, SUBSCRIBE, UNSUBSCRIBE, STATE, _, MARK, TARGET, FAILED, LOGOUT = range(1, 13)
NORMAL, RESUME, HEARTBEAT, PROTOCOL = 1000, 4000, 4004, 4102


class PeykError(Exception):
    """What the server refused, or became of a request without an answer; `bad-frame`: bytes that are not of this protocol."""

    def __init__(self, code, retryable=False, hint=None):
        super().__init__(f"{code}: {hint}" if hint else code)
        self.code, self.retryable, self.hint = code, retryable, hint


class Peyk:
    """A device's line to the engine: connects by itself, comes back by itself, brings each message once.

    `on_message(message)`, plain or async: when it is done, the message is acked. `on_gap(topic, epoch, offset)`: what was up to
    there is lost. `token`: text, or a function that gives it. `kept`: what `keep()` gave in an earlier life.
    """

    def __init__(self, url, *, token=None, kept=None, on_message, on_gap=None, on_receipt=None, on_status=None):
        self.url, self.token, self.on_message = url, token, on_message
        self.on_gap, self.on_receipt, self.on_status = (call or (lambda *_: None) for call in (on_gap, on_receipt, on_status))
        kept = kept or {"device": secrets.token_urlsafe(16), "user": None, "cursors": []}
        self.device, self.user, self.topics = kept["device"], kept["user"], {}
        for cursor in kept["cursors"]:
            self._begin(*cursor)
        self.visible, self.input_at, self.ended, self._link = True, None, False, Link()
        self._ref, self._requests, self._owner = 0, [], None  # the queue [2], and who made what is in it: whom a welcome names first
        self._line, self._number = secrets.token_urlsafe(12), 0

    def keep(self):
        cursors = [[name, topic.epoch, topic.acked] for name, topic in self.topics.items()]
        return {"device": self.device, "user": self.user, "cursors": cursors}

    async def publish(self, to, content=None, data=None, *, channel="default", id=None, **options):
        fields = f"{to}/{channel}", id or secrets.token_urlsafe(16), options or None, [content, data]
        return await self._ask(PUBLISH, *fields, in_line=not options.get("ephemeral"))

    async def subscribe(self, to, channel="default", *, since=None, anew=False):
        return await self._ask(SUBSCRIBE, f"{to}/{channel}", since, anew)

    async def unsubscribe(self, to, channel="default"):
        await self._ask(UNSUBSCRIBE, f"{to}/{channel}")

    async def mark(self, kind, message):
        await self._ask(MARK, kind, message.topic, *message.position)

    async def register_push(self, provider, token, **details):
        await self._ask(TARGET, provider, token, details or None)

    async def logout(self):
        await self._ask(LOGOUT, in_line=False)

    def set_activity(self, visible=None, touched=False):
        """The app came to the front or left it, or the person touched it [5]."""
        if visible not in (None, self.visible):
            self._plan_ack(self._link, now=True)  # what was read in front is acked in front
            self.visible = visible
        self.input_at = monotonic() if touched else self.input_at
        link, (visible, input_at) = self._link, self._link.told
        due = self.input_at != input_at and (input_at is None or self.input_at - input_at >= link.input_every)
        if link.live and (due or self.visible != visible):
            link.send(STATE, self.visible, self._idle_ms())

    def close(self):
        self.ended = True  # messages go on to be pushed
        self._link.leave(NORMAL)

    async def run(self):
        self._loop, failures = asyncio.get_running_loop(), -1
        while not self.ended:
            link = self._link = Link()
            with suppress(OSError, WebSocketException):
                token = self.token() if callable(self.token) else self.token
                token = await token if inspect.isawaitable(token) else token
                async with connect(self.url, subprotocols=["peyk.v1"], max_size=None, ping_interval=None) as socket:
                    await self._talk(link, socket, token)
            link.live, self.ended = False, self.ended or link.leaving is None and link.code in range(4100, 4200)
            for request in self._requests[:]:  # they wait for the next connection; those outside of the line don't
                request.ref = None
                if request.number is None:
                    self._settle(request, PeykError("unavailable", True))
            failures = 0 if link.welcomed_at and monotonic() - link.welcomed_at >= 5 else min(failures + 1, 11)
            if not self.ended and (link.leaving != RESUME or failures > 0 and not link.departing):
                self.on_status("waiting", link.refusal or link.code)
                await asyncio.sleep(max(link.retry_after, random.uniform(0, min(30 if self.user else 300, 0.25 * 2**failures))))
        for request in self._requests[:]:
            self._settle(request, PeykError("closed"))
        self.on_status("closed", self._link.code)

    async def _talk(self, link, socket, token):
        writer = asyncio.create_task(link.write(socket))
        hello = HELLO, 1, [], self.device, False, [], token, self.visible, self._idle_ms()
        first, *rest = pages(self.keep()["cursors"], 1020 - len(msgpack.packb(hello)))
        link.send(*hello, first, bool(rest))
        while rest:
            link.send(CURSORS, rest.pop(0), bool(rest))
        try:
            while link.leaving is None:
                for frame in decode(await asyncio.wait_for(socket.recv(), link.silence)):
                    link.leaving or self._take(link, frame)
                self._plan_ack(link)
        except asyncio.TimeoutError:
            link.leave(HEARTBEAT)
        except PeykError as fault:
            self.on_status("refused", fault)
            link.leave(PROTOCOL)
        except ConnectionClosed as closed:
            link.code = closed.rcvd and closed.rcvd.code
            writer.cancel()
        await asyncio.wait([writer], timeout=2)

    def _take(self, link, frame):
        link.seen += frame[:1] in ([34], [35])
        match frame:
            case [33, 1, str(user), int(), int(heartbeat), int(ack), int(inputs), dict(), list(recovery), *_]:
                link.silence, link.ack_after, link.input_every = 2 * heartbeat / 1000 + 5, ack / 1000, inputs / 1000
                self._welcome(link, user, recovery)
            case [34, str(name), int(epoch), int(offset), int(previous), envelope, *_]:
                self._message(name, epoch, offset, previous, envelope)
            case [35, str(name), envelope, *_]:
                asyncio.create_task(self._call(name, None, envelope))
            case [36, str(name), int(epoch), int(offset), int(), *_]:
                self._pass(name, epoch, offset)
            case [37, str(name), int(epoch), int(offset), *_]:
                self._pass(name, epoch, offset)
                self.on_gap(name, epoch, offset)
            case [38, int(ref), value, *_]:
                self._answered(ref, value)
            case [39, int(ref), str(code), bool(retryable), int() | None, str() | None as hint, *_]:
                self._answered(ref, PeykError(code, retryable, hint))
            case [39, None, str(code), bool(), int() | None as after, str() | None, *_]:
                link.refusal, link.retry_after = code, (after or 0) / 1000
            case [40, str(kind), str(name), str(id), int(), int(), int(), *_]:
                if kind in ("delivered", "read", "dismissed"):
                    self.on_receipt(kind, name, id)
            case [41, *_]:
                self._ack(link)
            case [42, str(name), int(epoch), int(offset), bool(recovered), *_]:
                self._begin(name, epoch, offset, recovered)
            case [43, str(name), *_]:
                self.topics.pop(name, None)
            case [44, int(window), *_]:
                self._loop.call_later(random.uniform(0, window / 1000), self._depart, link)
            case [int(kind), *_] if kind in (45, 46) or 96 <= kind <= 127:
                pass  # 45: the token ends. The server closes with 4001, and the next connection brings a fresh one
            case _:
                raise PeykError("bad-frame", hint="not a frame that is known here")

    def _welcome(self, link, user, recovery):
        if self._owner not in (None, user):  # another user's requests are not said as this one's [2]
            for request in self._requests[:]:
                self._settle(request, PeykError("unauthorized"))
            self._line, self._number = secrets.token_urlsafe(12), 0
        self._owner = user
        if self.user not in (None, user):
            self.topics, self.user = {}, user
            return link.leave(RESUME)  # the cursors were another user's: again, without them
        self.user, link.live, link.welcomed_at, before, self.topics = user, True, monotonic(), self.topics, {}
        for entry in recovery:
            match entry:
                case [str(name), int(epoch), int(offset), bool(recovered), *_]:
                    self._begin(name, epoch, offset, recovered)
                case _:
                    raise PeykError("bad-frame", hint="a recovery of a wrong shape")
            if (topic := before.get(name)) and topic.epoch == epoch and topic.acked >= offset:
                self.topics[name], topic.received, topic.told = topic, offset, offset  # what is with the app still comes again
        self.set_activity()  # what has changed since the hello
        self.on_status("connected", user)
        self._pump()

    def _begin(self, name, epoch, offset, recovered=True):
        """Reads a topic from there on [4]. `received` and `told` are of this connection; `queue` is with the app."""
        topic = self.topics[name] = SimpleNamespace(epoch=epoch, acked=offset, received=offset, told=offset, queue=[])
        if not recovered:
            self.on_gap(name, epoch, offset)
        return topic

    def _message(self, name, epoch, offset, previous, envelope):
        topic = self.topics.get(name)
        if topic is None or topic.epoch != epoch:
            topic = self._begin(name, epoch, previous, topic is None or (topic.epoch, topic.acked) == (0, 0))
        if previous > topic.received:
            return self._link.leave(RESUME)  # something was missed: the log has it
        if offset > max(topic.received, topic.acked, topic.queue[-1][0] if topic.queue else 0):  # else it is a repeat
            topic.queue.append((offset, envelope))
            if len(topic.queue) == 1:
                asyncio.create_task(self._handle(name, topic))
        topic.received = max(topic.received, offset)

    def _pass(self, name, epoch, offset):
        topic = self.topics.get(name)
        if topic is None or topic.epoch != epoch:
            topic = self._begin(name, epoch, offset)
        topic.received = max(topic.received, offset)
        topic.acked = max(topic.acked, 0 if topic.queue else topic.received)  # not past what is with the app

    async def _handle(self, name, topic):
        while topic.queue:
            offset, envelope = topic.queue[0]
            fault = await self._call(name, (topic.epoch, offset), envelope)
            topic.queue.pop(0)
            if fault and self._link.live and self.topics.get(name) is topic and offset <= topic.received:
                self._link.send(FAILED, name, topic.epoch, offset, fault)
            topic.acked = max(topic.acked, offset, 0 if topic.queue else topic.received)
            self._plan_ack(self._link)

    async def _call(self, name, position, envelope):
        try:
            match envelope:
                case [str(id), str() | None as sender, int(sent_at), int(), dict() | None as options,
                      [str() | None as content, data, *_], *_]:
                    message = dict(id=id, sender=sender, sent_at=sent_at, options=options, content=content, data=data)
                    result = self.on_message(SimpleNamespace(topic=name, position=position, **message))
                case _:
                    return "threw"  # it can't be read
            if inspect.isawaitable(result):
                await asyncio.wait_for(result, 30)
        except Exception as fault:
            return "timeout" if isinstance(fault, asyncio.TimeoutError) else "threw"  # for `failed`

    def _moved(self):
        """Cursors that are new to the server, as far as this connection has brought them."""
        reached = [(name, t.epoch, min(t.acked, t.received), t.told) for name, t in self.topics.items()]
        return [[name, epoch, offset] for name, epoch, offset, told in reached if offset > told]

    def _plan_ack(self, link, now=False):
        """What is new is acked at once after a quiet spell, else when it is time or much was seen [3]."""
        if link.live and (link.seen > link.seen_told or self._moved()):
            if now or link.seen - link.seen_told >= 512:
                self._ack(link)
            elif link.ack_timer is None:
                link.ack_timer = self._loop.call_later(link.acked_at + link.ack_after - monotonic(), self._ack, link)

    def _ack(self, link):
        if not link.live:
            return
        link.seen_told, link.acked_at, link.ack_timer = link.seen, monotonic(), link.ack_timer and link.ack_timer.cancel()
        waiting = sum(offset <= topic.received for topic in self.topics.values() for offset, _ in topic.queue)
        for cursors in pages(self._moved()):
            link.send(ACK, link.seen, cursors, self._idle_ms(), waiting)
            for name, _, offset in cursors:
                self.topics[name].told = offset

    def _idle_ms(self):
        self._link.told = self.visible, self.input_at
        return None if self.input_at is None else round((monotonic() - self.input_at) * 1000)

    async def _ask(self, type, *fields, in_line=True):
        full = len(self._requests) >= 1000
        if self.ended or full or not (in_line or self._link.live):
            raise PeykError("closed" if self.ended else "too-many" if full else "unavailable", not self.ended)
        self._number += in_line
        number, answer = self._number if in_line else None, asyncio.get_running_loop().create_future()
        self._requests.append(SimpleNamespace(type=type, fields=fields, number=number, answer=answer, ref=None, said_at=None))
        self._pump()
        return await answer

    def _pump(self):
        """Says what is unanswered, in order: first again what an earlier connection took with it, then what is new."""
        end = next((r.number for r in self._requests if r.number), 0) + 32 if self._link.live and not self._link.departing else 0
        for request in [r for r in self._requests if r.ref is None and (r.number or 0) < end]:
            request.said_at = request.said_at or time()  # goes on while the machine sleeps
            age = max(0, round((time() - request.said_at) * 1000))
            if age > 12 * 3600 * 1000:
                self._settle(request, PeykError("outcome-unknown"))
                continue
            self._ref = request.ref = self._ref + 1
            line = [] if request.type == LOGOUT else [request.number and [self._line, request.number, age, self._owner]]
            self._link.send(request.type, request.ref, *line, *request.fields)

    def _answered(self, ref, outcome):
        """What an answer changes is changed before the frames that follow it are looked at."""
        for request in [request for request in self._requests if request.ref == ref]:
            match request.type, isinstance(outcome, dict) and outcome.get("again") or request.fields, outcome:  # told by welcome
                case 5, (name, _, anew), {"epoch": epoch, "offset": at, "recovered": whole} if anew or name not in self.topics:
                    self._begin(name, epoch, at, whole)
                case 6, (name,), None:  # unsubscribe
                    self.topics.pop(name, None)
                case 12, _, None:  # logout
                    self.topics, self.user = {}, None
                    self.close()
            self._settle(request, outcome)
        self._depart(self._link) if self._link.departing else self._pump()

    def _settle(self, request, outcome):
        self._requests.remove(request)
        if not request.answer.done():
            (request.answer.set_exception if isinstance(outcome, PeykError) else request.answer.set_result)(outcome)

    def _depart(self, link):
        link.departing = True  # a draining node is left as soon as nothing is unanswered [8]
        if all(request.ref is None for request in self._requests):
            self._ack(link)
            link.leave(RESUME)


class Link:
    """One connection: what belongs to it alone. What is said goes out in order, and before the close."""

    def __init__(self):
        self.out, self.live, self.welcomed_at, self.leaving, self.departing = asyncio.Queue(), False, None, None, False
        self.silence, self.code, self.refusal, self.retry_after, self.told, self.input_every = 20, None, None, 0, (None, None), 0
        self.seen, self.seen_told, self.acked_at, self.ack_after, self.ack_timer = 0, 0, -1e9, 0, None

    def send(self, *frame):
        if self.leaving is None:
            self.out.put_nowait(msgpack.packb(frame))

    def leave(self, code):
        if self.leaving is None:
            self.leaving, self.live = code, False
            self.out.put_nowait(code)

    async def write(self, socket):
        with suppress(ConnectionClosed):
            while isinstance(said := await self.out.get(), bytes):
                await socket.send(said)
            await socket.close(said)


def decode(data):
    """The frames of one WebSocket message, as lists."""
    unpacker = msgpack.Unpacker(raw=False, strict_map_key=True, max_buffer_size=0)
    try:
        unpacker.feed(data)
        frames = list(unpacker)
        if frames and unpacker.tell() == len(data) and all(0 <= n < 2**53 for frame in frames for n in frame if type(n) is int):
            return frames
    except Exception as fault:
        raise PeykError("bad-frame", hint=str(fault)) from fault
    raise PeykError("bad-frame", hint="cut off, or an integer out of range")


def pages(cursors, room=980):
    """The cursors in lists that fit into 1,024 bytes. `room`: what is left in the first of them."""
    page = []
    for cursor in cursors:
        if len(msgpack.packb([*page, cursor])) > room:
            yield page
            page, room = [], 980
        page.append(cursor)
    yield page
