import { expect, test } from "vitest";
import { deviceName, type EngineEvents, type PublishResult, type PushProvider, type PushResult } from "../../mod.ts";
import { createLives, type Lives, PLACES } from "./lives.ts";

const SECRET = "canary";

/** What a provider may do with a token, most of it with the token in hand. */
const CONDUCT: Readonly<Record<string, (token: string, attempt: number) => PushResult | Promise<PushResult>>> = {
  sent: (token) => ({ verdict: "sent", info: "201", handle: `https://push.example.org/${token}` }),
  replaced: (token) => ({ verdict: "replaced", token: `${token} again`, handle: `handle of ${token}` }),
  gone: () => ({ verdict: "gone", reason: "HTTP 410" }),
  rejected: () => ({ verdict: "rejected", reason: "HTTP 413" }),
  refused: () => ({ verdict: "rejected", reason: "HTTP 404", scope: "service" }),
  foreign: () => ({ verdict: "rejected", reason: "HTTP 403", scope: "unclear" }),
  busy: (_, attempt) => attempt === 1 ? { verdict: "retry", reason: "HTTP 429", afterMs: 5_000 } : { verdict: "sent" },
  doubtful: () => ({ verdict: "retry", reason: "HTTP 401", scope: "unclear" }),
  down: (_, attempt) => attempt < 5 ? { verdict: "retry", reason: "HTTP 503", scope: "service" } : { verdict: "sent" },
  hangs: (_, attempt) => attempt === 1 ? new Promise(() => {}) : { verdict: "sent" },
  throws: (token, attempt) => {
    if (attempt > 3) return { verdict: "sent" };
    throw new Error(`could not reach ${token}`);
  },
  rejects: (token, attempt) => attempt > 3 ? { verdict: "sent" } : Promise.reject(new Error(token)),
  nonsense: (token, attempt) => attempt > 3 ? { verdict: "sent" } : { verdict: token } as unknown as PushResult,
};
const NAMES = Object.keys(CONDUCT);

/** Everything that an engine says, as one text. */
function listenTo(): {
  hear(lives: Lives): void;
  logger: Record<"info" | "warn" | "error", (...what: unknown[]) => void>;
  said: unknown[];
} {
  const said: unknown[] = [];
  const log = (...what: unknown[]): void => void said.push(what);
  const names: (keyof EngineEvents)[] = ["note", "receipt", "session", "push-service"];
  return {
    said,
    logger: { info: log, warn: log, error: log },
    hear({ engine }) {
      for (const name of names) engine.on(name, (event) => said.push([name, event]));
    },
  };
}

/** As JSON, with what errors hold, which JSON leaves out. */
function textOf(said: unknown): string {
  return JSON.stringify(
    said,
    (_, value: unknown) =>
      value instanceof Error ? { ...value, message: value.message, stack: value.stack, cause: value.cause } : value,
  );
}

test.each(PLACES)("whatever a provider does, no token, handle or deviceId is told to anybody, on %s", async (place) => {
  const { hear, logger, said } = listenTo();
  const lives = await createLives({ logger, policy: { coalesceMs: 0 } }, place);
  hear(lives);
  const attempts = new Map<string, number>();
  const conduct: Partial<PushProvider> = {
    lane({ token }) {
      const [, name] = token.split(" ");
      if (name === "nonsense") throw new Error(token);
      return name!;
    },
    targetFault: ({ token }) => token.includes("refused at once") ? "no target" : undefined,
  };
  Object.assign(lives.provider, conduct);
  lives.provider.verdict = (token) => {
    const [, name] = token.split(" ");
    const attempt = (attempts.get(name!) ?? 0) + 1;
    attempts.set(name!, attempt);
    return CONDUCT[name!]!(token, attempt);
  };
  for (const name of NAMES) {
    const phone = await lives.device(name, { deviceId: `${SECRET}-device ${name}`, token: `${SECRET}-token ${name}` });
    for (const details of [null, { locale: "nonsense!" }]) {
      const token = `${SECRET}-token ${name} refused at once`;
      said.push(await phone.request({ type: "target", ref: 0, provider: "fake", token, details }));
      said.push(await phone.request({ type: "target", ref: 0, provider: "nobody", token, details: null }));
    }
    phone.leave();
  }
  await lives.clock.settle();
  const results: PublishResult[] = [];
  const look = async (): Promise<void> => {
    for (const result of results) said.push(await lives.engine.explain(result));
    for (const name of NAMES) said.push(await lives.engine.sessions(name));
    said.push(lives.engine.counters(), lives.engine.restingPushServices());
  };
  for (const round of ["one", "two"]) {
    for (const name of NAMES) results.push(await lives.engine.publish({ to: name, content: "hi", id: `${name} ${round}` }));
    await lives.clock.settle();
    await look();
    await lives.clock.advance(100_000);
    await look();
  }
  await lives.restart();
  hear(lives);
  await look();
  await lives.clock.advance(600_000);
  await look();
  // Each has had its turn, and was told of.
  expect([...attempts.keys()].sort()).toEqual([...NAMES].sort());
  const text = textOf(said);
  for (
    const kind of ["push-sent", "target-replaced", "push-gone", "push-rejected", "target-rested", "push-retry", "push-service"]
  ) {
    expect(text).toContain(`"${kind}"`);
  }
  expect(text).toContain(deviceName(`${SECRET}-device sent`));
  expect(text).not.toContain(SECRET);
});
