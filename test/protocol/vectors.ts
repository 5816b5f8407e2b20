import { Extension } from "../../src/protocol/extension.ts";
import { readFileSync } from "node:fs";
import type { ClientFrame, ServerFrame } from "../../src/protocol/frames.ts";
import type { MessageOptions } from "../../src/protocol/message.ts";

export type Side = "client" | "server";

interface FrameVector {
  name: string;
  side: Side;
  /** With `payload` and `envelope` as hex. */
  frames: unknown[];
  hex: string;
}

/** What vectors.json holds. */
export interface Vectors {
  frames: FrameVector[];
  lenient: FrameVector[];
  /** `fault`: the hint of the error, so that none is refused for another reason than its own. */
  invalid: { name: string; side: Side; hex: string; code: string; fault: string }[];
  payloads: { name: string; content: string | null; data: unknown; hex: string }[];
  envelopes: {
    name: string;
    envelope: {
      id: string;
      from: string | null;
      sentAt: number;
      expiresAt: number;
      options: MessageOptions | null;
      payload: string;
      device?: string;
    };
    hex: string;
  }[];
  unreadable: { what: "payload" | "envelope"; name: string; hex: string; fault: string }[];
  names: { good: string[]; bad: { name: string; text: string; fault: string }[] };
  topics: { good: { topic: string; to: string; channel: string }[]; bad: string[] };
  limits: Record<string, number>;
  signatures: { name: string; secret: string; timestamp: string; body: string; signature: string }[];
}

export const vectors = JSON.parse(readFileSync(new URL("../../src/protocol/vectors.json", import.meta.url), "utf8")) as Vectors;

export function fromHex(hex: string): Uint8Array {
  const digits = hex.replaceAll(/\s/g, "");
  return Uint8Array.from({ length: digits.length / 2 }, (_, i) => parseInt(digits.slice(i * 2, i * 2 + 2), 16));
}

export function toHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** A payload's data, with what JSON has no form for. */
export function dataOf(json: unknown): unknown {
  if (typeof json !== "object" || json === null) return json;
  if (Array.isArray(json)) return json.map(dataOf);
  const { $bytes, $ext, $time, $float } = json as { $bytes?: string; $ext?: [number, string]; $time?: number; $float?: string };
  if ($bytes !== undefined) return fromHex($bytes);
  if ($ext !== undefined) return new Extension($ext[0], fromHex($ext[1]));
  if ($time !== undefined) return new Date($time);
  if ($float !== undefined) return Number($float);
  return Object.fromEntries(Object.entries(json).map(([key, value]) => [key, dataOf(value)]));
}

/** A vector's frame as the codec knows it. */
export function frameOf(json: unknown): ClientFrame | ServerFrame {
  const frame = { ...json as Record<string, unknown> };
  for (const key of ["payload", "envelope"]) {
    if (typeof frame[key] === "string") frame[key] = fromHex(frame[key]);
  }
  // Outside of all lines.
  if (frame["line"] === null) frame["line"] = undefined;
  return frame as unknown as ClientFrame | ServerFrame;
}
