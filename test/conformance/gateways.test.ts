import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, test } from "vitest";
import { gatewayCases, runGatewayCase, type ServedGateway } from "../../adapters/conformance/conformance.ts";
import { serveDeno } from "../../adapters/deno.ts";
import { serveNode } from "../../adapters/node.ts";
import type { Acceptor } from "../../src/ports/connection.ts";

async function onNode(acceptor: Acceptor): Promise<ServedGateway> {
  const server = createServer();
  serveNode(acceptor, server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `ws://127.0.0.1:${(server.address() as AddressInfo).port}/peyk`,
    close: () => new Promise((resolve) => void server.close(() => resolve())),
  };
}

function onDeno(acceptor: Acceptor): Promise<ServedGateway> {
  const gateway = serveDeno(acceptor);
  const server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen: () => undefined },
    (request, info) => gateway(request, info) ?? new Response("not found", { status: 404 }),
  );
  return Promise.resolve({ url: `ws://127.0.0.1:${server.addr.port}/peyk`, close: () => server.shutdown() });
}

/** What this runtime can serve with: node:http everywhere, Deno.serve in Deno. */
const gateways: Record<string, (acceptor: Acceptor) => Promise<ServedGateway>> = {
  serveNode: onNode,
  ..."Deno" in globalThis ? { serveDeno: onDeno } : {},
};

describe.each(Object.keys(gateways))("%s", (name) => {
  for (const one of gatewayCases()) test(one.name, () => runGatewayCase(one, gateways[name]!));
});
