import type { Clock } from "../ports/clock.ts";
import type { Connection } from "../ports/connection.ts";
import type { Route } from "../session/step.ts";
import type { SessionActor } from "./actor.ts";
import type { CatchUp } from "./catch_up.ts";
import type { Counters } from "./counters.ts";
import type { Feed, FeedSink } from "./feed.ts";
import type { Journal } from "./journal.ts";
import type { OpenedEntry } from "./opened_entry.ts";
import type { PushRequests } from "./push_requests.ts";
import type { Reader, Session } from "./session.ts";
import type { Tick } from "./tick.ts";
import { CHAIN_ROOM } from "./unseen.ts";
import { type Volley, volleysOf } from "./volley.ts";

/** What the fan-out works with. */
export interface FanOutParts {
  tick: Tick;
  actor: SessionActor;
  catchUp: CatchUp;
  pushes: PushRequests;
  journal: Journal;
  counters: Counters;
  clock: Clock;
}

/**
 * Brings entries to everybody on this node who reads their topic, at the end of the tick in which they came: each session's
 * machine decides, the bytes are the same for all. The loop over readers is the hot path, and what costs in it is memory that
 * left the cache while the kernel wrote: so a receiver is passed once per tick, and written to in passing where that is possible.
 */
export function createFanOut(
  { tick, actor, catchUp, pushes, journal, counters, clock }: FanOutParts,
): FeedSink<Reader> {
  const { stepper } = actor;
  /** Counts what groups were sent. */
  let order = 0;

  function arrive(feed: Feed<Reader>, entry: OpenedEntry): void {
    if (feed.arrived !== undefined) return void feed.arrived.push(entry);
    feed.arrived = [entry];
    tick.spread((alone) => spread(feed, alone));
  }

  function spread(feed: Feed<Reader>, alone: boolean): void {
    const entries = feed.arrived;
    feed.arrived = undefined;
    // Nothing: it was handed out before the end of the tick.
    if (entries === undefined || !feed.isRead) return;
    for (const entry of entries) {
      if (entry.position.offset === 0) continue;
      entry.account = journal.accepted(entry);
      feed.remember(entry);
    }
    const volleys = volleysOf(entries, clock.elapsed());
    for (const volley of volleys) fire(feed, volley, alone && volleys.length === 1);
  }

  /** @param direct nothing else leaves in this tick: bytes need not be gathered first */
  function fire(feed: Feed<Reader>, volley: Volley, direct: boolean): void {
    const { event, last, listed, previous, sendings } = volley;
    const { length } = sendings;
    const at = sendings[0]!.at;
    const tally: number[] = [];
    let toPush: Session[] | undefined;
    let alike: Reader[] | undefined;
    for (const group of feed.groups) {
      // Some were told of something that others were not.
      const strays = group.sent === previous || last === 0 ? group.crowded(length) : group.readers.slice();
      for (const { session } of strays) actor.separate(session);
    }
    const { readers } = feed;
    for (let i = 0; i < readers.length; i++) {
      const reader = readers[i]!;
      // Whoever joined after these came has them from the log, or never will.
      if (last !== 0 && reader.attachedAt > previous) {
        passEach(reader, volley);
        continue;
      }
      const { session } = reader;
      const route = stepper.step(session.state, event).route!;
      tally[route.index] = (tally[route.index] ?? 0) + 1;
      if (listed) name(volley, session, route);
      if (route.push === "now" || route.push === "coalesced") (toPush ??= []).push(session);
      if (route.socket === "none" || (reader.behind && last !== 0)) continue;
      if ((last === 0 || reader.sent === previous) && session.takes(length)) {
        if (direct) session.outlet!.send(volley.bytes);
        // A write may find the connection so far behind that it ends.
        else for (const { entry } of sendings) session.outlet?.write(entry.frame);
        session.unseen.push(sendings);
        if (last !== 0) reader.sent = last;
        actor.watch(session, at);
        counters.delivered += length;
        // Few read what is somebody's own, and each of them is named.
        if (!listed && !reader.behind) (alike ??= []).push(reader);
      } else writeEach(reader, volley);
    }
    // After those who are alone: whoever leaves a group while something is written is alone then, and has this already.
    const salvos = feed.groups.map((group) => {
      const { connections, readers, state } = group;
      const route = stepper.step(state, event).route!;
      tally[route.index] = (tally[route.index] ?? 0) + readers.length;
      if (route.push === "now" || route.push === "coalesced") {
        for (const { session } of readers) (toPush ??= []).push(session);
      }
      counters.delivered += length * readers.length;
      actor.watchGroup(group);
      group.note(sendings, ++order, last);
      // As these are now: whoever is written to may make somebody leave.
      return { connections, readers };
    });
    for (const { connections, readers } of salvos) {
      if (direct) sendAll(connections, readers, volley);
      else writeAll(readers, volley);
    }
    if (alike !== undefined) unite(feed, alike);
    if (!listed) count(tally, volley);
    if (toPush !== undefined) { for (const sending of sendings) pushes.pushNow(toPush, sending); }
  }

  /** The hot path: of a reader nothing is touched but the connection. */
  function sendAll(connections: readonly Connection[], readers: readonly Reader[], { bytes }: Volley): void {
    let slow: Reader[] | undefined;
    for (let i = 0; i < connections.length; i++) if (!connections[i]!.send(bytes)) (slow ??= []).push(readers[i]!);
    slow?.forEach(({ session }) => session.outlet?.backlog());
  }

  function writeAll(readers: readonly Reader[], { sendings }: Volley): void {
    for (const { session } of readers) for (const { entry } of sendings) session.outlet?.write(entry.frame);
  }

  /** These got the same at the same time. Next time those who are alike are passed together. */
  function unite(feed: Feed<Reader>, readers: readonly Reader[]): void {
    for (const reader of readers) {
      const { outlet, unseen } = reader.session;
      if (outlet?.full === false && unseen.room >= CHAIN_ROOM) feed.unite(reader);
    }
  }

  /** For a reader that joined while these came: each of them was there before, or is new to it. */
  function passEach(reader: Reader, volley: Volley): void {
    const { session } = reader;
    for (const sending of volley.sendings) {
      if (sending.entry.position.offset <= reader.attachedAt) continue;
      const route = stepper.step(session.state, volley.event).route!;
      if (volley.listed) journal.routed(sending.entry, session, stepper.describe(session.state).state, route);
      else journal.counted(sending.entry, route, 1);
      if (route.push === "now" || route.push === "coalesced") pushes.pushNow([session], sending);
    }
    if (!reader.behind && session.outlet !== undefined) writeEach(reader, volley);
  }

  /** For a reader with less room than the volley takes, or one that has some of it from the log already. */
  function writeEach(reader: Reader, volley: Volley): void {
    const { session } = reader;
    // The room that is kept for what groups bring is needed for this.
    actor.separate(session);
    for (const sending of volley.sendings) {
      const { entry } = sending;
      const { offset } = entry.position;
      if (offset !== 0 && offset <= reader.sent) continue;
      if (offset !== 0 && (entry.previous > reader.sent || !session.takes(1))) {
        counters.diverted++;
        journal.note(entry, session, "diverted");
        return catchUp.divert(reader);
      }
      if (!session.takesPastWaiting(1)) return;
      session.outlet!.write(entry.frame);
      session.unseen.push([sending]);
      if (offset !== 0) reader.sent = offset;
      actor.watch(session, sending.at);
      counters.delivered++;
    }
  }

  function name({ sendings }: Volley, session: Session, route: Route): void {
    const { state } = stepper.describe(session.state);
    for (const { entry } of sendings) journal.routed(entry, session, state, route);
  }

  /** Every entry of the volley went the same ways. */
  function count(tally: readonly number[], { sendings }: Volley): void {
    tally.forEach((devices, index) => {
      for (const { entry } of sendings) journal.counted(entry, stepper.routes[index]!, devices);
    });
  }

  return {
    arrive,
    pass: (feed, frame) => feed.everybody().forEach(({ session }) => session.outlet?.write(frame)),
    handOut: (feed) => spread(feed, false),
    missed: (feed) => void catchUp.missed(feed),
  };
}
