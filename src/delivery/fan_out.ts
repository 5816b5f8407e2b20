import { isPublic } from "../protocol/names.ts";
import type { Clock } from "../ports/clock.ts";
import type { Route } from "../session/step.ts";
import type { SessionActor } from "./actor.ts";
import type { CatchUp } from "./catch_up.ts";
import type { Counters } from "./counters.ts";
import type { Feed, FeedSink } from "./feed.ts";
import type { Journal } from "./journal.ts";
import type { OpenedEntry } from "./opened_entry.ts";
import type { PushRequests } from "./push_requests.ts";
import type { Reader, Session } from "./session.ts";
import type { Sending } from "./unseen.ts";

/** What the fan-out works with. */
export interface FanOutParts {
  actor: SessionActor;
  catchUp: CatchUp;
  pushes: PushRequests;
  journal: Journal;
  counters: Counters;
  clock: Clock;
}

/**
 * Brings an entry to everybody on this node who reads its topic: each session's machine decides, the frame is the same for
 * all. The loop is the hot path: per receiver one look-up, one write that only links, one push onto a window.
 */
export function createFanOut({ actor, catchUp, pushes, journal, counters, clock }: FanOutParts): FeedSink<Reader> {
  const { stepper } = actor;

  function deliver(feed: Feed<Reader>, entry: OpenedEntry): void {
    const { readers } = feed;
    if (readers.length === 0) return;
    const { event } = entry;
    const { offset } = entry.position;
    const sending: Sending = { entry, at: clock.elapsed() };
    const listed = !isPublic(entry.topic);
    if (offset !== 0) entry.account = journal.accepted(entry);
    const tally: number[] = [];
    let toPush: Session[] | undefined;
    let written = 0;
    for (let i = 0; i < readers.length; i++) {
      const reader = readers[i]!;
      const { session } = reader;
      const route = stepper.step(session.state, event).route!;
      tally[route.index] = (tally[route.index] ?? 0) + 1;
      if (listed) journal.routed(entry, session, stepper.describe(session.state).state, route);
      if (route.socket === "deliver" && (!reader.behind || offset === 0)) {
        if (session.takes) {
          session.outlet!.write(entry.frame);
          session.unseen.push(sending);
          if (offset !== 0) reader.sent = offset;
          actor.watch(session, sending.at);
          written++;
        } else if (offset !== 0) {
          counters.diverted++;
          journal.note(entry, session, "diverted");
          catchUp.divert(reader);
        }
      }
      if (route.push === "now" || route.push === "coalesced") (toPush ??= []).push(session);
    }
    counters.delivered += written;
    if (!listed) count(tally, entry);
    if (toPush !== undefined) pushes.pushNow(toPush, sending);
  }

  function count(tally: readonly number[], entry: OpenedEntry): void {
    tally.forEach((devices, index) => journal.counted(entry, stepper.routes[index] as Route, devices));
  }

  return { deliver, missed: (feed) => feed.readers.forEach((reader) => catchUp.divert(reader)) };
}
