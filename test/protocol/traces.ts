import { readFileSync } from "node:fs";
import { expect } from "vitest";
import { encodeServerFrame } from "../../src/protocol/codec.ts";
import type { ClientFrame, Cursor, ServerFrame } from "../../src/protocol/frames.ts";
import { frameOf, fromHex, toHex } from "./vectors.ts";

/** What the app does. A publish and a subscription are named by their id and by their channel in `answers`. */
export type AppStep =
  /** From now on handlers wait to be told that they are finished; or no longer. */
  | { holds: boolean }
  /** The handler that has waited longest is done. */
  | "finishes"
  | { publish: { id: string; to: string; content: string } }
  | { subscribe: { to: string; channel: string } }
  | "hides"
  | "logs out";

/** What can be seen of a client from its app. */
export interface ClientState {
  /** Contents, in the order in which their handlers began. */
  handled: string[];
  gaps: Cursor[];
  /** "ok", or the code of the error. */
  answers: Record<string, string>;
  /** Where the app is done, as it outlives the process. */
  cursors: Cursor[];
  /** It does not come back by itself. */
  ended: boolean;
}

type Step =
  | { connects: true }
  | { client: unknown[] }
  | { server: unknown[] }
  | { app: AppStep }
  | { closes: number | "*" }
  | { closed: number }
  | { lost: true }
  | { state: Partial<ClientState> };

export interface Trace {
  name: string;
  why: string;
  steps: Step[];
}

/** What traces.json holds. */
export const { traces } = JSON.parse(
  readFileSync(new URL("../../src/protocol/traces.json", import.meta.url), "utf8"),
) as { traces: Trace[] };

/** A client that is played to, and its surroundings. */
export interface Subject {
  /** Waits for the next connection that the client opens. */
  connection(): Promise<void>;
  /** One WebSocket message to the client. */
  say(bytes: Uint8Array): Promise<void>;
  /** Takes what the client has said: waits for so many frames, and until it has come to rest. */
  heard(count: number): Promise<ClientFrame[]>;
  /** The code that the client closes with. */
  closes(): Promise<number>;
  /** Closes with that code; undefined: the connection is gone without a word. */
  end(code: number | undefined): Promise<void>;
  app(step: AppStep): Promise<void>;
  state(): Promise<ClientState>;
}

/** Plays a trace to a client. */
export async function play({ steps }: Trace, client: Subject): Promise<void> {
  const names = new Map<string, unknown>();
  for (const [at, step] of steps.entries()) {
    const where = `step ${at + 1}`;
    if ("connects" in step) await client.connection();
    else if ("server" in step) await client.say(joined(step.server.map((frame) => bytesOf(filled(frame, undefined, names)))));
    else if ("client" in step) {
      const heard = (await client.heard(step.client.length)).map(jsonOf);
      expect(heard, where).toEqual(filled(step.client, heard, names));
    } else if ("closes" in step) {
      const code = await client.closes();
      if (step.closes !== "*") expect(code, where).toBe(step.closes);
      // Acks may go out in front of it.
      expect((await client.heard(0)).filter(({ type }) => type !== "ack"), where).toEqual([]);
    } else if ("closed" in step) await client.end(step.closed);
    else if ("lost" in step) await client.end(undefined);
    else if ("app" in step) await client.app(step.app);
    else await expect.poll(() => client.state(), { message: where, timeout: 5_000 }).toMatchObject(step.state);
  }
}

/** A pattern with what it leaves open: `*` is whatever is there, and `$name` the same wherever it stands. */
function filled(pattern: unknown, actual: unknown, names: Map<string, unknown>): unknown {
  if (pattern === "*") return actual;
  if (typeof pattern === "string" && pattern.startsWith("$")) {
    if (!names.has(pattern) && actual !== undefined) names.set(pattern, actual);
    return names.get(pattern) ?? pattern;
  }
  if (typeof pattern !== "object" || pattern === null) return pattern;
  const part = (key: string | number): unknown => (actual as Record<string | number, unknown> | null | undefined)?.[key];
  if (Array.isArray(pattern)) return pattern.map((item, index) => filled(item, part(index), names));
  return Object.fromEntries(Object.entries(pattern).map(([key, item]) => [key, filled(item, part(key), names)]));
}

/** A frame, or any bytes as hex. */
function bytesOf(frame: unknown): Uint8Array {
  return typeof frame === "string" ? fromHex(frame) : encodeServerFrame(frameOf(frame) as ServerFrame);
}

function jsonOf(frame: ClientFrame): unknown {
  const json: Record<string, unknown> = { ...frame };
  if (json["payload"] instanceof Uint8Array) json["payload"] = toHex(json["payload"]);
  if ("line" in json) json["line"] ??= null;
  return json;
}

function joined(parts: Uint8Array[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}
