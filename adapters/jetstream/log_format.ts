import type { Topic } from "../../src/protocol/names.ts";
import { subjectOf } from "../nats/subjects.ts";

/** Which of several log streams a topic is in: the same on every node, now and later (FNV-1a over UTF-16 code units). */
export function partitionOf(topic: Topic, partitions: number): number {
  if (partitions === 1) return 0;
  let hash = 0x811c9dc5;
  for (let index = 0; index < topic.length; index++) hash = Math.imul(hash ^ topic.charCodeAt(index), 0x01000193);
  return (hash >>> 0) % partitions;
}

export function logStream(name: string, partition: number): string {
  return `${name}_LOG_${partition}`;
}

export function logSubject(name: string, partition: number, topic: Topic): string {
  return subjectOf(name, `log.${partition}`, topic);
}

/** The topic that a log's subject stands for; undefined: somebody else's subject. */
export function topicOfSubject(subject: string): Topic | undefined {
  const [to, channel] = subject.split(".").slice(-2);
  try {
    return `${nameOf(to!)}/${nameOf(channel!)}`;
  } catch {
    return undefined;
  }
}

function nameOf(token: string): string {
  return token.includes("=") ? decodeURIComponent(token.replaceAll("=", "%")) : token;
}

const encoder = new TextEncoder();
/** Before an entry's bytes stands its `expiresAt`, a float64: a tail that wants it need not parse headers. */
const PREFIX_BYTES = 8;

export function wrap(bytes: Uint8Array, expiresAt: number): Uint8Array {
  const wrapped = new Uint8Array(PREFIX_BYTES + bytes.length);
  new DataView(wrapped.buffer).setFloat64(0, expiresAt);
  wrapped.set(bytes, PREFIX_BYTES);
  return wrapped;
}

/** @returns undefined: nothing that was wrapped */
export function unwrap(wrapped: Uint8Array): { bytes: Uint8Array; expiresAt: number } | undefined {
  if (wrapped.length < PREFIX_BYTES) return undefined;
  const expiresAt = new DataView(wrapped.buffer, wrapped.byteOffset).getFloat64(0);
  // A copy: a part would keep all that the socket brought with it.
  return { bytes: new Uint8Array(wrapped.subarray(PREFIX_BYTES)), expiresAt };
}

/** Entries outlive their expiry on the server, so that readers who come soon after can still count them. */
const LINGER_SECONDS = 60;

/** Whole seconds that the server is to keep an entry. */
export function serverTtl(msLeft: number): number {
  return Math.max(1, Math.ceil(msLeft / 1000)) + LINGER_SECONDS;
}

/** About when an entry expires, told from when the server stored it and for how long. */
export function serverExpiry(storedAt: number, ttl: number): number {
  return storedAt + (ttl - LINGER_SECONDS) * 1000;
}

/** Headers as both clients want them, written once. */
export function rawHeaders(fields: Readonly<Record<string, string | number>>): { encode(): Uint8Array } {
  const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`);
  const bytes = encoder.encode(`NATS/1.0\r\n${lines.join("")}\r\n`);
  return { encode: () => bytes };
}
