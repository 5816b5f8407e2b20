import type { Message, MessageRef, OutgoingMessage } from "../../mod.ts";
import { Device } from "./device.ts";
import { Owed } from "./owed.ts";
import { AWAY_MS, RESIDENTS, ROOM_MEMBERS, ROOM_MS } from "./plan.ts";
import { sleep } from "../core/time.ts";
import { between, oneOf, type Stage } from "./stage.ts";

const NEWS = "news";
const URGENCIES = ["normal", "normal", "high", "low", "very-low"] as const;
/** About as long as people write. */
const TEXT = "That can wait until tomorrow, can't it? ".repeat(5);

/** One of those who stay: a phone that can be pushed to, and a laptop that writes and marks. */
interface Resident {
  readonly userId: string;
  readonly phone: Device;
  readonly laptop: Device;
  readonly owed: readonly Owed[];
  /** The last message for them. */
  latest: Message | undefined;
}

/** Those who stay for the whole soak, and what they do. Each of their devices has to get each private message and all news. */
export class Residents {
  readonly #stage: Stage;
  readonly #all: Resident[] = [];
  /** The rooms that there are at the moment. */
  readonly #rooms = new Set<string>();
  /** The last private message. */
  #last: (OutgoingMessage & { id: string }) | undefined;
  /** What names the last one that was accepted. */
  #lastRef: MessageRef | undefined;

  static async moveIn(stage: Stage): Promise<Residents> {
    const residents = new Residents(stage);
    for (let index = 0; index < RESIDENTS; index++) await residents.#moveIn(index);
    return residents;
  }

  private constructor(stage: Stage) {
    this.#stage = stage;
  }

  get someone(): string {
    return oneOf(this.#all).userId;
  }

  /** By the server. */
  async privateMessage(): Promise<void> {
    const id = this.#stage.fresh("private");
    const urgency = oneOf(URGENCIES);
    const notification = { title: "For you", body: TEXT, ...Math.random() < 0.1 && { collapseKey: "news of you" } };
    const message = this.#last = { id, to: this.someone, urgency, content: TEXT, notification };
    this.#lastRef = await this.#stage.engine.publish(message);
    this.owe(id, message.to);
  }

  /** The server did not hear that it was accepted. */
  async repeat(): Promise<void> {
    if (this.#last !== undefined) await this.#stage.engine.publish(this.#last);
  }

  /** From one to another. */
  async letter(): Promise<void> {
    const message = { id: this.#stage.fresh("letter"), to: this.someone, content: TEXT, data: { read: false, n: 1 } };
    await oneOf(this.#all).laptop.client!.publish(message);
    this.owe(message.id, message.to);
  }

  async news(): Promise<void> {
    const id = this.#stage.fresh("news");
    await this.#stage.engine.publish({ to: "*", channel: NEWS, id, content: TEXT, urgency: "low" });
    for (const { owed } of this.#all) for (const one of owed) one.published(id);
  }

  /** Nobody comes back to a room that was left. */
  async room(): Promise<void> {
    const topic = { to: "*", channel: this.#stage.fresh("room") };
    const first = Math.floor(Math.random() * this.#all.length);
    const members = Array.from({ length: ROOM_MEMBERS }, (_, index) => this.#all[(first + index) % this.#all.length]!);
    await Promise.all(members.map(({ laptop }) => laptop.client!.subscribe(topic)));
    this.#rooms.add(topic.channel);
    await sleep(ROOM_MS);
    this.#rooms.delete(topic.channel);
    await Promise.all(members.map(({ laptop }) => laptop.client!.unsubscribe(topic)));
  }

  async roomMessage(): Promise<void> {
    await this.#toRoom({ id: this.#stage.fresh("room message"), content: TEXT, inApp: Math.random() < 0.2 });
  }

  async ephemeral(): Promise<void> {
    await this.#toRoom({ ephemeral: true, data: { typing: true } });
  }

  async mark(): Promise<void> {
    const { laptop, latest } = oneOf(this.#all);
    if (latest === undefined) return;
    if (Math.random() < 0.8) await laptop.client!.markRead(latest);
    else await laptop.client!.markDismissed(latest);
  }

  async explain(): Promise<void> {
    if (this.#lastRef !== undefined) await this.#stage.engine.explain(this.#lastRef);
  }

  input(): void {
    oneOf(this.#devices).client?.setActivity({ attended: true });
  }

  async toBackground(): Promise<void> {
    await oneOf(this.#all).phone.toBackground(between(AWAY_MS));
  }

  lose(): void {
    oneOf(this.#devices).lose();
  }

  async fallSilent(): Promise<void> {
    await oneOf(this.#devices).fallSilent();
  }

  async close(): Promise<void> {
    await oneOf(this.#all).phone.closeFor(between(AWAY_MS));
  }

  /** A private message was published to one of them. */
  owe(id: string, userId: string): void {
    for (const owed of this.#all.find((resident) => resident.userId === userId)!.owed) owed.published(id);
  }

  /** What their devices did not get, and what they got twice. */
  get faults(): string[] {
    return this.#all.flatMap(({ owed, userId }) =>
      owed.flatMap(({ missing, surplus }, index) => {
        const device = `${["phone", "laptop"][index]} of ${userId}`;
        return [
          ...missing.map((id) => `${id} did not come to the ${device}`),
          ...surplus.map((id) => `${id} came once too often to the ${device}`),
        ];
      })
    );
  }

  async moveOut(): Promise<void> {
    await Promise.all(this.#devices.map((device) => device.close()));
  }

  get #devices(): Device[] {
    return this.#all.flatMap(({ laptop, phone }) => [phone, laptop]);
  }

  async #moveIn(index: number): Promise<void> {
    const { complain, engine, fresh } = this.#stage;
    const userId = `resident ${index}`;
    await engine.subscribe(userId, NEWS);
    const owed = [new Owed(), new Owed()] as const;
    const device = (of: Owed): Device =>
      new Device({
        ...{ url: engine.url, userId, deviceId: fresh("device"), complain },
        came: (message) => {
          // Of rooms nothing is owed: whoever is away when one ends has missed it.
          if (message.to !== userId && message.channel !== NEWS) return;
          of.came(message.id);
          resident.latest = message;
        },
      });
    const resident: Resident = { userId, phone: device(owed[0]), laptop: device(owed[1]), owed, latest: undefined };
    this.#all.push(resident);
    // One in ten is pushed to by a service that is never well at first.
    await resident.phone.client!.registerPush({ provider: "webhook", token: `${index % 10 === 0 ? "retry" : "sent"} ${userId}` });
  }

  async #toRoom(message: Omit<OutgoingMessage, "to">): Promise<void> {
    const channel = oneOf([...this.#rooms]);
    if (channel !== undefined) await this.#stage.engine.publish({ to: "*", channel, ...message });
  }
}
