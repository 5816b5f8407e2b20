/** How much of everything is measured. */
export interface Plan {
  /** Messages that wait for one push, and how long until it is due. */
  coalesced: { rows: number; coalesceMs: number };
  /** Private messages to the user with few devices, and to the one with many. */
  devices: { many: number; toFew: number; toMany: number };
  neighbours: {
    /** While nobody misbehaves, and while somebody does. */
    calmMs: number;
    busyMs: number;
    /** How long after that an answer may still come. */
    waitMs: number;
    coalesceMs: number;
    /** Pushes that a provider never answers. */
    unanswered: number;
    /** Devices of one account that sign in while it is measured. */
    flood: number;
  };
  burst: {
    members: number;
    /** Members where NATS keeps them. */
    membersOnNats: number;
    present: number;
    /** Seconds in which a message a second is published, and messages that are published one after the other. */
    seconds: number;
    messages: number;
    /** How long it may take to publish, and then until everybody has been pushed. */
    publishMs: number;
    pushedMs: number;
    /** Messages before the engine is closed, and how long that may take. */
    beforeClose: number;
    closeMs: number;
    /** How long the next start may take to go on. */
    goOnMs: number;
  };
  /** Members who are away, for one message, and how long it may take to write them and until all are pushed. */
  million: { members: number; pushedMs: number; limitMs: number };
  lost: { sessions: number; graceMs: number; awayMs: number };
  /** Users that are connected while it is looked what stays of their messages. */
  held: { users: number };
  /** Members of a room who mark one message. */
  marks: { members: number };
  /** Clients, and how much each of them asks for. */
  requests: { clients: number; each: number };
  /** Clients that return at once, and how many messages each has missed: in a topic of its own, or in a room of all of them. */
  returns: Record<"many" | "far" | "room", { clients: number; missed: number; limitMs: number }>;
  /** Readers whose sockets take little, what waits for them, and how long they are watched. */
  slowReaders: { readers: number; entries: number; bytes: number; forMs: number };
  /** After this long a step is ended, and what it did not say by then is missing. */
  stepMs: number;
}

export const FULL: Plan = {
  coalesced: { rows: 400, coalesceMs: 3_000 },
  devices: { many: 600, toFew: 300, toMany: 20 },
  neighbours: { calmMs: 10_000, busyMs: 20_000, waitMs: 30_000, coalesceMs: 4_000, unanswered: 300, flood: 2_000 },
  burst: {
    ...{ members: 200_000, membersOnNats: 5_000, present: 100, seconds: 20, messages: 1_000 },
    ...{ publishMs: 180_000, pushedMs: 120_000, beforeClose: 20, closeMs: 10_000, goOnMs: 30_000 },
  },
  million: { members: 1_000_000, pushedMs: 1_200_000, limitMs: 1_500_000 },
  lost: { sessions: 10_000, graceMs: 1_000, awayMs: 120_000 },
  held: { users: 20 },
  marks: { members: 1_500 },
  requests: { clients: 200, each: 500 },
  returns: {
    many: { clients: 5_000, missed: 100, limitMs: 60_000 },
    far: { clients: 1_000, missed: 1_100, limitMs: 90_000 },
    room: { clients: 5_000, missed: 100, limitMs: 60_000 },
  },
  slowReaders: { readers: 200, entries: 800, bytes: 64_000, forMs: 15_000 },
  stepMs: 420_000,
};

export const QUICK: Plan = {
  coalesced: { rows: 400, coalesceMs: 1_000 },
  devices: { many: 600, toFew: 50, toMany: 2 },
  neighbours: { calmMs: 1_000, busyMs: 2_000, waitMs: 1_500, coalesceMs: 1_000, unanswered: 100, flood: 300 },
  burst: {
    ...{ members: 20_000, membersOnNats: 1_000, present: 100, seconds: 5, messages: 100 },
    ...{ publishMs: 6_000, pushedMs: 8_000, beforeClose: 5, closeMs: 5_000, goOnMs: 4_000 },
  },
  million: { members: 30_000, pushedMs: 30_000, limitMs: 60_000 },
  lost: { sessions: 2_000, graceMs: 1_000, awayMs: 10_000 },
  held: { users: 3 },
  marks: { members: 500 },
  requests: { clients: 50, each: 200 },
  returns: {
    many: { clients: 1_000, missed: 100, limitMs: 10_000 },
    far: { clients: 100, missed: 1_100, limitMs: 10_000 },
    room: { clients: 1_000, missed: 100, limitMs: 10_000 },
  },
  slowReaders: { readers: 50, entries: 400, bytes: 64_000, forMs: 3_000 },
  stepMs: 30_000,
};
