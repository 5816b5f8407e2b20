import type { Clock, Timer } from "./ports/clock.ts";
import type { Logger } from "./ports/logger.ts";

/** For so long after something was said it is counted when it is said again. */
const WINDOW_MS = 1_000;

type Level = keyof Logger;
type Fields = Readonly<Record<string, unknown>>;

/** What has been said just now. */
interface Said {
  readonly level: Level;
  readonly message: string;
  /** As it was said the last time. */
  fields: Fields | undefined;
  repeated: number;
  readonly timer: Timer;
}

/**
 * A logger that says the same thing once. When the storage is away, each of a hundred thousand sessions has the same complaint:
 * the first one is passed on at once, those that follow within a second are told of in one line, with `repeated`. The same is
 * what has the same level, words and fields, errors with the same message included.
 *
 * A logger that throws or rejects stops nothing: what it was to say goes to the other one, with its fault.
 */
export class CalmLogger implements Logger {
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #instead: Logger;
  readonly #said = new Map<string, Said>();

  /** @param instead what is told when the logger fails */
  constructor(logger: Logger, clock: Clock, instead: Logger) {
    this.#logger = logger;
    this.#clock = clock;
    this.#instead = instead;
  }

  info(message: string, fields?: Fields): void {
    this.#say("info", message, fields);
  }

  warn(message: string, fields?: Fields): void {
    this.#say("warn", message, fields);
  }

  error(message: string, fields?: Fields): void {
    this.#say("error", message, fields);
  }

  #say(level: Level, message: string, fields: Fields | undefined): void {
    const key = keyOf(level, message, fields);
    const said = this.#said.get(key);
    if (said !== undefined) {
      said.repeated++;
      said.fields = fields;
      return;
    }
    const timer = this.#clock.setTimeout(() => this.#end(key), WINDOW_MS);
    this.#said.set(key, { level, message, fields, repeated: 0, timer });
    void this.#pass(level, message, fields);
  }

  async #pass(level: Level, message: string, fields: Fields | undefined): Promise<void> {
    try {
      await (this.#logger[level](message, ...(fields === undefined ? [] : [fields])) as unknown);
    } catch (error) {
      this.#instead.error(`the logger failed at: ${message}`, { ...fields, fault: error });
    }
  }

  #end(key: string): void {
    const { level, message, fields, repeated } = this.#said.get(key)!;
    this.#said.delete(key);
    if (repeated > 0) void this.#pass(level, message, { ...fields, repeated });
  }

  /** Tells what was counted. */
  close(): void {
    for (const [key, { timer }] of this.#said) {
      this.#clock.clearTimeout(timer);
      this.#end(key);
    }
  }
}

function keyOf(level: Level, message: string, fields: Fields = {}): string {
  return [level, message, ...Object.entries(fields).map(([name, value]) => `${name} ${textOf(value)}`)].join("\n");
}

function textOf(value: unknown): string {
  if (value instanceof Error) return value.message;
  return typeof value === "object" ? "" : String(value);
}
