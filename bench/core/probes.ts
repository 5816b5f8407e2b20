import type { Engine, Storage } from "../../mod.ts";
import { Device, phoneOf } from "./device.ts";
import { fill } from "./people.ts";
import type { PushService } from "./push_service.ts";
import { atMoments, notAfter } from "./time.ts";

/** What is tried of people who do nothing but use their devices. */
export const PROBES = ["sign-in", "delivery", "push", "push in background"] as const;
export type Probe = (typeof PROBES)[number];

export interface Tried {
  /** Milliseconds from the moment that was meant, which a stalled loop can't hide. */
  took: number[];
  /** How many of these had no end while anybody waited. */
  endless: number;
}

/** Between two probes of different kinds. */
const EVERY_MS = 10;
/** In front. Whoever signs in is another one each time. */
const READER = "neighbour in front";
/** So many are pushed to in turn: to one target pushes leave one after the other, and what a slow disk makes of that is not meant. */
const PUSHED = 20;
const AWAY = Array.from({ length: PUSHED }, (_, index) => `neighbour ${index} away`);
const BACKGROUND = Array.from({ length: PUSHED }, (_, index) => `neighbour ${index} in background`);

/** The neighbours of somebody who misbehaves: people with a phone each, and guests who sign in and leave. */
export class Neighbours {
  readonly #engine: Engine;
  readonly #push: PushService;
  readonly #arrivals = new Map<string, (at: number) => void>();
  #guests = 0;
  #pushes = 0;

  /** Before the engine starts. */
  static async settle(storage: Storage): Promise<void> {
    const people = [READER, ...AWAY, ...BACKGROUND];
    await fill(storage, people.length, (index) => ({ userId: people[index]!, reachable: index === 0 ? 0 : 1 }));
  }

  static async come(engine: Engine, push: PushService): Promise<Neighbours> {
    const neighbours = new Neighbours(engine, push);
    const got = (id: string): void => {
      neighbours.#arrivals.get(id)?.(performance.now());
      neighbours.#arrivals.delete(id);
    };
    await Device.signIn(engine, { userId: READER, got });
    for (const userId of BACKGROUND) await Device.signIn(engine, { userId, visible: false });
    return neighbours;
  }

  private constructor(engine: Engine, push: PushService) {
    this.#engine = engine;
    this.#push = push;
  }

  /** Tries all kinds in turn for so long. What has no end within `waitMs` behind that counts as if it ended then. */
  async try(ms: number, waitMs: number): Promise<Record<Probe, Tried>> {
    const tried = Object.fromEntries(PROBES.map((probe): [string, Tried] => [probe, { took: [], endless: 0 }]));
    const open: Promise<void>[] = [];
    const end = performance.now() + ms + waitMs;
    await atMoments(Math.floor(ms / EVERY_MS), EVERY_MS, (index, meantAt) => {
      const probe = PROBES[index % PROBES.length]!;
      const { [probe]: of } = tried;
      // Who is turned away has no end either.
      const done = this.#try(probe).catch(() => undefined);
      open.push(
        notAfter(end - performance.now(), done).then((at) => {
          if (at === undefined) of!.endless++;
          of!.took.push((at ?? end) - meantAt);
        }),
      );
    });
    await Promise.all(open);
    return tried as Record<Probe, Tried>;
  }

  /** @returns when it was done */
  async #try(probe: Probe): Promise<number> {
    switch (probe) {
      case "sign-in": {
        const userId = `guest ${this.#guests++}`;
        const device = await Device.signIn(this.#engine, { userId, deviceId: phoneOf(userId) });
        const at = performance.now();
        device.leave();
        return at;
      }
      case "delivery":
        return await this.#publish(READER, (id) => new Promise((resolve) => this.#arrivals.set(id, resolve)));
      case "push":
        return await this.#publish(AWAY[this.#pushes++ % PUSHED]!, (id) => this.#push.askedFor(id));
      case "push in background":
        return await this.#publish(BACKGROUND[this.#pushes++ % PUSHED]!, (id) => this.#push.askedFor(id));
    }
  }

  async #publish(to: string, done: (id: string) => Promise<number>): Promise<number> {
    const id = crypto.randomUUID();
    const arrival = done(id);
    // Of a normal urgency only a few a minute would leave.
    await this.#engine.publish({ to, content: "hi", id, urgency: "high" });
    return await arrival;
  }
}
