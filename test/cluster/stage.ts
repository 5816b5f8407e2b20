import { createManualClock, type ManualClock } from "../../adapters/conformance/manual_clock.ts";
import { createEngine, type Engine, type EngineOptions, type Note, type PushNotification } from "../../mod.ts";
import { Device, type DeviceOptions, FakeProvider, seededRandom } from "../engine/stage.ts";
import { Gate } from "./gate.ts";
import { type Access, SharedMemory } from "./shared_memory.ts";

/** A push, as the provider was asked for it. */
export interface Push {
  readonly token: string;
  readonly notification: PushNotification;
  readonly node: Node;
  /** How many nodes the provider was told of. */
  readonly nodes: number | undefined;
  /** Monotonic milliseconds. */
  readonly at: number;
  /** The node can't write its outcome down. */
  readonly isAmbiguous: boolean;
}

/** Several engines over one memory, on a clock that the test holds, with faults by hand. */
export class Cluster {
  readonly clock: ManualClock = createManualClock();
  readonly storage: SharedMemory = new SharedMemory(this.clock);
  readonly nodes: Node[] = [];
  readonly pushes: Push[] = [];
  readonly notes: Note[] = [];
  /** What any node logged as a warning or an error. */
  readonly logged: string[] = [];
  readonly #options: Partial<EngineOptions>;
  #seed: number;

  constructor(options: Partial<EngineOptions> = {}, seed = 1) {
    this.#options = options;
    this.#seed = seed * 1_000;
  }

  async start(count: number): Promise<Node[]> {
    const nodes: Node[] = [];
    while (nodes.length < count) nodes.push(await this.node());
    return nodes;
  }

  async node(): Promise<Node> {
    const access: Access = { gate: new Gate(this.clock), isCut: false, isAway: false, lagMs: 0 };
    const provider = new FakeProvider();
    const log = (message: string, fields?: object): void => {
      const { error } = { error: undefined, ...fields } as { error: unknown };
      this.logged.push(`${message}${error === undefined ? "" : `: ${error}`}`);
    };
    const opening = createEngine({
      ...{ insecure: true, random: seededRandom(this.#seed++), logger: { info() {}, warn: log, error: log } },
      ...this.#options,
      push: [{
        name: provider.name,
        send: (target, notification, { nodes }) => {
          const isAmbiguous = access.isAway || this.storage.isAway;
          this.pushes.push({ token: target.token, notification, node, nodes, at: this.clock.elapsed(), isAmbiguous });
          return access.gate.answer(provider.send(target, notification));
        },
      }],
      storage: this.storage.for(access),
      clock: access.gate.clock,
    });
    const engine = await opening;
    const node: Node = new Node(this, engine, access, provider);
    engine.on("note", (note) => this.notes.push(note));
    this.nodes.push(node);
    return node;
  }

  /** The storage is away from everybody, or back. */
  async setStorageAway(away: boolean): Promise<void> {
    await this.storage.setAway(away);
    if (!away) { for (const { access } of this.nodes) if (!access.isAway) this.storage.heal(access); }
    await this.clock.settle();
  }

  get tokens(): string[] {
    return this.pushes.map(({ token }) => token);
  }

  /** Lets virtual time pass until something is so. */
  async until(what: () => boolean, mostMs = 60_000): Promise<void> {
    for (let ms = 0; !what(); ms += 50) {
      if (ms > mostMs) throw new Error(`not within ${mostMs} ms`);
      await this.clock.advance(50);
    }
  }

  /** What a call gives, however much virtual time it takes. */
  async finish<T>(work: Promise<T>, mostMs = 60_000): Promise<T> {
    let settled = false;
    const settle = (): void => void (settled = true);
    work.then(settle, settle);
    await this.clock.settle();
    await this.until(() => settled, mostMs);
    return await work;
  }

  async close(): Promise<void> {
    for (const node of this.nodes) if (!node.access.gate.isKilled) await this.finish(node.engine.close());
    await this.storage.close();
    await this.clock.settle();
  }
}

/** One engine. */
export class Node {
  readonly cluster: Cluster;
  readonly engine: Engine;
  readonly access: Access;
  readonly provider: FakeProvider;
  readonly #sockets = new Set<() => void>();

  constructor(cluster: Cluster, engine: Engine, access: Access, provider: FakeProvider) {
    this.cluster = cluster;
    this.engine = engine;
    this.access = access;
    this.provider = provider;
  }

  /** Opens a connection, says hello, and waits for the answer (at most for as long as a silent holder is asked). */
  async device(userId: string, { deviceId = `${userId}'s device`, token, ...rest }: DeviceOptions = {}): Promise<ClusterDevice> {
    const device = this.connect(userId, { deviceId, ...rest });
    await this.cluster.until(() => device.of("welcome").length > 0 || device.closedWith !== undefined);
    if (token !== undefined) await device.request({ type: "target", ref: 0, provider: "fake", token, details: null });
    return device;
  }

  /** Opens a connection and says hello. */
  connect(userId: string, { deviceId = `${userId}'s device`, ...rest }: Omit<DeviceOptions, "token"> = {}): ClusterDevice {
    return new ClusterDevice(this, userId, deviceId, rest);
  }

  /** The engine's face to gateways, as the machine it runs on lets it through. */
  accept(
    ...[connection, request]: Parameters<Engine["accept"]>
  ): ReturnType<Engine["accept"]> & { whenGone(tell: () => void): void } {
    const { gate } = this.access;
    let events: ReturnType<Engine["accept"]> | undefined;
    const tells: (() => void)[] = [];
    const gone = (): void => tells.forEach((tell) => tell());
    this.#sockets.add(gone);
    gate.run("input", () => events = this.engine.accept(connection, request));
    return {
      whenGone: (tell) => void tells.push(tell),
      message: (bytes) => void gate.run("input", () => events?.message(bytes)),
      drained: () => void gate.run("input", () => events?.drained()),
      closed: (code) => {
        this.#sockets.delete(gone);
        gate.run("input", () => events?.closed(code));
      },
    };
  }

  pause(): void {
    this.access.gate.pause();
  }

  async resume(first?: "timer" | "input"): Promise<void> {
    await this.access.gate.resume(first);
    await this.cluster.clock.settle();
  }

  /** Its sockets end with it. */
  kill(): void {
    this.access.gate.kill();
    for (const gone of this.#sockets) gone();
    this.#sockets.clear();
  }

  /** From the other nodes, not from the storage. */
  cut(): void {
    this.access.isCut = true;
  }

  /** From everything. */
  isolate(): void {
    this.access.isCut = this.access.isAway = true;
  }

  async heal(): Promise<void> {
    this.access.isCut = false;
    if (this.access.isAway) this.cluster.storage.heal(this.access);
    await this.cluster.clock.settle();
  }
}

/** A device that also notices when its node dies. */
export class ClusterDevice extends Device {
  readonly userId: string;
  /** The connection is over, whoever ended it. */
  hasEnded = false;

  constructor(node: Node, userId: string, deviceId: string, options: DeviceOptions) {
    let hasEnded = (): boolean => false;
    let end = (): void => {};
    const accept: Engine["accept"] = (connection, request) => {
      const events = node.accept({
        send: (bytes) => hasEnded() || connection.send(bytes),
        get bufferedAmount() {
          return connection.bufferedAmount;
        },
        close: (code, reason) => {
          connection.close(code, reason);
          end();
        },
      }, request);
      events.whenGone(() => end());
      const { closed, message } = events;
      events.message = (bytes) => void (hasEnded() || message(bytes));
      events.closed = (clean) => {
        end();
        closed(clean);
      };
      return events;
    };
    super({ ...node.engine, accept }, node.cluster.clock, userId, deviceId, options);
    this.userId = userId;
    end = () => void (this.hasEnded = true);
    hasEnded = () => this.hasEnded;
  }

  get isOpen(): boolean {
    return !this.hasEnded && this.closedWith === undefined;
  }
}
