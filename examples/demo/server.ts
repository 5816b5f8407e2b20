/**
 * The demo: one engine on embedded defaults, one page. `npm start`, then open the address it prints.
 * PORT names the port (default 3000; 0: any free one). What it keeps lies in `data`, in the working directory.
 */
import { mkdirSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { createEngine, PeykError } from "peyk";
import { upgradeHandler } from "peyk/node";
import { sqlite } from "peyk/sqlite";
import { webhook } from "peyk/webhook";
import { createApi } from "./api.ts";
import { loadAssets } from "./assets.ts";
import { NEWS, people, personOf, policy } from "./people.ts";
import { PushService } from "./push_service.ts";
import { Stage } from "./stage.ts";

const FILE = "data/demo.db";
const SOCKETS = "/peyk";

async function start(): Promise<void> {
  const assets = await loadAssets();
  const server = createServer();
  const url = await listen(server, portOf(process.env.PORT));
  const stage = new Stage();
  const pushService = new PushService(stage);

  mkdirSync("data", { recursive: true });
  const engine = await createEngine({
    // A real server looks at a session cookie or verifies a signed token here.
    authenticate({ token, deviceId, request }) {
      const person = personOf(token ?? "");
      if (person === undefined) return null;
      const line = request && new URL(request.url).searchParams.get("line");
      if (line) stage.signedIn(deviceId, line);
      return { userId: person.id };
    },
    // Among friends, what somebody writes may show on a lock screen. By default a push only says that a message waits.
    authorize({ message, allowed }) {
      if (message === undefined || !allowed) return allowed;
      if (message.id !== undefined && message.content !== undefined) stage.announce(message.id, message.content);
      return { ...message, useAsAlert: true };
    },
    storage: sqlite(FILE),
    push: [webhook({ url: `${url}/push`, secret: pushService.secret, allowLoopback: true })],
    policy,
    logger: {
      info() {},
      // The stage ends sockets to show what happens then: the engine would warn of code that does.
      warn: (message, fields) => fields?.reason === "taken" || console.warn(message, fields ?? ""),
      error: (message, fields) => console.error(message, fields ?? ""),
    },
  });
  stage.watch(engine);
  // At each start: of what a person is subscribed to already it changes nothing.
  for (const { id } of people) await engine.subscribe(id, { to: "*", channel: NEWS });

  // A listener of the demo's own, which knows the sockets: `serveNode` would keep them to itself.
  const handleUpgrade = upgradeHandler(engine, { path: SOCKETS });
  server.on("upgrade", (request, socket, head) => {
    const line = new URL(request.url ?? "/", url).searchParams.get("line");
    if (line !== null) stage.socketOpened(line, socket);
    if (!handleUpgrade(request, socket, head)) socket.destroy();
  });
  server.on("request", createApi({ engine, stage, pushService, assets }));

  async function stop(): Promise<void> {
    await engine.close();
    stage.close();
    server.close();
    server.closeAllConnections();
  }
  process.once("SIGINT", stop).once("SIGTERM", stop);
  console.log(`Peyk's demo: ${url}`);
}

function listen(server: ReturnType<typeof createServer>, port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    server.once("error", (error) => {
      reject(new PeykError("unavailable", error.message, { hint: "PORT names another port; 0 is any free one." }));
    });
    // Only this machine: whoever reaches the page can be anybody in it.
    server.listen(port, "127.0.0.1", () => resolve(`http://127.0.0.1:${(server.address() as AddressInfo).port}`));
  });
}

function portOf(text: string | undefined): number {
  const port = Number(text ?? 3000);
  if (text?.trim() === "" || !Number.isInteger(port) || port < 0 || port > 65_535) {
    throw new PeykError("bad-config", `PORT: "${text}" is no port`, { hint: "A number from 0 (any free one) to 65535." });
  }
  return port;
}

try {
  await start();
} catch (error) {
  console.error(
    error instanceof PeykError ? `${error.message}. ${error.hint ?? ""}` : error instanceof Error ? error.message : error,
  );
  process.exit(1);
}
