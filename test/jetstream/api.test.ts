import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { createManualClock, type ManualClock } from "../../adapters/conformance/conformance.ts";
import { Api } from "../../adapters/jetstream/api.ts";
import type { JetStreamMessage } from "../../adapters/jetstream/jetstream.ts";
import { StateStream } from "../../adapters/jetstream/state_stream.ts";
import { readAtLeader } from "../../adapters/jetstream/stored_message.ts";
import { openLog } from "../../adapters/jetstream/streams.ts";
import { type NatsServer, startServer } from "../nats/servers.ts";
import { connect, createContext, createRunningClock, freshName, type TestConnection, until } from "./state_stage.ts";

// The server has no JetStream: what is asked of it, the test answers.
let server: NatsServer;
let asking: TestConnection;
let answering: TestConnection;
let verb: string;
let verbs = 0;
beforeAll(async () => {
  server = await startServer();
  [asking, answering] = [await connect(server.url), await connect(server.url)];
});
afterAll(async () => {
  await asking.close();
  await answering.close();
  await server.close();
});
beforeEach(() => void (verb = `TEST.${++verbs}`));

/** Hears questions, and answers those that come with what `answers` says next; what it does not say waits in `held`. */
async function listen(
  what: string,
  answers: readonly unknown[] = [],
): Promise<{ held: ((answer: unknown) => void)[]; count: number }> {
  const heard = { held: [] as ((answer: unknown) => void)[], count: 0 };
  answering.subscribe(`$JS.API.${what}`, {
    callback: (_, { reply }: JetStreamMessage) => {
      const answer = (value: unknown): void => {
        const text = typeof value === "string" ? value : JSON.stringify(value);
        answering.publish(reply!, new TextEncoder().encode(text));
      };
      if (heard.count < answers.length) answer(answers[heard.count]);
      else heard.held.push(answer);
      heard.count++;
    },
  });
  await answering.flush();
  return heard;
}

/** That no server can be found for a stream, with the reasons that NATS gives beside. */
function placeless(why: string): unknown {
  return { error: { code: 400, err_code: 10005, description: `no suitable peers for placement${why}` } };
}

const busy = { error: { code: 503, err_code: 10008, description: "no leader" } };

test("is asked again while there is no leader, and while nobody can read the answer", async () => {
  const api = new Api(asking, createContext(createRunningClock()));
  const leaderless = { cluster: { raft_group: "g" }, state: "old" };
  const led = { cluster: { raft_group: "g", leader: "a" }, state: "new" };
  const heard = await listen(verb, [busy, leaderless, "nonsense", "", led]);
  expect(await api.ask(verb, {})).toEqual(led);
  expect(heard.count).toBe(5);
  await api.close();
});

test("is asked again while servers that it takes are offline, or were not heard of yet", async () => {
  const api = new Api(asking, createContext(createRunningClock()));
  const answers = [
    placeless(", peer offline"),
    placeless(", miscellaneous issue"),
    placeless(", peer offline, insufficient storage"),
  ];
  const heard = await listen(verb, [...answers, { ok: 1 }]);
  expect(await api.ask(verb, {})).toEqual({ ok: 1 });
  expect(heard.count).toBe(4);
  await api.close();
});

test("is asked again while nobody listens, until the patience is at its end", async () => {
  const api = new Api(asking, createContext(createRunningClock()));
  await expect(api.ask(verb, {}, 50)).rejects.toMatchObject({ code: "unavailable", retryable: true });
  const asked = api.ask(verb, {});
  await asking.flush();
  const heard = await listen(verb, [{ ok: 1 }]);
  expect(await asked).toEqual({ ok: 1 });
  expect(heard.count).toBe(1);
  await api.close();
});

test("is not asked again what is refused, nor what can't be had", async () => {
  const api = new Api(asking, createContext());
  const refusal = { error: { code: 404, err_code: 10059, description: "stream not found" } };
  const disabled = { error: { code: 503, err_code: 10039, description: "not enabled for account" } };
  const refusals = [refusal, disabled, placeless(""), placeless(", insufficient storage, tags not matched ['ssd']")];
  const heard = await listen(verb, refusals);
  for (const said of refusals) expect(await api.ask(verb, {})).toEqual(said);
  expect(heard.count).toBe(refusals.length);
  await api.close();
});

/** An API whose servers have the time that the test gives them. */
function openApi(): { api: Api; clock: ManualClock } {
  const clock = createManualClock();
  return { api: new Api(asking, createContext(clock)), clock };
}

for (const stream of ["LOG_0", "STATE"]) {
  test(`a stream, ${stream}, for which servers stay offline is \`unavailable\` when the patience is at its end`, async () => {
    const { api, clock } = openApi();
    const name = freshName();
    await listen(`STREAM.INFO.${name}_LOG_0`, [{ error: { code: 404, err_code: 10059, description: "stream not found" } }]);
    const heard = await listen(`STREAM.CREATE.${name}_${stream}`, Array(100).fill(placeless(", peer offline")));
    const options = { name, partitions: 1, replicas: 3, maxBytes: -1, idempotencyMs: 1_000, durability: "majority" } as const;
    const { random } = createContext();
    const opening = stream === "STATE" ? new StateStream(api, name, { clock, random }).open(3) : openLog(api, random, options, 0);
    let said: unknown;
    opening.then(() => said = "it opened", (error) => said = error);
    for (; said === undefined; await clock.advance(500)) {
      // One is the inbox's, the other one stands for a pause.
      await until(() => said !== undefined || clock.timers === 2, "it pauses, or gives up");
    }
    expect(said).toMatchObject({
      ...{ name: "PeykError", code: "unavailable", retryable: true },
      message: expect.stringMatching(`${name}_${stream}: no suitable peers for placement, peer offline`),
      hint: expect.stringMatching(/replicas.*online/),
    });
    expect(heard.count).toBeGreaterThan(10);
    expect(clock.elapsed()).toBeGreaterThan(9_000);
    await api.close();
  });
}

test("a message is read with its content, without any, or not at all", async () => {
  const { api } = openApi();
  const name = freshName();
  const none = { error: { code: 404, err_code: 10037, description: "no message found" } };
  const gone = { error: { code: 404, err_code: 10059, description: "stream not found" } };
  const heard = await listen(`STREAM.MSG.GET.${name}`, [
    { message: { seq: 7, data: "8J+MsQ==" } },
    { message: { seq: 8 } },
    none,
    gone,
  ]);
  const read = () => readAtLeader(api, name, { last_by_subj: "a" });
  const messages = [await read(), await read(), await read()];
  expect(messages.map((message) => message && [message.seq, new TextDecoder().decode(message.bytes)]))
    .toEqual([[7, "🌱"], [8, ""], undefined]);
  await expect(read()).rejects.toMatchObject({
    code: "unavailable",
    message: expect.stringMatching(`${name}: stream not found`),
  });
  expect(heard.count).toBe(4);
  await api.close();
});

test("an answer that comes too late is nobody's, and the next one is waited for", async () => {
  const { api, clock } = openApi();
  const heard = await listen(`${verb}.*`);
  const one = api.ask(`${verb}.one`, {});
  await until(() => heard.held.length === 1, "the first question");
  await clock.advance(2_000);
  const other = api.ask(`${verb}.other`, {});
  await until(() => heard.held.length === 2, "another one");
  await clock.advance(10);
  await until(() => heard.held.length === 3, "the first one once more");
  const [late, second, first] = heard.held;
  late!({ late: true });
  second!({ other: true });
  first!({ one: true });
  expect(await Promise.all([one, other])).toEqual([{ one: true }, { other: true }]);
  expect(clock.timers).toBe(1);
  await api.close();
  expect(clock.timers).toBe(0);
});

test("each part of an answer has its own time, and without the last one there is no answer", async () => {
  const { api, clock } = openApi();
  const heard = await listen(verb);
  const parts: unknown[] = [];
  for (const missing of [true, false]) {
    const items: string[] = [];
    const gathered = api.inbox.ask(`$JS.API.${verb}`, new Uint8Array(), ({ data }) => {
      const part = new TextDecoder().decode(data);
      parts.push(part);
      return items.push(part) === 3 ? items : "more";
    });
    await until(() => heard.held.length === 1, "the question");
    const say = heard.held.pop()!;
    for (const part of ["a", "b"]) {
      const before = parts.length;
      say(part);
      await until(() => parts.length > before, "a part");
      await clock.advance(1_900);
    }
    expect(heard.held.length).toBe(0);
    if (missing) await clock.advance(110);
    else for (const part of ["c", "d"]) say(part);
    expect(await gathered).toEqual(missing ? undefined : ["a", "b", "c"]);
  }
  expect(heard.count).toBe(2);
  await answering.flush();
  await asking.flush();
  expect(parts.at(-1)).toBe("c");
  await api.close();
});

test("no more than 256 questions are under way at a time", async () => {
  const { api } = openApi();
  const heard = await listen(verb);
  const asked = Array.from({ length: 300 }, () => api.ask(verb, {}));
  await until(() => heard.held.length === 256, "those that are let in");
  await asking.flush();
  await answering.flush();
  expect(heard.held.length).toBe(256);
  heard.held[7]!({ seven: true });
  await until(() => heard.held.length === 257, "one more");
  asked.push(api.ask(verb, {}));
  await asking.flush();
  await answering.flush();
  expect(heard.held.length).toBe(257);
  heard.held.splice(7, 1);
  for (const answer of heard.held.splice(0)) answer({});
  await until(() => heard.held.length === 44, "the rest");
  for (const answer of heard.held) answer({});
  expect((await Promise.all(asked)).filter((answer) => "seven" in answer).length).toBe(1);
  await api.close();
});

test("closing gives what is under way its answer, and refuses what is to be asked again or anew", async () => {
  const { api, clock } = openApi();
  const heard = await listen(`${verb}.one`);
  const refused = await listen(`${verb}.again`, [busy]);
  const answered = api.ask(`${verb}.one`, {});
  const again = expect(api.ask(`${verb}.again`, {})).rejects.toMatchObject({ code: "closed" });
  await until(() => heard.held.length === 1 && clock.timers === 2, "one is under way, one pauses");
  let closed = false;
  const closing = api.close().then(() => closed = true);
  await again;
  await expect(api.ask(`${verb}.again`, {})).rejects.toMatchObject({ code: "closed" });
  expect(await api.patience().again()).toBe(false);
  expect([closed, refused.count]).toEqual([false, 1]);
  heard.held[0]!({ ok: 1 });
  expect(await answered).toEqual({ ok: 1 });
  await closing;
  expect(clock.timers).toBe(0);
});

test("closing waits for no answer longer than it may take", async () => {
  const { api, clock } = openApi();
  const heard = await listen(verb);
  const asked = expect(api.ask(verb, {})).rejects.toMatchObject({ code: "closed" });
  await until(() => heard.held.length === 1, "it is under way");
  const closing = api.close();
  await clock.advance(2_000);
  await Promise.all([asked, closing]);
});

test("a stream for which no server has room is `storage-full`, one that no server takes for other reasons too is not", async () => {
  const { api, clock } = openApi();
  for (const [why, code] of [["insufficient storage", "storage-full"], ["insufficient storage, peer excluded", "bad-config"]]) {
    const name = freshName();
    await listen(`STREAM.CREATE.${name}_STATE`, [placeless(`, ${why}`)]);
    const { random } = createContext();
    await expect(new StateStream(api, name, { clock, random }).open(3)).rejects.toMatchObject({ code });
  }
  await api.close();
});
