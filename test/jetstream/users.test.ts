import { expect, test } from "vitest";
import { asStored, newRow, session, user } from "../../adapters/conformance/records.ts";
import type { NamesPage, Page } from "../../src/ports/page.ts";
import {
  altered,
  answering,
  connect,
  countOf,
  countUp,
  createContext,
  deafened,
  freshName,
  lossy,
  openNode,
  openNodes,
  shareServer,
  until,
} from "./state_stage.ts";

const stage = shareServer();
const { connections } = stage;

const topic = "*/news";
const subscriptions = { [topic]: { epoch: 1, offset: 0 } };
const target = { id: "target", provider: "p", token: "x", registeredAt: 1 };

async function all(look: (page: Page) => Promise<NamesPage>, limit: number): Promise<string[]> {
  const names: string[] = [];
  let after: string | undefined;
  for (;;) {
    const page = await look({ after, limit });
    expect(page.names.length).toBeLessThanOrEqual(limit);
    names.push(...page.names);
    after = page.next;
    if (after === undefined) return names;
  }
}

test("no update is lost when eight run at once on two nodes", async () => {
  const nodes = await openNodes(2, connections);
  const counts = await Promise.all(Array.from({ length: 8 }, (_, index) => countUp(nodes[index % 2]!, "sara", 25)));
  expect(counts.reduce((sum, { stored }) => sum + stored, 0)).toBe(200);
  expect((await nodes[0]!.users.get("sara"))!.seenAt).toBe(200);
  for (const node of nodes) await node.close();
});

test.each(["both", "positions"] as const)(
  "no put (%s) lies about its outcome when every third request or answer is lost",
  async (part) => {
    const name = freshName();
    const [steady] = await openNodes(1, connections, { name });
    if (part === "positions") await steady!.users.put(user("sara"), "both");
    const lost = { request: () => Math.random() < 0.15, answer: () => Math.random() < 0.2 };
    const nodes = await openNodes(2, connections.map((connection) => lossy(connection, lost)), { name });
    const counts = await Promise.all(Array.from({ length: 8 }, (_, index) => countUp(nodes[index % 2]!, "sara", 10, part)));
    const stored = counts.reduce((sum, count) => sum + count.stored, 0);
    const record = (await steady!.users.get("sara"))!;
    const found = part === "both" ? record.seenAt : countOf(record);
    // A write that more than 16 others followed before its answer could be looked for stays unknown, and says so.
    expect(stored).toBeGreaterThan(70);
    expect(found).toBeGreaterThanOrEqual(stored);
    expect(found).toBeLessThanOrEqual(80);
    for (const node of [steady!, ...nodes]) await node.close();
  },
);

test("acks and sign-ins on two nodes refuse none of each other's puts", async () => {
  const [a, b] = await openNodes(2, connections);
  await a!.users.put(user("sara"), "both");
  const seen = async (): Promise<unknown[]> => {
    const refused = [];
    for (let index = 0; index < 50; index++) {
      const record = (await b!.users.get("sara"))!;
      const put = await b!.users.put({ ...record, seenAt: record.seenAt + 1, sessions: [session(`${index}`)] }, "devices");
      if (put === undefined) refused.push(index);
    }
    return refused;
  };
  const [refused, counts] = await Promise.all([seen(), countUp(a!, "sara", 50, "positions")]);
  expect({ refused, counts }).toEqual({ refused: [], counts: { stored: 50, unsure: 0 } });
  const record = await b!.users.get("sara");
  expect([record!.seenAt, countOf(record)]).toEqual([51, 50]);
  await a!.close();
  await b!.close();
});

test.each(["devices", "positions", "both"] as const)(
  "a put of %s whose answer never comes finds its versions, with or without a push",
  async (parts) => {
    const name = freshName();
    const [other] = await openNodes(1, connections, { name });
    let losing = false;
    const isReceipt = ({ data }: { data: Uint8Array }): boolean => new TextDecoder().decode(data).startsWith('{"stream":');
    const flaky = deafened(connections[0]!, (message) => !(losing && isReceipt(message)) || (losing = false));
    const [node] = await openNodes(1, [flaky], { name });
    let record = asStored(user("sara"), (await other!.users.put(user("sara"), "both"))!);
    for (const rows of [[], [newRow("push", { userId: "sara" })]]) {
      const next = {
        ...record,
        seenAt: parts === "positions" ? record.seenAt : record.seenAt + 1,
        positions: parts === "devices"
          ? record.positions
          : { ...record.positions, handled: { [topic]: { epoch: 1, read: rows.length + 1, ranges: [] } } },
      };
      losing = true;
      record = asStored(next, (await node!.users.put(next, parts, rows))!);
      expect(losing).toBe(false);
      expect(await other!.users.get("sara")).toEqual(record);
      expect(node!.users.recent!("sara")).toEqual(record);
    }
    expect((await node!.outbox.due(Infinity, 10)).rows.map(({ id }) => id)).toEqual(["push"]);
    await node!.close();
    await other!.close();
  },
);

test.each([["positions", "devices"], ["devices", "positions"]] as const)(
  "a decision that writes %s is refused by the server when another node wrote the %s, and leaves nothing",
  async (own, others) => {
    const [a, b] = await openNodes(2, connections);
    const record = asStored(user("sara"), (await a!.users.put(user("sara"), "both"))!);
    const changed = (await b!.users.put(record, others))!;
    // What it wrote last it doesn't read again.
    const rows = [newRow("row", { userId: "sara" })];
    expect(await a!.users.put(record, own, rows)).toBeUndefined();
    expect((await a!.outbox.ofMessage("message of row")).length).toBe(0);
    expect(await a!.users.get("sara")).toEqual(asStored(record, changed));
    expect(await a!.users.put(asStored(record, changed), own, rows)).toBeDefined();
    expect((await a!.outbox.ofMessage("message of row")).length).toBe(1);
    await a!.close();
    await b!.close();
  },
);

test("what a node wrote last, and another changed since, does not keep it from writing the other part", async () => {
  const [a, b] = await openNodes(2, connections);
  const record = asStored(user("sara"), (await a!.users.put(user("sara"), "both"))!);
  await b!.users.put({ ...record, seenAt: 2 }, "devices");
  const recent = a!.users.recent!("sara")!;
  expect(recent).toEqual(record);
  expect(await a!.users.put(recent, "positions")).toBeDefined();
  expect(await a!.users.put(a!.users.recent!("sara")!, "devices")).toBeUndefined();
  expect(a!.users.recent!("sara"), "it was not the last any more").toBeUndefined();
  await a!.close();
  await b!.close();
});

test("positions that were read before devices that were put with newer ones are read again", async () => {
  const name = freshName();
  const [writer] = await openNodes(1, connections, { name });
  const first = asStored(user("sara"), (await writer!.users.put(user("sara"), "both"))!);
  const wrote = Promise.withResolvers<void>();
  let reads = 0;
  const late = answering(connections[0]!, async (subject, payload, options) => {
    const asked = new TextDecoder().decode(payload);
    if (asked.includes(".st.u.sara")) await wrote.promise;
    const answer = await connections[0]!.request(subject, payload, options);
    if (asked.includes(".st.w.sara") && reads++ === 0) {
      const handled = { [topic]: { epoch: 1, read: 1, ranges: [] } };
      const both = { ...first, seenAt: 2, positions: { ...first.positions, handled } };
      const second = asStored(both, (await writer!.users.put(both, "both"))!);
      // Devices alone still know which positions they go with.
      await writer!.users.put({ ...second, seenAt: 3 }, "devices");
      wrote.resolve();
    }
    return answer;
  });
  const [node] = await openNodes(1, [late], { name });
  expect(await node!.users.get("sara")).toMatchObject({ seenAt: 3, positions: { handled: { [topic]: { read: 1 } } } });
  expect(reads).toBe(2);
  await node!.close();
  await writer!.close();
});

test("a put whose answer never comes finds its version", async () => {
  const name = freshName();
  const [other] = await openNodes(1, connections, { name });
  let losing = false;
  const isReceipt = ({ data }: { data: Uint8Array }): boolean => new TextDecoder().decode(data).startsWith('{"stream":');
  const flaky = deafened(connections[0]!, (message) => !(losing && isReceipt(message)) || (losing = false));
  const [node] = await openNodes(1, [flaky], { name });
  const rows = [newRow("push", { userId: "sara" })];
  losing = true;
  const record = user("sara", { seenAt: 5 });
  const versions = (await node!.users.put(record, "both", rows))!;
  expect(losing).toBe(false);
  expect(await other!.users.get("sara")).toEqual(asStored(record, versions));
  expect((await node!.outbox.due(Infinity, 10)).rows.map(({ id }) => id)).toEqual(["push"]);
  await node!.close();
  await other!.close();
});

test("a put whose answer was lost is told apart from one that another node was faster than", async () => {
  const name = freshName();
  const [other] = await openNodes(1, connections, { name });
  const first = (await other!.users.put(user("sara"), "both"))!;
  const meddler = answering(connections[0]!, async (subject, payload, options) => {
    const isPut = subject.includes(".u.");
    if (!isPut) return await connections[0]!.request(subject, payload, options);
    const current = (await other!.users.get("sara"))!;
    // The first time the put arrives, its answer does not, and others write; the second time they are faster.
    if (current.seenAt === 2) await connections[0]!.request(subject, payload, options);
    const now = (await other!.users.get("sara"))!;
    await other!.users.put({ ...now, seenAt: now.seenAt + 100 }, "both");
    if (now.seenAt < 100) throw new Error("lost");
    return await connections[0]!.request(subject, payload, options);
  });
  const [node] = await openNodes(1, [meddler], { name });
  // Not stored at all, and another version stands there.
  expect(await node!.users.put(asStored(user("sara", { seenAt: 7 }), first), "both")).toBeUndefined();
  // Stored, and overwritten before anybody could look.
  const now = (await other!.users.get("sara"))!;
  const second = (await other!.users.put({ ...now, seenAt: 2 }, "both"))!;
  expect(await node!.users.put(asStored({ ...now, seenAt: 3 }, second), "both")).toBeDefined();
  expect((await other!.users.get("sara"))!.seenAt).toBeGreaterThanOrEqual(103);
  await node!.close();
  await other!.close();
});

test("a refused put changes no look-up and adds no push, with whatever the other node knows", async () => {
  const [a, b] = await openNodes(2, connections);
  const version = (await a!.users.put(user("sara", { subscriptions, sessions: [session("phone", { node: "n" })] }), "both"))!;
  const record = (await b!.users.get("sara"))!;
  expect(record.version).toBe(version.devices);
  const away = { ...record, sessions: [session("phone", { targets: [target] })] };
  const newer = (await b!.users.put(away, "both", [newRow("push", { userId: "sara" })]))!;
  const stale = { ...record, sessions: [session("stolen", { node: null })] };
  expect(await a!.users.put(stale, "both", [newRow("stale push", { userId: "sara" })])).toBeUndefined();
  expect(await a!.users.holders({ deviceId: "stolen" })).toEqual([]);
  expect((await a!.users.pushableMembers(topic, { after: undefined, limit: 10 })).names).toEqual(["sara"]);
  expect((await a!.outbox.ofMessage("message of stale push")).length).toBe(0);
  expect(await a!.users.remove("sara", version.devices)).toBe(false);
  expect(await a!.users.remove("sara", newer.devices)).toBe(true);
  for (const parts of ["devices", "positions", "both"] as const) {
    expect(await b!.users.put(asStored(away, newer), parts)).toBeUndefined();
  }
  const again = (await b!.users.put(asStored(away, { devices: 0, positions: 0 }), "both"))!;
  expect(Math.min(again.devices, again.positions)).toBeGreaterThan(newer.devices);
  await a!.close();
  await b!.close();
});

test("many members who can be pushed to are read in parts, and nobody is left out while others come and go", async () => {
  const [a, b] = await openNodes(2, connections);
  const names = Array.from({ length: 700 }, (_, index) => `user ${index}`);
  const session1 = session("phone", { targets: [target] });
  await Promise.all(names.map((name) => a!.users.put(user(name, { subscriptions, sessions: [session1] }), "both")));
  const found = await all((page) => b!.users.pushableMembers(topic, page), 30);
  expect([...found].sort()).toEqual([...names].sort());
  const leaving = new Set(names.filter((_, index) => index % 3 === 0));
  const stayed: string[] = [];
  await all(async (page) => {
    const part = await b!.users.pushableMembers(topic, page);
    for (const name of part.names) {
      if (!leaving.has(name)) stayed.push(name);
      else await a!.users.put({ ...(await a!.users.get(name))!, sessions: [] }, "both");
    }
    return part;
  }, 30);
  expect(stayed.sort()).toEqual(names.filter((name) => !leaving.has(name)).sort());
  expect((await all((page) => b!.users.pushableMembers(topic, page), 30)).length).toBe(names.length - leaving.size);
  await a!.close();
  await b!.close();
});

test("asking who can be pushed to in a topic without anybody is one question", async () => {
  const name = freshName();
  let questions = 0;
  const counting = lossy(connections[0]!, { request: () => (questions++, false) });
  const [node] = await openNodes(1, [counting], { name });
  questions = 0;
  expect((await node!.users.pushableMembers(topic, { after: undefined, limit: 200 })).names).toEqual([]);
  expect(questions).toBe(1);
  await node!.close();
});

test("a put that changes only progress and what is handled is one message", async () => {
  const name = freshName();
  let published = 0;
  const counting = altered(connections[0]!, {
    publish: (...what) => (published++, connections[0]!.publish(...what)),
  });
  const [node] = await openNodes(1, [counting], { name });
  const elsewhere = session("tablet", { node: "another" });
  const record = user("sara", { subscriptions, sessions: [session("phone"), elsewhere] });
  const first = asStored(record, (await node!.users.put(record, "both"))!);
  published = 0;
  const progress = { phone: { [topic]: { epoch: 1, from: 0, acked: 9, shown: 9, decided: 9 } } };
  const handled = { [topic]: { epoch: 1, read: 0, ranges: [[0, 9] as const] } };
  const moved = { ...first, positions: { ...first.positions, progress, handled } };
  const second = asStored(moved, (await node!.users.put(moved, "positions"))!);
  expect(published).toBe(1);
  await node!.users.put({ ...second, positions: { ...second.positions, handled: {} } }, "positions");
  expect(published).toBe(2);
  await node!.close();
});

test("what does not fit into one step is refused, and nothing of it is stored", async () => {
  const [node] = await openNodes(1, connections);
  const many = Array.from({ length: 1_000 }, (_, index) => newRow(`${index}`, { userId: "sara" }));
  await expect(node!.users.put(user("sara"), "both", many)).rejects.toMatchObject({ code: "too-large", retryable: false });
  expect(await node!.users.get("sara")).toBeUndefined();
  expect((await node!.outbox.due(Infinity, 10)).rows).toEqual([]);
  const vast = session("phone", { targets: [{ id: "t", provider: "p", token: "x".repeat(1 << 20), registeredAt: 1 }] });
  await expect(node!.users.put(user("sara", { sessions: [vast] }), "both")).rejects.toMatchObject({
    code: "too-large",
    retryable: false,
  });
  expect(await node!.users.put(user("sara"), "both", many.slice(0, 500))).toBeDefined();
  expect((await node!.outbox.due(Infinity, 1_000)).rows.length).toBe(500);
  await node!.close();
});

test("deviceIds, tokens and target ids stand in no subject", async () => {
  const name = freshName();
  const subjects: string[] = [];
  const watcher = await connect(stage.server.url);
  watcher.subscribe(`${name}.>`, { callback: (_, { subject }) => void subjects.push(subject) });
  watcher.subscribe("$JS.API.>", {
    callback: (_, { subject, data }) => void subjects.push(subject, new TextDecoder().decode(data)),
  });
  await (watcher as unknown as { flush(): Promise<void> }).flush();
  const [node] = await openNodes(1, [connections[0]!], { name });
  const { users, outbox } = node!;
  const target = { id: "targetsecret", provider: "p", token: "tokensecret", registeredAt: 1 };
  const record = user("sara", { subscriptions, sessions: [session("devicesecret", { targets: [target] })] });
  const row = newRow("rowsecret", { userId: "sara", deviceId: "devicesecret", targetId: "targetsecret" });
  const version = (await users.put(record, "both", [row]))!;
  await users.holders({ deviceId: "devicesecret" });
  await users.holders({ targetId: "targetsecret" });
  await outbox.take([row.id]);
  await outbox.settle([row.id], "sent", "");
  await users.remove("sara", version.devices);
  await node!.close();
  await (watcher as unknown as { flush(): Promise<void> }).flush();
  expect(subjects.length).toBeGreaterThan(20);
  expect(subjects.filter((subject) => subject.includes("secret"))).toEqual([]);
  await watcher.close();
});

test("a stream of that name made otherwise is refused at the start, and a closed state says so", async () => {
  const name = freshName();
  const config = new TextEncoder().encode(JSON.stringify({ name: `${name}_STATE`, subjects: [`${name}.st.*`] }));
  await connections[0]!.request(`$JS.API.STREAM.CREATE.${name}_STATE`, config);
  const options = { connection: connections[0]!, name, replicas: 1, context: createContext() };
  await expect(openNode(options)).rejects.toMatchObject({ code: "bad-config", hint: expect.stringMatching(/that name/) });
  const [node] = await openNodes(1, connections);
  await node!.close();
  await expect(node!.users.get("sara")).rejects.toMatchObject({ code: "closed" });
  await expect(node!.users.put(user("sara"), "both")).rejects.toMatchObject({ code: "closed" });
  await expect(node!.users.lease("node", 1_000)).rejects.toMatchObject({ code: "closed" });
});

/** What a server says of a stream, but for how far it is. */
async function configOf(stream: string): Promise<unknown> {
  const { data } = await connections[0]!.request(`$JS.API.STREAM.INFO.${stream}`, undefined, { timeout: 5_000 });
  const { config, state } = JSON.parse(new TextDecoder().decode(data));
  return { config, messages: state.messages, last: state.last_seq };
}

for (const [age, metadata] of [["older", {}], ["older", { "peyk-format": "6" }], ["newer", { "peyk-format": "9" }]] as const) {
  test(`a stream of ours from an ${age} version (${JSON.stringify(metadata)}) is refused, and nothing in it is changed`, async () => {
    const name = freshName();
    const stream = `${name}_STATE`;
    const config = {
      ...{ name: stream, subjects: [`${name}.st.>`], storage: "file", retention: "limits", discard: "old", num_replicas: 1 },
      ...{ max_msgs_per_subject: 1, allow_direct: true, allow_atomic: true, allow_msg_ttl: true, metadata },
    };
    await connections[0]!.request(`$JS.API.STREAM.CREATE.${stream}`, new TextEncoder().encode(JSON.stringify(config)));
    await connections[0]!.request(`${name}.st.u.sara`, new TextEncoder().encode("{}"));
    const before = await configOf(stream);
    expect(before).toMatchObject({ messages: 1 });
    const options = { connection: connections[0]!, name, replicas: 1, context: createContext() };
    await expect(openNode(options)).rejects.toMatchObject({
      ...{ name: "PeykError", code: "storage-version", retryable: false },
      message: expect.stringMatching(`${stream}.* ${age} version`),
      hint: expect.stringMatching(/Nothing in it was changed/),
    });
    expect(await configOf(stream)).toEqual(before);
  });
}

test("who leaves a look-up leaves nothing behind there", async () => {
  const name = freshName();
  const [node] = await openNodes(1, [connections[0]!], { name });
  const { users } = node!;
  const record = user("sara", { subscriptions, sessions: [session("phone", { targets: [target] })] });
  const version = (await users.put(record, "both"))!;
  await users.put(asStored({ ...record, subscriptions: {}, sessions: [] }, version), "both");
  const body = new TextEncoder().encode(JSON.stringify({ subjects_filter: `${name}.st.*.*.*.*.*.*` }));
  await until(async () => {
    const { data } = await connections[0]!.request(`$JS.API.STREAM.INFO.${name}_STATE`, body, { timeout: 5_000 });
    const subjects = Object.keys(JSON.parse(new TextDecoder().decode(data)).state.subjects ?? {});
    return subjects.length === 1 && subjects[0]!.startsWith(`${name}.st.s.`);
  }, "only the week in which she was seen still names her");
  await node!.close();
});

test("what is remembered of users is bounded by bytes: of those with much those of the first ones go", async () => {
  const [node] = await openNodes(1, connections);
  const devices = Array.from({ length: 50 }, (_, index) => `device ${index}`);
  const at = { epoch: 1, from: 0, acked: 0, shown: 0, decided: 0 };
  const topics = Object.fromEntries(Array.from({ length: 60 }, (_, index) => [`*/${index}`, at]));
  const progress = Object.fromEntries(devices.map((device) => [device, topics]));
  const names = Array.from({ length: 60 }, (_, index) => `user ${index}`);
  for (const name of names) {
    const record = user(name, { sessions: devices.map((device) => session(device)) });
    await node!.users.put({ ...record, positions: { ...record.positions, progress } }, "both");
  }
  const known = names.filter((name) => node!.users.recent!(name) !== undefined);
  expect(known.length).toBeGreaterThan(20);
  expect(known).toEqual(names.slice(-known.length));
  expect(known.length).toBeLessThan(names.length);
  await node!.close();
});
