import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, test } from "vitest";
import { pushProviderCases, type PushService, type PushStage, runPushCase } from "../../adapters/conformance/conformance.ts";
import { webhook } from "../../adapters/webhook.ts";

/** What a receiver says that behaves that way; nothing at all where there is no answer. */
const answers: Partial<Record<PushService, [status: number, headers?: Record<string, string>]>> = {
  accepting: [202],
  "target-gone": [410],
  refusing: [422],
  busy: [429, { "retry-after": "7" }],
  failing: [503],
  "refusing-access": [403],
};

async function start(service: PushService, apps?: readonly string[]): Promise<PushStage | undefined> {
  // A receiver has no words for another token.
  if (service === "replacing") return undefined;
  let [bytes, requests] = [0, 0];
  const server = createServer((request, response) => {
    requests++;
    request.on("data", (chunk: Uint8Array) => void (bytes += chunk.length));
    const answer = answers[service];
    if (answer !== undefined) response.writeHead(...answer).end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const close = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  if (service === "unreachable") await close();
  return {
    provider: webhook({
      url: `http://127.0.0.1:${port}/`,
      secret: "a secret of enough length",
      allowLoopback: true,
      ...apps && { apps },
    }),
    target: { token: "a-token-that-nobody-else-has", ...apps && { app: apps[0]! } },
    requests: () => requests,
    bytes: () => bytes,
    close: service === "unreachable" ? () => Promise.resolve() : close,
  };
}

describe.each([undefined, ["org.example.app", "org.example.other"]])("the webhook provider, set up for %s", (apps) => {
  for (const one of pushProviderCases()) test(one.name, () => runPushCase(one, (service) => start(service, apps)));
});
