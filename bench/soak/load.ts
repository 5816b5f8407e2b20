import { visit } from "./guest.ts";
import { RATES } from "./plan.ts";
import type { Residents } from "./residents.ts";
import type { Stage } from "./stage.ts";

type Rate = keyof typeof RATES;

/** How often it is looked what is due. */
const TICK_MS = 20;

/** Does everything that people do, at a steady rate. */
export class Load {
  readonly #stage: Stage;
  readonly #acts: Readonly<Record<Rate, () => void | Promise<void>>>;
  readonly #done = new Map<Rate, number>();
  readonly #underWay = new Set<Promise<void>>();
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(stage: Stage, residents: Residents) {
    this.#stage = stage;
    /** Phones that guests left behind. */
    const phones: string[] = [];
    this.#acts = {
      guests: () => visit(stage, residents, phones),
      privateMessages: () => residents.privateMessage(),
      letters: () => residents.letter(),
      repeats: () => residents.repeat(),
      news: () => residents.news(),
      rooms: () => residents.room(),
      roomMessages: () => residents.roomMessage(),
      ephemeral: () => residents.ephemeral(),
      marks: () => residents.mark(),
      explained: () => residents.explain(),
      inputs: () => residents.input(),
      backgrounded: () => residents.toBackground(),
      lost: () => residents.lose(),
      silent: () => residents.fallSilent(),
      closed: () => residents.close(),
    };
  }

  begin(): void {
    const started = performance.now();
    this.#timer = setInterval(() => {
      const seconds = (performance.now() - started) / 1_000;
      for (const rate of Object.keys(RATES) as Rate[]) {
        let done = this.#done.get(rate) ?? 0;
        for (; done < RATES[rate] * seconds; done++) this.#act(this.#acts[rate]);
        this.#done.set(rate, done);
      }
    }, TICK_MS);
  }

  /** @returns once nothing of it is under way any more */
  async end(): Promise<void> {
    clearInterval(this.#timer);
    await Promise.all(this.#underWay);
  }

  #act(act: () => void | Promise<void>): void {
    const run: Promise<void> = (async () => await act())()
      .catch((error) => this.#stage.complain(String(error)))
      .finally(() => this.#underWay.delete(run));
    this.#underWay.add(run);
  }
}
