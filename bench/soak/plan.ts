import type { Policy } from "../../mod.ts";

/** People who stay, with a phone and a laptop each. */
export const RESIDENTS = 60;

/** How often each thing happens, a second. The same all the time: only what is kept can grow. */
export const RATES = {
  /** They come, each a user and a device that were never there before, and go for good. */
  guests: 6,
  /** Of the server to a resident. */
  privateMessages: 40,
  /** Of a resident to another one. */
  letters: 20,
  /** A private message is published again, under its id. */
  repeats: 2,
  /** Public messages to all residents. */
  news: 2,
  /** Rooms begin. Each lives for {@link ROOM_MS}, and is never heard of again. */
  rooms: 2,
  roomMessages: 20,
  /** Messages for whoever is in a room now. */
  ephemeral: 10,
  /** Marks as read or dismissed. */
  marks: 10,
  /** What explain() is asked about. */
  explained: 4,
  /** Input at a device. */
  inputs: 8,
  /** Apps go to the background, sockets are lost, sockets fall silent before they are, apps are closed. All come back. */
  backgrounded: 2,
  lost: 2,
  silent: 1,
  closed: 1,
} as const;

/** Residents in a room, and how long it lives. */
export const ROOM_MEMBERS = 8;
export const ROOM_MS = 10_000;

/** How long an app is in the background or closed, and how long a guest stays, from and to. */
export const AWAY_MS = [3_000, 8_000] as const;
export const STAY_MS = [2_000, 6_000] as const;
/** How long a socket is silent before it is gone: longer than an ack may take. */
export const SILENT_MS = 2_500;
/** After this long a token has to be renewed. */
export const TOKEN_MS = 20_000;

/** Short waits: what waits has its usual number after seconds, not after minutes. */
export const POLICY: Partial<Policy> = { ackTimeoutMs: 1_000, graceMs: 3_000, activeElsewhereMs: 1_000, coalesceMs: 10_000 };
/** So little that it is full before anything is judged: a cache that fills is no leak. */
export const EXPLAIN_BYTES = 512 * 1_024;

/** How long it takes unless something else is said. */
export const FULL_MINUTES = 15;
/** Between two points. */
export const POINT_MS = 2_000;
/** The line goes through the points after this long, and after this share of a shorter run. */
export const SETTLING_MS = 180_000;
export const SETTLING_SHARE = 1 / 3;
/** How long it may take at the end until everybody has what is theirs. */
export const END_MS = 60_000;
