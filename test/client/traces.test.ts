import { describe, expect, onTestFinished, test } from "vitest";
import { PeykError } from "../../src/protocol/errors.ts";
import type { ClientFrame } from "../../src/protocol/frames.ts";
import { type AppStep, type ClientState, play, type Subject, traces } from "../protocol/traces.ts";
import { quiet, World } from "./fake_server.ts";

/** peyk/client, on time and sockets that the test holds. */
class PeykSubject implements Subject {
  readonly #world = new World();
  readonly #client = this.#world.connect({ token: "t" });
  readonly #state: ClientState = { handled: [], gaps: [], answers: {}, cursors: [], ended: false };
  readonly #running: (() => void)[] = [];
  #holds = false;
  #connections = 0;

  constructor() {
    this.#client.onMessage(({ content }) => {
      this.#state.handled.push(content!);
      if (this.#holds) return new Promise((resolve) => this.#running.push(resolve));
    });
    this.#client.onGap(({ topic, position }) => void this.#state.gaps.push({ topic, ...position }));
    this.#client.onError(() => {});
    this.#client.onStatus(({ state }) => void (this.#state.ended = state === "closed"));
  }

  async connection(): Promise<void> {
    await quiet();
    for (let tries = 0; this.#world.sockets.length === this.#connections; tries++) {
      expect(tries).toBeLessThan(100);
      await this.#world.time.pass(100);
    }
    this.#connections++;
    await this.#world.socket.open();
  }
  async say(bytes: Uint8Array): Promise<void> {
    this.#world.socket.raw(bytes);
    await this.#world.time.pass(0);
  }
  async heard(): Promise<ClientFrame[]> {
    await quiet();
    const { socket } = this.#world;
    const heard = socket.received;
    socket.received = [];
    return heard;
  }
  async closes(): Promise<number> {
    await quiet();
    return this.#world.sockets[this.#connections - 1]!.closedWith!;
  }
  async end(code: number | undefined): Promise<void> {
    await this.#world.socket.end(code ?? 1006);
  }
  async app(step: AppStep): Promise<void> {
    if (step === "finishes") this.#running.shift()!();
    else if (step === "hides") this.#client.setActivity({ visible: false });
    else if (step === "logs out") this.#note("logout", this.#client.logout());
    else if ("holds" in step) this.#holds = step.holds;
    else if ("publish" in step) this.#note(step.publish.id, this.#client.publish(step.publish));
    else this.#note(step.subscribe.channel, this.#client.subscribe(step.subscribe));
    await quiet();
  }
  async state(): Promise<ClientState> {
    await this.#world.time.pass(300);
    const [row] = [...this.#world.storage.rows.values()].flatMap((text) => text.startsWith("[") ? [JSON.parse(text)] : []);
    const cursors = (row?.[4] ?? []) as [string, number, number][];
    return { ...this.#state, cursors: cursors.map(([topic, epoch, offset]) => ({ topic, epoch, offset })) };
  }
  async close(): Promise<void> {
    await this.#client.close();
  }
  #note(name: string, outcome: Promise<unknown>): void {
    outcome.then(() => "ok", (error: unknown) => error instanceof PeykError ? error.code : String(error))
      .then((answer) => this.#state.answers[name] = answer);
  }
}

describe("peyk/client does what the traces say", () => {
  for (const trace of traces) {
    test(trace.name, async () => {
      const client = new PeykSubject();
      onTestFinished(() => client.close());
      await play(trace, client);
    });
  }
});
