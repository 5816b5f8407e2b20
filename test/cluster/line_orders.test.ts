// Requests in lines, whatever happens between them: connections lost, nodes killed and begun anew, sessions taken over by the other
// node, and everything said again. By hand: PEYK_LINE_ORDERS=20000 for as many lines.
import process from "node:process";
import { expect, test } from "vitest";
import { encodePayload, envelopeHead } from "../../src/protocol/codec.ts";
import type { ClientFrame, ServerFrame } from "../../src/protocol/frames.ts";
import { seededRandom } from "../engine/stage.ts";
import { Cluster, type ClusterDevice, type Node } from "./stage.ts";

const ORDERS = Number(process.env["PEYK_LINE_ORDERS"] ?? 400);
/** Lines at the same time. */
const TOGETHER = 20;
const STEPS = 14;
const ROOM = "*/room";

type Answer = Extract<ServerFrame, { type: "ok" | "error" }>;

interface Asked {
  readonly number: number;
  readonly frame: Extract<ClientFrame, { line?: unknown }>;
  saidAt: number | undefined;
}

/** A client with one line, which says everything again until it is answered. */
class Client {
  readonly userId: string;
  readonly asked: Asked[] = [];
  readonly answers = new Map<number, Answer>();
  readonly faults: string[] = [];
  device: ClusterDevice | undefined;
  node: Node | undefined;
  #read = 0;
  /** On this connection. */
  readonly #said = new Set<number>();
  readonly #cluster: Cluster;

  constructor(cluster: Cluster, userId: string) {
    this.#cluster = cluster;
    this.userId = userId;
  }

  /** Says hello; what is unanswered is said after the welcome. */
  connect(node: Node): void {
    this.node = node;
    this.device = node.connect(this.userId, {});
    this.#read = 0;
    this.#said.clear();
  }

  ask(frame: Asked["frame"]): void {
    this.asked.push({ number: this.asked.length + 1, frame, saidAt: undefined });
    this.say();
  }

  get isWelcome(): boolean {
    return this.device !== undefined && this.device.closedWith === undefined && this.device.of("welcome").length > 0;
  }

  say(): void {
    if (!this.isWelcome) return;
    for (const asked of this.asked) {
      if (this.answers.has(asked.number) || this.#said.has(asked.number)) continue;
      const now = this.#cluster.clock.elapsed();
      const ageMs = asked.saidAt === undefined ? 0 : Math.max(1, now - asked.saidAt);
      asked.saidAt ??= now;
      this.#said.add(asked.number);
      this.device!.send({
        ...asked.frame,
        ref: asked.number,
        line: { id: "the only one", number: asked.number, ageMs, user: this.userId },
      });
    }
  }

  read(): void {
    const frames = this.device?.frames ?? [];
    for (; this.#read < frames.length; this.#read++) {
      const frame = frames[this.#read]!;
      if ((frame.type !== "ok" && frame.type !== "error") || frame.ref === null) continue;
      const before = this.answers.get(frame.ref);
      if (before !== undefined) this.faults.push(`${this.userId}: ${frame.ref} was answered twice`);
      this.answers.set(frame.ref, frame);
    }
  }

  lose(): void {
    this.read();
    this.device?.drop();
    this.device = undefined;
  }

  accepted<Type extends Asked["frame"]["type"]>(...types: Type[]): Extract<Asked["frame"], { type: Type }>[] {
    return this.asked.filter(({ frame, number }) => types.includes(frame.type as Type) && this.answers.get(number)?.type === "ok")
      .map(({ frame }) => frame as Extract<Asked["frame"], { type: Type }>);
  }
}

test(`requests of ${ORDERS} lines, in random orders of loss, restart, takeover and repeat: each once, in order`, {
  timeout: 3_600_000,
}, async () => {
  const faults: string[] = [];
  for (let from = 0; from < ORDERS; from += TOGETHER) faults.push(...await play(from));
  expect(faults).toEqual([]);
});

async function play(seed: number): Promise<string[]> {
  const random = seededRandom(seed + 1);
  const chance = (most: number): number => Math.floor(random.fraction() * most);
  let cluster: Cluster;
  const opened = cluster = new Cluster({
    // Some answers come at once, some later, never in the order in which they were asked for.
    authorize: ({ allowed, topic }) => {
      const ms = chance(4) * 20;
      const answer = allowed || topic === ROOM;
      return ms === 0 ? answer : new Promise((resolve) => opened.clock.setTimeout(() => resolve(answer), ms));
    },
    limits: { publishesPerSecond: 20 },
  }, seed + 1);
  await cluster.start(2);
  const alive = (): Node[] => cluster.nodes.filter(({ access }) => !access.gate.isKilled);
  const clients = Array.from({ length: TOGETHER }, (_, index) => new Client(cluster, `user ${seed + index}`));
  let ids = 0;
  function request({ userId }: Client): Asked["frame"] {
    const id = `${ids++}`;
    switch (chance(6)) {
      case 0:
        return { type: "subscribe", ref: 0, topic: ROOM, since: null, anew: chance(3) === 0 };
      case 1:
        return { type: "unsubscribe", ref: 0, topic: ROOM };
      case 2:
        return { type: "target", ref: 0, provider: "fake", token: chance(3) === 0 ? null : `${userId} ${id}`, details: null };
      default:
        return { type: "publish", ref: 0, topic: `${userId}/default`, id, options: null, payload: encodePayload(id, undefined) };
    }
  }
  for (let step = 0; step < STEPS * TOGETHER; step++) {
    const client = clients[chance(TOGETHER)]!;
    const dice = chance(100);
    client.read();
    if (dice < 55) client.ask(request(client));
    else if (dice < 75 || !client.isWelcome) {
      client.lose();
      client.connect(alive()[chance(alive().length)]!);
    } else if (dice < 77) {
      const victim = alive()[chance(alive().length)]!;
      for (const other of clients) if (other.node === victim) other.lose();
      victim.kill();
      await cluster.node();
    }
    // A storage that is slow at times: what was begun for one connection ends in the time of the next.
    for (const { access } of alive()) access.slowMs = chance(3) * 15;
    // Between nothing at all and long enough for most.
    const pause = chance(5);
    if (pause === 0) await cluster.clock.advance(chance(60));
    else for (let turns = chance(30); turns > 0; turns--) await Promise.resolve();
    for (const each of clients) each.say();
  }
  const open = (): Client[] => clients.filter(({ answers, asked }) => answers.size < asked.length);
  for (let round = 0; open().length > 0 && round < 200; round++) {
    for (const client of clients) {
      client.read();
      if (client.isWelcome) client.say();
      else if (round % 20 === 0) client.connect(alive()[chance(alive().length)]!);
    }
    await cluster.clock.advance(100);
    for (const client of clients) client.read();
  }
  const faults = open().map(({ answers, asked, userId }) => `${userId}: ${asked.length - answers.size} are not answered`);
  for (const { access } of alive()) access.slowMs = 0;
  const { history, users } = await cluster.storage.opened();
  for (const client of clients) {
    faults.push(...client.faults);
    const refused = [...client.answers.values()].filter((answer) => answer.type === "error").map(({ code }) => code);
    if (refused.length > 0) faults.push(`${client.userId}: refused: ${refused}`);
    const record = await users.get(client.userId);
    const lastOfRoom = client.accepted("subscribe", "unsubscribe").at(-1);
    if ((record?.subscriptions[ROOM] !== undefined) !== (lastOfRoom?.type === "subscribe")) {
      faults.push(`${client.userId}: the room`);
    }
    const target = client.accepted("target").at(-1);
    const stored = record?.sessions.flatMap(({ targets }) => targets.map(({ token }) => token)) ?? [];
    if (stored.join() !== (target?.token ?? "")) faults.push(`${client.userId}: the target ${stored} is not ${target?.token}`);
    const published = client.accepted("publish").map(({ id }) => id);
    const log = await history!.read(`${client.userId}/default`, 0, 1_000);
    const entries = log.entries.map(({ bytes }) => envelopeHead(bytes).id);
    if (entries.join() !== published.join()) faults.push(`${client.userId}: published ${published}, in the log ${entries}`);
  }
  await cluster.close();
  return faults;
}
