import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { onTestFinished } from "vitest";
import { serveNode } from "../../adapters/node.ts";
import { createEngine, type Engine, type EngineOptions } from "../../mod.ts";
import { FakeProvider } from "./stage.ts";

/** An engine behind a real server, until the test ends. */
export async function serve(
  options: EngineOptions = {},
): Promise<{ engine: Engine; provider: FakeProvider; url: string; cut(): void }> {
  const provider = new FakeProvider();
  const engine = await createEngine({ insecure: true, push: [provider], ...options });
  const server = createServer();
  serveNode(engine, server, { path: "/peyk" });
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  onTestFinished(async () => {
    await engine.close();
    server.close();
  });
  const cut = () => server.closeAllConnections();
  return { engine, provider, cut, url: `ws://127.0.0.1:${(server.address() as AddressInfo).port}/peyk` };
}
