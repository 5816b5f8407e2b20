import { describe, test } from "vitest";
import { vapidPair } from "../../adapters/cli/vapid_pair.ts";
import { pushProviderCases, type PushService, type PushStage, runPushCase } from "../../adapters/conformance/conformance.ts";
import { webPush } from "../../adapters/web_push.ts";
import { certificate } from "../tls/certificate.ts";
import { type Answer, FakePushService } from "../web_push/fake_push_service.ts";

const answers: Partial<Record<PushService, Answer>> = {
  "target-gone": { status: 410 },
  refusing: { status: 413 },
  busy: { status: 429, headers: { "retry-after": "7" } },
  failing: { status: 503 },
  silent: "hang",
  "refusing-access": { status: 403 },
};

async function start(service: PushService, http2: boolean, apps?: readonly string[]): Promise<PushStage | undefined> {
  // Web Push has no words for another token.
  if (service === "replacing") return undefined;
  const fake = await new FakePushService({ http2 }).listen();
  const answer = answers[service];
  if (answer !== undefined) fake.answers.push(answer);
  const { endpoint, keys } = fake.subscribe();
  const provider = webPush({
    subject: "mailto:push@example.org",
    keys: [vapidPair()],
    url: "https://app.example.org/",
    extraOrigins: [fake.origin],
    allowLoopback: true,
    ca: certificate,
    ...apps && { apps },
  });
  if (service === "unreachable") await fake.close();
  return {
    provider,
    target: { token: JSON.stringify({ endpoint, keys }), ...apps && { app: apps[0]! } },
    requests: () => fake.requests,
    bytes: () => fake.bytes,
    async close() {
      await provider.close?.();
      if (service !== "unreachable") await fake.close();
    },
  };
}

describe.each([[true, undefined], [false, ["org.example.app"]]] as const)(
  "the web-push provider, with HTTP/2: %s, set up for %s",
  (http2, apps) => {
    for (const one of pushProviderCases()) test(one.name, () => runPushCase(one, (service) => start(service, http2, apps)));
  },
);
