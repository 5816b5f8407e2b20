import { expect, test } from "vitest";
import { connect } from "../../src/client/client.ts";
import { decodePayload } from "../../src/protocol/codec.ts";
import { quiet, World } from "./fake_server.ts";

test.each<[string, unknown, string]>([
  ["a Map in the data", { data: { items: [0, { tags: new Map() }] } }, "data.items[1].tags can't be sent"],
  ["an Error as data", { data: new Error("e") }, "data can't be sent"],
  ["half a character as content", { content: "\ud800" }, "content can't be sent"],
])("publish refuses %s at once, and names its place", async (_, message, fault) => {
  const world = new World();
  const client = await world.connected();
  await expect(client.publish({ to: "omid", ...message as object })).rejects.toMatchObject({
    code: "bad-message",
    message: fault,
    hint: expect.stringMatching(/./),
  });
  await quiet();
  expect(world.socket.take("publish")).toEqual([]);
  await client.close();
});

test("what has a toJSON is sent as what that answers", async () => {
  const world = new World();
  const client = await world.connected();
  void client.publish({ to: "omid", data: { link: new URL("https://example.org/") } }).catch(() => {});
  await quiet();
  expect(decodePayload(world.socket.one("publish").payload).data).toEqual({ link: "https://example.org/" });
  await client.close();
});

test.each<[string, object, string]>([
  ["a misspelt field", { contnet: "hi" }, "contnet: no field of a message"],
  ["a field of another library", { body: "hi" }, "body: no field of a message"],
  ["a ttl that is no number of seconds", { ttl: 1.5 }, "ttl: not an integer from 0 to 2^53 - 1"],
  ["an urgency that there is not", { urgency: "asap" }, "urgency: not one of very-low, low, normal, high"],
])("publish refuses %s at once, also without a connection", async (_, options, hint) => {
  const world = new World();
  const client = world.connect();
  const refused = expect(client.publish({ to: "omid", ...options } as never)).rejects.toMatchObject({
    code: "bad-message",
    hint,
  });
  await quiet();
  // What waits is rejected with another code.
  await client.close();
  await refused;
});

test("fields that are undefined are none", async () => {
  const world = new World();
  const client = await world.connected();
  const publish = client.publish({ to: "omid", ttl: undefined, colour: undefined, urgency: "low" } as never);
  await quiet();
  expect(world.socket.one("publish").options).toEqual({ urgency: "low" });
  await Promise.all([client.close(), expect(publish).rejects.toMatchObject({ code: "closed" })]);
});

test("a push target's fields that can't be sent are named", async () => {
  const world = new World();
  const client = await world.connected();
  const target = { provider: "webhook", token: "t", app: 5n };
  await expect(client.registerPush(target as never)).rejects.toMatchObject({ code: "bad-message" });
  await client.close();
});

test("of other misspelt options the compiler tells", async () => {
  const world = new World();
  const client = await world.connected();
  const asked = [
    // @ts-expect-error: channel
    client.subscribe({ to: "*", chanel: "news" }),
    // @ts-expect-error: channel
    client.unsubscribe({ to: "*", chanel: "news" }),
    // @ts-expect-error: locale
    client.registerPush({ provider: "webhook", token: "t", local: "fa" }),
    // @ts-expect-error: content
    client.publish({ to: "omid", contents: "hi" }),
  ];
  // @ts-expect-error: visible
  client.setActivity({ visble: true });
  // @ts-expect-error: token
  expect(() => connect("no address", { tokn: "sara" })).toThrow();
  await client.close();
  for (const result of await Promise.allSettled(asked)) expect(result.status).toBe("rejected");
});
