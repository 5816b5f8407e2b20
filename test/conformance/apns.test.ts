import { describe, test } from "vitest";
import { apns } from "../../adapters/apns.ts";
import { pushProviderCases, type PushService, type PushStage, runPushCase } from "../../adapters/conformance/conformance.ts";
import { type FakeAnswer, FakeApns, fakeKey } from "../apns/fake_apns.ts";
import { app, deviceToken, optionsFor } from "../apns/stage.ts";

/** What Apple says that behaves that way. */
const answers: Partial<Record<PushService, FakeAnswer | "hang">> = {
  "target-gone": { status: 410, reason: "Unregistered", timestamp: 1_700_000_000_000 },
  refusing: { status: 400, reason: "DeviceTokenNotForTopic" },
  busy: { status: 429, reason: "TooManyRequests", headers: { "retry-after": "7" } },
  failing: { status: 500, reason: "InternalServerError" },
  silent: "hang",
  "refusing-access": { status: 400, reason: "BadDeviceToken" },
};

const key = fakeKey();

async function start(service: PushService): Promise<PushStage | undefined> {
  // Apple gives no new token in an answer.
  if (service === "replacing") return undefined;
  const fake = await FakeApns.start({ keys: [key], answer: () => answers[service] });
  if (service === "unreachable") await fake.close();
  const { key: text, keyId, teamId } = key;
  const provider = apns(optionsFor(fake, [{ key: text, keyId, teamId, bundleIds: [app, "org.example.other"] }]));
  return {
    provider,
    target: { token: deviceToken, app },
    requests: () => fake.requests.length,
    bytes: () => fake.bytes,
    close: async () => {
      await provider.close?.();
      await fake.close();
    },
  };
}

describe("the apns provider", () => {
  for (const one of pushProviderCases()) test(one.name, () => runPushCase(one, start));
});
