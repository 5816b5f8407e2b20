import { PeykError } from "../protocol/errors.ts";
import type { Time } from "./environment.ts";

/** What a token option gives: the token, or none where the server goes by a cookie. */
export type TokenSource = string | (() => string | Promise<string>);

/** The tab's own token. */
export interface Credentials {
  /**
   * The token to show now, null: there is none.
   * @throws what the app's function threw; {PeykError} `bad-message` when it gave no text
   */
  ask(): Promise<string | null>;
  /** What it was the last time; undefined: nobody has asked. */
  readonly latest: string | null | undefined;
  /** The engine refused it just now, or the app's function did not give one. */
  readonly failed: boolean;
  fail(): void;
}

/** A token that failed is worth another try after so long. */
const FORGIVEN_AFTER_MS = 30_000;

export function createCredentials(token: TokenSource | undefined, time: Time): Credentials {
  let failedAt = -Infinity;
  let latest: string | null | undefined;
  return {
    async ask() {
      const given: unknown = (typeof token === "function" ? await token() : token) ?? null;
      if (given !== null && !(typeof given === "string" && given.isWellFormed())) {
        throw new PeykError("bad-message", "no token", { hint: "The token is no text." });
      }
      return latest = given as string | null;
    },
    get latest() {
      return latest;
    },
    get failed() {
      return time.elapsed() - failedAt < FORGIVEN_AFTER_MS;
    },
    fail() {
      failedAt = time.elapsed();
    },
  };
}
