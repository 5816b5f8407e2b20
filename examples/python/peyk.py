"""A client for Peyk, written from src/protocol/PROTOCOL.md alone; the numbers in brackets are that page's sections."""

import asyncio
import inspect
import random
import secrets
from collections import deque
from time import monotonic
from types import SimpleNamespace

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from wire import ACK, FAILED, HELLO, LOGOUT, MARK, PUBLISH, STATE, SUBSCRIBE, TARGET, UNSUBSCRIBE
from wire import HEARTBEAT, NORMAL, PROTOCOL, RESUME, Link, PeykError, decode, read_message


class Peyk:
    """
    A device's line to the engine: connects by itself, comes back by itself, brings each message once.

    `on_message(message)`, plain or async: when it is done, the message is acked. `on_gap(topic, epoch, offset)`: what was up to
    there is lost. `token`: text, or a function that gives it. `kept`: what `keep()` gave in an earlier life.
    """

    def __init__(self, url, *, token=None, kept=None, on_message, on_gap=None, on_receipt=None, on_status=None):
        self.url, self.token, self.on_message = url, token, on_message
        self.on_gap, self.on_receipt, self.on_status = (call or (lambda *_: None) for call in (on_gap, on_receipt, on_status))
        kept = kept or {"device": secrets.token_urlsafe(16), "user": None, "cursors": []}
        self.device, self.user, self.topics = kept["device"], kept["user"], {}
        for topic in kept["cursors"]:
            self._begin(*topic)
        self.visible, self.input_at, self.ended = True, None, False
        # The line [2]: requests in order, those outside of it have no number.
        self._line, self._number, self._ref, self._requests = secrets.token_urlsafe(12), 0, 0, []
        self._link = None  # what belongs to one connection

    def keep(self):
        return {"device": self.device, "user": self.user, "cursors": self._cursors(self.topics)}

    def _cursors(self, names):
        return [[name, self.topics[name].epoch, self.topics[name].acked] for name in names]

    # What the app may ask for.

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
        link, turned = self._link, visible not in (None, self.visible)
        while turned and link and self._is_news():
            self._ack()  # what was read in front is acked in front
        self.visible = visible if turned else self.visible
        self.input_at = monotonic() if touched else self.input_at
        told = link and link.told and link.told[1]
        if link and link.welcomed_at and (turned or touched and (told is None or self.input_at - told >= link.input_every)):
            self._link.send(STATE, self.visible, self._idle_ms())

    def close(self):
        """Leaves. Messages go on to be pushed."""
        self.ended = True
        if self._link:
            self._link.leave(NORMAL)

    # Connecting [1], going away and coming back [8].

    async def run(self):
        """Connects, and comes back until it is told not to."""
        self._loop, failures, code = asyncio.get_running_loop(), 0, None
        while not self.ended:
            link = self._link = Link()
            try:
                token = self.token() if callable(self.token) else self.token
                token = await token if inspect.isawaitable(token) else token
                options = {"subprotocols": ["peyk.v1"], "max_size": None, "ping_interval": None, "close_timeout": 2}
                async with connect(self.url, **options) as socket:
                    code = await self._talk(link, socket, token)
            except (OSError, WebSocketException):
                code = None
            self._disconnected(link)
            self.ended |= link.leaving is None and code is not None and 4100 <= code < 4200
            if not self.ended and link.leaving != RESUME:
                failures = 0 if link.welcomed_at and monotonic() - link.welcomed_at >= 5 else failures
                wait = random.uniform(0, min(30 if self.user else 300, 0.25 * 2**failures))
                failures += 1
                self.on_status("waiting", link.refusal[0] or code)
                await asyncio.sleep(max(wait, (link.refusal[1] or 0) / 1000))
        for request in self._requests[:]:
            self._settle(request, PeykError("closed"))
        self.on_status("closed", code)

    async def _talk(self, link, socket, token):
        writer = asyncio.create_task(link.write(socket))
        # A hundred cursors fit into any frame. Of other topics the server knows itself how far this device is, nearly.
        cursors = self._cursors(list(self.topics)[:100])
        self._link.send(HELLO, 1, [], self.device, token, self.visible, self._idle_ms(), cursors, False)
        try:
            while link.leaving is None:
                data = await asyncio.wait_for(socket.recv(), link.silence)
                for frame in decode(data if isinstance(data, bytes) else b""):
                    link.leaving or self._take(link, frame)
                self._plan_ack()
        except asyncio.TimeoutError:
            link.leave(HEARTBEAT)
        except PeykError as fault:
            self.on_status("refused", fault)
            link.leave(PROTOCOL)
        except ConnectionClosed as closed:
            writer.cancel()
            return closed.rcvd and closed.rcvd.code
        await asyncio.wait([writer], timeout=2)

    def _disconnected(self, link):
        """Requests wait for the next connection; those outside of the line don't."""
        self._link = None
        for timer in filter(None, (link.ack_timer, link.drain_timer)):
            timer.cancel()
        for topic in self.topics.values():
            topic.received = -1  # nothing is brought by the next connection yet
        for request in self._requests[:]:
            request.ref = None
            if request.number is None:
                self._settle(request, PeykError("unavailable", True))

    # What the server says [2].

    def _take(self, link, frame):
        match frame:
            case [33, 1, str(user), int(), int(heartbeat), int(ack), int(inputs), dict(), list(recovery), *_]:
                link.silence, link.ack_after, link.input_every = 2 * heartbeat / 1000 + 5, ack / 1000, inputs / 1000
                self._welcome(link, user, recovery)
            case [34, str(name), int(epoch), int(offset), int(previous), envelope, *_]:
                link.seen += 1
                self._message(link, name, epoch, offset, previous, envelope)
            case [35, str(name), envelope, *_]:
                link.seen += 1
                self._call(name, None, envelope, lambda fault: None)
            case [36, str(name), int(epoch), int(offset), int(), *_]:
                self._pass(link, name, epoch, offset)
            case [37, str(name), int(epoch), int(offset), *_]:
                self._pass(link, name, epoch, offset)
                self.on_gap(name, epoch, offset)
            case [38, int(ref), value, *_]:
                self._answered(ref, value)
            case [39, int(ref), str(code), bool(retryable), int() | None, str() | None as hint, *_]:
                self._answered(ref, PeykError(code, retryable, hint))
            case [39, None, str(code), bool(), int() | None as after, str() | None, *_]:
                link.refusal = code, after
            case [40, str(kind), str(name), str(id), int(), int(), int(), *_]:
                if kind in ("delivered", "read", "dismissed"):
                    self.on_receipt(kind, name, id)
            case [41, *_]:
                self._ack()
            case [42, str(name), int(epoch), int(offset), bool(recovered), *_]:
                self._begin(name, epoch, offset, recovered)
            case [43, str(name), *_]:
                self._forget(name)
            case [44, int(window), *_]:
                link.drain_timer = self._loop.call_later(random.uniform(0, window / 1000), self._depart)
            case [int(kind), *_] if kind in (45, 46) or 96 <= kind <= 127:
                pass  # 45: the token ends. The server closes with 4001, and the next connection brings a fresh one
            case _:
                raise PeykError("bad-frame", hint="not a frame that is known here")

    def _welcome(self, link, user, recovery):
        if self.user not in (None, user):
            self.topics, self.user = {}, user
            return self._link.leave(RESUME)  # the cursors were another user's: again, without them
        self.user, link.welcomed_at, before, self.topics = user, monotonic(), self.topics, {}
        for entry in recovery:
            match entry:
                case [str(name), int(epoch), int(offset), bool(recovered), *_]:
                    topic = before.get(name)
                case _:
                    raise PeykError("bad-frame", hint="a recovery of a wrong shape")
            if topic and topic.epoch == epoch and topic.acked >= offset:
                self.topics[name], topic.received = topic, offset  # what is with the app still comes again
            else:
                self._begin(name, epoch, offset)
            if not recovered:
                self.on_gap(name, epoch, offset)
        if (self.visible, self.input_at) != link.told:
            self._link.send(STATE, self.visible, self._idle_ms())
        self.on_status("connected", user)
        self._pump()

    def _begin(self, name, epoch, offset, recovered=True):
        """Reads a topic from there on. `queue`: what is with the app, as (offset, envelope), of earlier connections too [4]."""
        self._forget(name)
        self.topics[name] = SimpleNamespace(epoch=epoch, acked=offset, received=offset, queue=deque())
        if not recovered:
            self.on_gap(name, epoch, offset)
        return self.topics[name]

    def _forget(self, name):
        if self.topics.pop(name, None) and self._link:
            self._link.moved.discard(name)

    def _message(self, link, name, epoch, offset, previous, envelope):
        topic = self.topics.get(name)
        if topic is None or topic.epoch != epoch:
            topic = self._begin(name, epoch, previous, topic is None or (topic.epoch, topic.acked) == (0, 0))
        if offset <= topic.received:
            return  # a repeat
        if previous > topic.received:
            return self._link.leave(RESUME)  # something was missed: the log has it
        topic.received = offset
        if offset <= topic.acked:
            link.moved.add(name)  # acked before this connection has brought it
        elif not topic.queue or offset > topic.queue[-1][0]:
            topic.queue.append((offset, envelope))
            if len(topic.queue) == 1:
                self._handle(name, topic)

    def _pass(self, link, name, epoch, offset):
        topic = self.topics.get(name)
        if topic is None or topic.epoch != epoch:
            topic = self._begin(name, epoch, offset)
        topic.received = max(topic.received, offset)
        self._move(name, topic, topic.acked)

    # The app's handlers, and acks [3].

    def _handle(self, name, topic):
        offset, envelope = topic.queue[0]
        self._call(name, (topic.epoch, offset), envelope, lambda fault: self._done(name, topic, offset, fault))

    def _call(self, name, position, envelope, done):
        """Has a message handled. What is done at once is acked together with the proof of life."""
        try:
            result = self.on_message(read_message(name, position, envelope))
        except Exception as fault:
            return done(fault)
        if not inspect.isawaitable(result):
            return done(None)
        task = asyncio.ensure_future(asyncio.wait_for(result, 30))
        task.add_done_callback(lambda task: task.cancelled() or done(task.exception()))

    def _done(self, name, topic, offset, fault):
        topic.queue.popleft()
        if self.topics.get(name) is topic:  # else it is of another life of the log, or not read any more
            if fault and offset <= topic.received:
                self._link.send(FAILED, name, topic.epoch, offset, "timeout" if isinstance(fault, asyncio.TimeoutError) else "threw")
            self._move(name, topic, offset)
        if topic.queue:
            self._loop.call_soon(self._handle, name, topic)
        self._loop.call_soon(self._plan_ack)

    def _move(self, name, topic, offset):
        """The cursor follows what was stepped over as soon as nothing before it is with the app."""
        topic.acked, before = max(topic.acked, offset, 0 if topic.queue else topic.received), topic.acked
        if before < topic.acked <= topic.received:
            self._link.moved.add(name)  # beyond that it rests until this connection has brought it

    def _is_news(self):
        return self._link.welcomed_at and (self._link.moved or self._link.seen != self._link.seen_told)

    def _plan_ack(self):
        link = self._link
        if link and self._is_news():
            left = link.acked_at + link.ack_after - monotonic()
            if left <= 0 or link.seen - link.seen_told >= 512:
                self._ack()
            elif link.ack_timer is None:
                link.ack_timer = self._loop.call_later(left, self._ack)

    def _ack(self):
        link, names = self._link, sorted(self._link.moved)[:100]
        link.moved.difference_update(names)
        link.seen_told, link.acked_at, link.ack_timer = link.seen, monotonic(), link.ack_timer and link.ack_timer.cancel()
        waiting = sum(offset <= topic.received for topic in self.topics.values() for offset, _ in topic.queue)
        self._link.send(ACK, link.seen, self._cursors(names), self._idle_ms(), waiting)
        self._plan_ack()

    def _idle_ms(self):
        self._link.told = self.visible, self.input_at
        return None if self.input_at is None else round((monotonic() - self.input_at) * 1000)

    # Requests [2].

    async def _ask(self, type, *fields, in_line=True):
        if self.ended or not in_line and not (self._link and self._link.welcomed_at):
            raise PeykError("closed" if self.ended else "unavailable", not self.ended)
        if len(self._requests) >= 1000:
            raise PeykError("too-many", True)
        self._number += in_line
        number, answer = self._number if in_line else None, asyncio.get_running_loop().create_future()
        self._requests.append(SimpleNamespace(type=type, fields=fields, number=number, answer=answer, ref=None, said_at=None))
        self._pump()
        return await answer

    def _pump(self):
        """Says what is unanswered, in order: first again what an earlier connection took with it, then what is new."""
        may = self._link and self._link.welcomed_at and not self._link.departing
        for request in [request for request in self._requests[:32] if may and request.ref is None]:
            request.said_at = request.said_at or monotonic()
            age = round((monotonic() - request.said_at) * 1000)
            if age > 12 * 3600 * 1000:
                self._settle(request, PeykError("outcome-unknown"))
                continue
            self._ref = request.ref = self._ref + 1
            line = [] if request.type == LOGOUT else [request.number and [self._line, request.number, age]]
            self._link.send(request.type, request.ref, *line, *request.fields)

    def _answered(self, ref, outcome):
        """What an answer changes is changed before the frames that follow it are looked at."""
        for request in [request for request in self._requests if request.ref == ref]:
            match request.type, request.fields, outcome:
                case _, _, PeykError():
                    pass
                case 5, (name, _, anew), {"epoch": epoch, "offset": offset, "recovered": recovered}:
                    if anew or name not in self.topics:
                        self._begin(name, epoch, offset, recovered)
                case 6, (name,), _:
                    self._forget(name)
                case 12, _, _:
                    self.topics, self.user = {}, None
                    self.close()
            self._settle(request, outcome)
        self._depart() if self._link.departing else self._pump()

    def _settle(self, request, outcome):
        self._requests.remove(request)
        if not request.answer.done():
            end = request.answer.set_exception if isinstance(outcome, PeykError) else request.answer.set_result
            end(outcome)

    def _depart(self):
        """Leaves a draining node as soon as nothing is unanswered [8]."""
        self._link.departing = True
        if all(request.ref is None for request in self._requests):
            self._ack()
            self._link.leave(RESUME)
