/** Runs the conformance cases of gateways on serveNode without a test framework. */
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { gatewayCases, runGatewayCase } from "peyk/conformance";
import { serveNode } from "peyk/node";

const cases = gatewayCases();
for (const one of cases) {
  try {
    await runGatewayCase(one, async (acceptor) => {
      const server = createServer();
      serveNode(acceptor, server);
      server.listen(0, "127.0.0.1");
      await once(server, "listening");
      const { port } = server.address() as AddressInfo;
      return { url: `ws://127.0.0.1:${port}/peyk`, close: () => new Promise((resolve) => void server.close(() => resolve())) };
    });
  } catch (error) {
    throw new Error(one.name, { cause: error });
  }
}
console.log(`${cases.length} gateway cases hold`);
