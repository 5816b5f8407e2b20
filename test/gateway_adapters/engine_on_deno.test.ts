import { expect, onTestFinished, test, vi } from "vitest";
import { serveDeno } from "../../adapters/deno.ts";
import { serveNode } from "../../adapters/node.ts";
import { createEngine, type Engine, type Message } from "../../mod.ts";
import { connect } from "../../src/client/client.ts";
import { httpServer } from "./http_server.ts";

const until = (condition: () => unknown) => vi.waitFor(() => expect(condition()).toBeTruthy(), { timeout: 15_000, interval: 5 });

/** The ways in which this runtime serves an engine: each gives the port. */
const servers: Record<string, (engine: Engine) => Promise<number>> = {
  async serveNode(engine) {
    const { server, port } = await httpServer();
    serveNode(engine, server);
    return port;
  },
};
if ("Deno" in globalThis) {
  servers.serveDeno = (engine) => {
    const peyk = serveDeno(engine);
    const handler: Deno.ServeHandler = (request, info) => peyk(request, info) ?? new Response("the app");
    const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => undefined }, handler);
    onTestFinished(() => server.shutdown());
    return Promise.resolve(server.addr.port);
  };
}

test.each(Object.keys(servers))(
  "behind %s a real client gets a message, acks it, publishes, and is told when the engine closes",
  async (name) => {
    const engine = await createEngine({ insecure: true });
    onTestFinished(() => engine.close());
    const port = await servers[name]!(engine);
    const peyk = connect(`ws://127.0.0.1:${port}/peyk`, { token: "sara" });
    onTestFinished(() => peyk.close());
    const messages: Message[] = [];
    peyk.onMessage((message) => void messages.push(message as Message));
    let state = "";
    peyk.onStatus((status) => void (state = status.state));
    const { id } = await engine.publish({ to: "sara", content: "hi", data: { bytes: new Uint8Array([1, 2, 3]) } });
    await until(() => messages.length === 1 && engine.counters().acked === 1);
    expect(messages[0]).toMatchObject({ id, content: "hi", data: { bytes: new Uint8Array([1, 2, 3]) } });
    expect((await peyk.publish({ to: "sara", content: "to myself" })).duplicate).toBe(false);
    await until(() => messages.length === 2);
    expect(messages[1]).toMatchObject({ from: "sara", content: "to myself" });
    expect(await engine.sessions("sara")).toMatchObject([{ state: "connected.live" }]);
    const burst = Array.from({ length: 100 }, (_, i) => `${i}`);
    await Promise.all(burst.map((content) => engine.publish({ to: "sara", content })));
    await until(() => messages.length === 102);
    expect(messages.slice(2).map(({ content }) => content)).toEqual(burst);
    expect(await (await fetch(`http://127.0.0.1:${port}/`)).text()).toBe("the app");
    await engine.close();
    await until(() => state === "waiting");
  },
);
