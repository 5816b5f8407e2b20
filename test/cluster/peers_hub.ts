import type { ManualClock } from "../../adapters/conformance/manual_clock.ts";
import type { Peers } from "../../src/ports/peers.ts";
import type { Gate } from "./gate.ts";

type Heard = Parameters<Peers["listen"]>[1];

interface Listener {
  readonly member: Member;
  readonly address: string;
  readonly heard: Heard;
}

/** One node at the hub. */
export interface Member {
  readonly gate: Gate;
  /** It hears nobody, and nobody hears it; it hears itself. */
  isCut: boolean;
}

/** Nodes of one process that talk to each other: what is told arrives in a later turn. */
export class PeersHub {
  readonly #clock: ManualClock;
  readonly #listeners = new Set<Listener>();
  /** What was told so far, by address. */
  readonly told: string[] = [];

  constructor(clock: ManualClock) {
    this.#clock = clock;
  }

  for(member: Member): Peers {
    const { gate } = member;
    const reach = (address: string, bytes: Uint8Array, answered?: (answer: Uint8Array) => void): void => {
      this.told.push(address);
      for (const listener of [...this.#listeners]) {
        if (listener.address !== address) continue;
        const { member: other, heard } = listener;
        const copy = bytes.slice();
        const isCut = (): boolean => other !== member && (other.isCut || member.isCut);
        if (isCut()) continue;
        this.#clock.defer(() =>
          other.gate.run("input", () => {
            if (!this.#listeners.has(listener)) return;
            this.#hear(heard, copy).then((answer) => {
              if (answer === undefined || isCut() || other.gate.isKilled) return;
              this.#clock.defer(() => void gate.run("input", () => answered?.(answer)));
            });
          })
        );
      }
    };
    return {
      tell: (address, bytes) => reach(address, bytes),
      ask: (address, bytes, { ms, enough }) =>
        new Promise((resolve) => {
          const answers: Uint8Array[] = [];
          if (enough(answers)) return resolve(answers);
          const timer = gate.clock.setTimeout(() => resolve(answers), ms);
          reach(address, bytes, (answer) => {
            answers.push(answer);
            if (!enough(answers)) return;
            gate.clock.clearTimeout(timer);
            resolve(answers);
          });
        }),
      listen: (address, heard) => {
        const listener: Listener = { member, address, heard };
        this.#listeners.add(listener);
        gate.onKill(() => this.#listeners.delete(listener));
        return Promise.resolve({ close: () => void this.#listeners.delete(listener) });
      },
    };
  }

  async #hear(heard: Heard, bytes: Uint8Array): Promise<Uint8Array | undefined> {
    try {
      return await heard(bytes);
    } catch {
      return undefined;
    }
  }
}
