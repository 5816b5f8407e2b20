import { decode, encode } from "@msgpack/msgpack";
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { CloseCode, mayReconnect } from "../../src/protocol/codes.ts";
import { decodeClientFrames, decodeServerFrames, encodeClientFrame, encodeServerFrame } from "../../src/protocol/codec.ts";
import type { ErrorCode } from "../../src/protocol/errors.ts";
import { FrameType, OPTIONAL_TYPES_FROM, SUBPROTOCOL, VERSION } from "../../src/protocol/frames.ts";
import type { ClientFrame, ServerFrame } from "../../src/protocol/frames.ts";
import { DEFAULT_TTL_SECONDS } from "../../src/protocol/message.ts";
import { MAX_NAME_BYTES } from "../../src/protocol/names.ts";
import { MAX_DEPTH } from "../../src/protocol/scan.ts";
import { traces } from "./traces.ts";
import { frameOf, fromHex, toHex, vectors } from "./vectors.ts";

const text = readFileSync(new URL("../../src/protocol/PROTOCOL.md", import.meta.url), "utf8");
const rows = [...text.matchAll(/^\| (.+) \|$/gm)].map(([, row]) => row!.split(" | ").map((cell) => cell.trim()));
/** Rows of one section. */
const rowsOf = (section: number) => {
  const from = text.indexOf(`## ${section}. `);
  return [...text.slice(from, text.indexOf("\n## ", from)).matchAll(/^\| (.+) \|$/gm)].map(([, row]) => row!.split(" | "));
};
const prose = text.replaceAll(/\s+/g, " ");
/** Rows whose first cells match. */
const table = (...cells: RegExp[]) => rows.filter((row) => cells.every((cell, i) => cell.test(row[i] ?? "")));

describe("PROTOCOL.md", () => {
  test("lists every frame under its type", () => {
    const listed = table(/^\d{1,2}$/, /^[a-z]+$/).map(([type, name]) => [name, Number(type)]);
    expect(Object.fromEntries(listed)).toEqual(FrameType);
  });

  test("lists the fields of each frame in the order in which they are encoded", () => {
    const listed = Object.fromEntries(
      table(/^\d{1,2}$/, /^[a-z]+$/).map((
        [, name, fields],
      ) => [
        name,
        [...(fields ?? "").replaceAll(/\[[^,\]]*,.*?\]+/g, "list").matchAll(/(?:^|, )(\w+)/g)].map(([, field]) => field),
      ]),
    );
    for (const { frames } of vectors.frames) {
      for (const { type, ...fields } of frames.map(frameOf)) expect(listed[type], type).toEqual(Object.keys(fields));
    }
  });

  test("lists every close code, and who may come back", () => {
    const listed = table(/^\d{4}$/, /^[a-zA-Z]+$/);
    expect(Object.fromEntries(listed.map(([code, name]) => [name, Number(code)]))).toEqual(CloseCode);
    for (const [code, , , answer] of listed) expect(!answer!.startsWith("no"), code).toBe(mayReconnect(Number(code)));
  });

  test("lists every error code", () => {
    const listed = new Set(rowsOf(9).map(([code]) => code!.trim()).filter((code) => /^[a-z-]*[a-z]$/.test(code)));
    // A record, so that the compiler knows when one is missing here.
    const codes: Record<ErrorCode, true> = {
      "bad-name": true,
      "bad-message": true,
      "bad-frame": true,
      "bad-order": true,
      "bad-config": true,
      "bad-url": true,
      "too-large": true,
      "too-many": true,
      "unauthorized": true,
      "expired": true,
      "forbidden": true,
      "not-subscribed": true,
      "no-recipient": true,
      "no-provider": true,
      "no-app": true,
      "signed-out": true,
      "outcome-unknown": true,
      "replaced": true,
      "closed": true,
      "draining": true,
      "unavailable": true,
      "storage-full": true,
      "storage-locked": true,
      "storage-corrupt": true,
      "storage-readonly": true,
      "storage-lost": true,
      "storage-version": true,
      "timeout": true,
      "unsupported": true,
      "internal": true,
    };
    listed.delete("code");
    expect([...listed].sort()).toEqual(Object.keys(codes).sort());
  });

  test("lists every limit of the vectors", () => {
    const numbers = rowsOf(10).flatMap(([, value]) =>
      [...(value ?? "").matchAll(/[\d,]*\d/g)].map(([text]) => Number(text.replaceAll(",", "")))
    );
    for (const [name, most] of Object.entries(vectors.limits)) expect(numbers, name).toContain(most);
  });

  test("lists every part of the vectors and every kind of step in the traces", () => {
    for (const part of Object.keys(vectors).filter((part) => part !== "about")) expect(prose).toContain(`\`${part}\``);
    const steps = new Set(traces.flatMap(({ steps }) => steps.flatMap((step) => Object.keys(step))));
    const listed = rowsOf(12).flatMap(([step]) => [...step!.matchAll(/`(\w+)`/g)].map(([, name]) => name));
    expect(listed.sort()).toEqual([...steps].sort());
  });

  test("names the constants as they are", () => {
    expect(prose).toContain(`subprotocol \`${SUBPROTOCOL}\``);
    expect(prose).toContain(`version is ${VERSION}.`);
    expect(prose).toContain(`from ${OPTIONAL_TYPES_FROM} to 127`);
    expect(prose).toContain(`| ${DEFAULT_TTL_SECONDS} (30 days) |`);
    expect(prose).toContain(`1 to ${MAX_NAME_BYTES} bytes`);
    expect(prose).toContain(`nests ${MAX_DEPTH} deep at most`);
  });
});

interface Said {
  side: string;
  frames: (ClientFrame | ServerFrame)[];
  lines: { bytes: Uint8Array; note: string }[];
}

const session: Said[] = text.match(/```session\n([\s\S]*?)```/)![1]!.trim().split("\n\n").map((block) => {
  const [first, ...rest] = block.split("\n");
  const [, side, json] = first!.match(/^(client|server) (.*)$/)!;
  const frames = [JSON.parse(json!)].flat().map(frameOf);
  const lines: Said["lines"] = [];
  for (const line of rest) {
    const [, hex, note] = line.match(/^((?:[0-9a-f]{2} ?)+)\s*(.*)$/)!;
    if (note !== "") lines.push({ bytes: fromHex(hex!), note: note! });
    // A line without a note goes on with the one before.
    else lines.push({ bytes: Uint8Array.of(...lines.at(-1)!.bytes, ...fromHex(hex!)), note: lines.pop()!.note });
  }
  return { side: side!, frames, lines };
});

describe("the session in PROTOCOL.md", () => {
  test("is as long as it was written", () => {
    expect(session.flatMap(({ frames }) => frames.map(({ type }) => type))).toEqual(
      ["hello", "welcome", "message", "ack", "publish", "ok", "ping", "ack"],
    );
  });

  test.each(session)("$side: its bytes are its frames, both ways", ({ side, frames, lines }) => {
    const bytes = Uint8Array.from(lines.flatMap(({ bytes }) => [...bytes]));
    expect(side === "client" ? decodeClientFrames(bytes) : decodeServerFrames(bytes)).toStrictEqual(frames);
    const encoded = frames.map((frame) =>
      side === "client" ? encodeClientFrame(frame as ClientFrame) : encodeServerFrame(frame as ServerFrame)
    );
    expect(encoded.map(toHex).join("")).toBe(toHex(bytes));
  });

  test.each(session.flatMap(({ lines }) => lines))("$note", ({ bytes, note }) => {
    const [name, value] = note.split(" = ");
    if (value !== undefined) {
      // A map's entry shows its key as well.
      const key = toHex(encode(name));
      const item = toHex(bytes).startsWith(key) ? bytes.subarray(key.length / 2) : bytes;
      expect(decode(item)).toStrictEqual(JSON.parse(value));
    } else {
      const [, kind, count] = note.match(/^\w+: (array|map) of (\d+)$/)!;
      expect([...bytes]).toEqual([(kind === "map" ? 0x80 : 0x90) + Number(count)]);
    }
  });
});
