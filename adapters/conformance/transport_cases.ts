import { deepStrictEqual, rejects, strictEqual } from "node:assert/strict";
import { createEar, type Ear, publishMany, type Stage, type StorageCase } from "./stage.ts";

const topic = "sara/default";
const hour = 3600_000;

function publish(
  { storage, clock }: Pick<Stage, "storage" | "clock">,
  to: string,
  key: string,
  bytes: Uint8Array = Uint8Array.of(7),
) {
  return storage.transport.publish(to, bytes, { key, expiresAt: clock.now() + hour });
}

/** The bytes that an ear was told, in order. A transport that keeps no log brings what is published as signals. */
function heard({ entries, signals }: Ear): Uint8Array[] {
  return entries.length === 0 ? signals : entries.map(({ bytes }) => bytes);
}

function firstBytes(ear: Ear): (number | undefined)[] {
  return heard(ear).map(([first]) => first);
}

/** What a Transport must do. */
export const transportCases: readonly Omit<StorageCase, "port">[] = [
  {
    name: "gives every entry of a topic a strictly higher offset",
    async run(stage) {
      const offsets: number[] = [];
      for (let index = 0; index < 20; index++) {
        const { position, duplicate } = await publish(stage, topic, `key ${index}`);
        strictEqual(duplicate, false);
        if (position === null) return;
        strictEqual(Number.isSafeInteger(position.epoch) && position.epoch > 0, true, "the epoch is a safe integer above 0");
        offsets.push(position.offset);
      }
      deepStrictEqual(offsets, [...new Set(offsets)].sort((a, b) => a - b));
      strictEqual(offsets[0]! >= 1, true, "offsets count from 1");
    },
  },
  {
    name: "gives publishes that run at once positions of their own",
    async run(stage) {
      const ear = createEar();
      await stage.storage.transport.subscribe(topic, ear);
      const all = await Promise.all(Array.from({ length: 200 }, (_, index) => publish(stage, topic, `key ${index}`)));
      await stage.until(() => ear.offsets.length >= 200, "200 entries reported");
      deepStrictEqual(ear.offsets, [...new Set(ear.offsets)].sort((a, b) => a - b), "reported in the order of offsets");
      strictEqual(ear.offsets.length, 200);
      strictEqual(new Set(all.map(({ position }) => position?.offset ?? {})).size, 200);
    },
  },
  {
    name: "answers a known key with the first position and adds nothing",
    async run(stage) {
      const ear = createEar();
      await stage.storage.transport.subscribe(topic, ear);
      const first = await publish(stage, topic, "key");
      const again = await publish(stage, topic, "key", Uint8Array.of(8));
      const other = await publish(stage, topic, "other");
      deepStrictEqual(again, { ...first, duplicate: true });
      strictEqual(other.duplicate, false);
      await stage.until(() => ear.offsets.length >= 2, "both entries reported");
      deepStrictEqual(ear.entries.map(({ bytes }) => [...bytes]), [[7], [7]]);
    },
  },
  {
    name: "lets one of several publishes at once under one key win",
    async run(stage) {
      const all = await Promise.all(Array.from({ length: 20 }, () => publish(stage, topic, "key")));
      strictEqual(all.filter(({ duplicate }) => !duplicate).length, 1);
      deepStrictEqual(all.map(({ position }) => position), all.map(() => all[0]!.position));
    },
  },
  {
    name: "takes one key in two topics for two messages",
    async run(stage) {
      await publish(stage, topic, "key");
      strictEqual((await publish(stage, "omid/default", "key")).duplicate, false);
    },
  },
  {
    name: "forgets a key after the window and not before",
    retention: { idempotencyMs: hour },
    async run(stage) {
      await publish(stage, topic, "key");
      await stage.clock.advance(hour - 1);
      for (let index = 0; index < 5; index++) await publish(stage, topic, `other ${index}`);
      strictEqual((await publish(stage, topic, "key")).duplicate, true);
      await stage.clock.advance(1);
      strictEqual((await publish(stage, topic, "key")).duplicate, false);
    },
  },
  {
    name: "reports to a publisher its own entries, as published, once, in order",
    async run(stage) {
      const ear = createEar();
      const { head } = await stage.storage.transport.subscribe(topic, ear);
      await publishMany(stage, topic, 30);
      await stage.until(() => heard(ear).length >= 30, "30 entries reported");
      await stage.clock.settle();
      let before = head.offset;
      for (const { topic: named, offset, previous, expiresAt } of ear.entries) {
        strictEqual(named, topic);
        strictEqual(previous >= before && previous < offset, true, "names the entry before it, or what follows that");
        strictEqual(expiresAt, stage.clock.now() + hour);
        before = offset;
      }
      deepStrictEqual(heard(ear).map((bytes) => [...bytes]), Array.from({ length: 30 }, (_, index) => [index + 1]));
    },
  },
  {
    name: "reports what comes after a subscription's head and nothing before",
    async run(stage) {
      await publishMany(stage, topic, 3);
      const early = createEar();
      const late = createEar();
      await stage.storage.transport.subscribe(topic, early);
      const publishing = publish(stage, topic, "meanwhile");
      const { head } = await stage.storage.transport.subscribe(topic, late);
      const { position } = await publishing;
      await publish(stage, topic, "last", Uint8Array.of(9));
      await stage.until(() => [early, late].every((ear) => firstBytes(ear).includes(9)), "the last entry reported");
      strictEqual(late.offsets.every((offset) => offset > head.offset), true);
      deepStrictEqual(late.offsets, early.offsets.filter((offset) => offset > head.offset));
      deepStrictEqual(firstBytes(late), firstBytes(early).slice(-heard(late).length));
      strictEqual(position === null || early.offsets.includes(position.offset), true);
    },
  },
  {
    name: "reports nothing up to its head to a subscription that is made while an entry is reported",
    async run(stage) {
      const late = createEar();
      let subscribing: ReturnType<typeof stage.storage.transport.subscribe> | undefined;
      const subscribe = () => void (subscribing ??= stage.storage.transport.subscribe(topic, late));
      await stage.storage.transport.subscribe(topic, { entry: subscribe, signal: subscribe, gap() {} });
      await publish(stage, topic, "one");
      await stage.until(() => subscribing !== undefined, "the first entry reported");
      const { head } = await subscribing!;
      await publish(stage, topic, "two");
      await stage.until(() => heard(late).length > 0, "the second entry reported");
      strictEqual(late.offsets.every((offset) => offset > head.offset), true);
    },
  },
  {
    name: "reports in order also when a listener publishes while it is told",
    async run(stage) {
      const ear = createEar();
      let once = true;
      const publishOnce = () => {
        if (!once) return;
        once = false;
        publish(stage, topic, "from the listener", Uint8Array.of(2)).catch(() => {});
      };
      await stage.storage.transport.subscribe(topic, { entry: publishOnce, signal: publishOnce, gap() {} });
      await stage.storage.transport.subscribe(topic, ear);
      await publish(stage, topic, "key", Uint8Array.of(1));
      await stage.until(() => heard(ear).length >= 2, "both entries reported");
      deepStrictEqual(firstBytes(ear), [1, 2]);
      deepStrictEqual(ear.offsets, ear.offsets.toSorted((a, b) => a - b));
    },
  },
  {
    name: "goes on when a listener throws",
    async run(stage) {
      const ear = createEar();
      const fail = () => {
        throw new Error("a listener's defect");
      };
      await stage.storage.transport.subscribe(topic, { entry: fail, signal: fail, gap() {} });
      await stage.storage.transport.subscribe(topic, ear);
      strictEqual((await publish(stage, topic, "key")).duplicate, false);
      await stage.until(() => heard(ear).length === 1, "the entry reported to the other listener");
    },
  },
  {
    name: "reports an entry only when it can be read",
    async run(stage) {
      const { history, transport } = stage.storage;
      if (history === undefined) return;
      const read: Promise<boolean>[] = [];
      await transport.subscribe(topic, {
        entry({ offset }) {
          read.push(history.read(topic, offset - 1, 1).then(({ entries }) => entries[0]?.offset === offset));
        },
        gap() {},
      });
      await publishMany(stage, topic, 5);
      await stage.until(() => read.length >= 5, "5 entries reported");
      deepStrictEqual(await Promise.all(read), read.map(() => true));
    },
  },
  {
    name: "reports nothing more to a closed subscription and all to the others",
    async run(stage) {
      const closed = createEar();
      const open = createEar();
      const subscription = await stage.storage.transport.subscribe(topic, closed);
      await stage.storage.transport.subscribe(topic, open);
      await publish(stage, topic, "one");
      await stage.until(() => [open, closed].every((ear) => heard(ear).length === 1), "the first entry reported");
      subscription.close();
      await publish(stage, topic, "two");
      await stage.until(() => heard(open).length === 2, "the second entry reported");
      strictEqual(heard(closed).length, 1);
    },
  },
  {
    name: "keeps topics apart, whatever stands in their names",
    async run(stage) {
      const names = ["a.b/c", "a/b.c", "A.B/c", "*/room 9", "*/room.9", "سارا/پیام", "x@y.z+1/*", "%2a/>", "a'b\"/;--"];
      const ears = names.map(() => createEar());
      for (const [index, name] of names.entries()) await stage.storage.transport.subscribe(name, ears[index]!);
      for (const [index, name] of names.entries()) await publish(stage, name, "key", Uint8Array.of(index));
      await stage.until(() => ears.every((ear) => heard(ear).length > 0), "an entry in each topic");
      deepStrictEqual(ears.map(firstBytes), names.map((_, index) => [index]));
      for (const [index, { entries }] of ears.entries()) strictEqual(entries[0]?.topic ?? names[index], names[index]);
    },
  },
  {
    name: "carries every byte, from none to a mebibyte",
    async run(stage) {
      const ear = createEar();
      await stage.storage.transport.subscribe(topic, ear);
      const sent = [0, 1, 255, 1 << 20].map((size) => Uint8Array.from({ length: size }, (_, index) => (index * 31) & 255));
      for (const [index, bytes] of sent.entries()) await publish(stage, topic, `key ${index}`, bytes);
      await stage.until(() => heard(ear).length === sent.length, "all entries reported");
      for (const [index, bytes] of sent.entries()) {
        const got = heard(ear)[index]!;
        strictEqual(got.length === bytes.length && got.every((byte, at) => byte === bytes[at]), true);
      }
    },
  },
  {
    name: "brings a signal to the topic's listeners and leaves the log as it is",
    async run(stage) {
      const ear = createEar();
      const other = createEar();
      await stage.storage.transport.subscribe(topic, ear);
      await stage.storage.transport.subscribe("omid/default", other);
      stage.storage.transport.signal(topic, Uint8Array.of(1, 2));
      await stage.until(() => ear.signals.length === 1, "the signal");
      deepStrictEqual([...ear.signals[0]!], [1, 2]);
      deepStrictEqual([ear.entries, other.signals], [[], []]);
      strictEqual((await stage.storage.history?.read(topic, 0, 10))?.head.offset ?? 0, 0);
    },
  },
  {
    name: "refuses with `closed` once it is closed",
    async run(stage) {
      const { transport } = stage.storage;
      await publish(stage, topic, "key");
      await stage.storage.close();
      await rejects(publish(stage, topic, "other"), { name: "PeykError", code: "closed" });
      await rejects(transport.subscribe(topic, createEar()), { name: "PeykError", code: "closed" });
    },
  },
  {
    name: "says of every publish how safely it is stored, and `memory` just when it is not durable",
    async run(stage) {
      const { durable } = stage.storage.transport;
      for (const key of ["key", "other", "key"]) {
        const { position, durability } = await publish(stage, topic, key);
        strictEqual(["memory", "majority", "disk"].includes(durability), true, `no durability: ${durability}`);
        strictEqual(durability !== "memory", durable, `${durability} is not what the transport promises`);
        if (position === null) strictEqual(durability, "memory", "what no log has is stored nowhere");
      }
    },
  },
  {
    name: "leaves no timer behind when it is closed",
    async run(stage) {
      await publish(stage, topic, "key");
      await stage.storage.close();
      strictEqual(stage.clock.timers, 0);
    },
  },
  {
    name: "keeps entries, offsets, epoch and keys over a restart",
    durable: true,
    async run(stage) {
      const first = await publish(stage, topic, "key", Uint8Array.of(1, 2, 3));
      const storage = await stage.reopen();
      const again = await publish({ ...stage, storage }, topic, "key");
      deepStrictEqual(again, { ...first, duplicate: true });
      const ear = createEar();
      const { head } = await storage.transport.subscribe(topic, ear);
      deepStrictEqual(head, first.position);
      const next = await publish({ ...stage, storage }, topic, "next");
      strictEqual(next.position!.epoch, first.position!.epoch);
      strictEqual(next.position!.offset > first.position!.offset, true);
      await stage.until(() => ear.entries.length === 1, "the new entry reported");
      const { offset, previous } = ear.entries[0]!;
      strictEqual(previous >= first.position!.offset && previous < offset, true, "names the entry before the restart");
      deepStrictEqual([...(await storage.history!.read(topic, 0, 1)).entries[0]!.bytes], [1, 2, 3]);
    },
  },
];
