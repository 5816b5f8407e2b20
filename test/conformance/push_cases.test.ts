import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, expect, test } from "vitest";
import { pushProviderCases, type PushService, type PushStage, runPushCase } from "../../adapters/conformance/conformance.ts";
import type { PushProvider, PushResult } from "../../src/ports/push_provider.ts";

const token = "a-token-that-nobody-else-has";
const answers: Partial<Record<PushService, number>> = {
  accepting: 201,
  "target-gone": 410,
  refusing: 400,
  busy: 429,
  failing: 500,
  replacing: 200,
  "refusing-access": 403,
};

/** A provider as small as can be. */
function createProvider(url: string): PushProvider {
  return {
    name: "plain",
    lane: ({ app = "" }) => app,
    async send(_target, notification, { signal }): Promise<PushResult> {
      const { alert, native: _native, ...bare } = notification;
      const forms = [notification, { ...bare, ...alert && { alert: {} } }].map((form) => JSON.stringify(form));
      const body = forms.find(({ length }) => length <= 4_096);
      if (body === undefined) return { verdict: "rejected", reason: "too large" };
      try {
        const response = await fetch(url, { method: "POST", body, signal });
        await response.body?.cancel();
        if (response.status === 200) return { verdict: "replaced", token: response.headers.get("token")! };
        if (response.ok) return { verdict: "sent" };
        const reason = String(response.status);
        if (response.status === 410) return { verdict: "gone", reason };
        if (response.status === 403) return { verdict: "retry", reason, scope: "unclear" };
        if (response.status === 400) return { verdict: "rejected", reason };
        const after = Number(response.headers.get("retry-after"));
        return { verdict: "retry", reason, ...after > 0 ? { afterMs: after * 1_000 } : {} };
      } catch {
        return { verdict: "retry", reason: "no answer" };
      }
    },
  };
}

async function start(service: PushService, spoil: (provider: PushProvider) => PushProvider): Promise<PushStage> {
  let [bytes, requests] = [0, 0];
  const server = createServer((request, response) => {
    requests++;
    request.on("data", (chunk: Uint8Array) => void (bytes += chunk.length));
    const status = answers[service];
    if (status !== undefined) response.writeHead(status, { "retry-after": "7", token: "the-token-that-it-has-now" }).end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  const close = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  if (service === "unreachable") await close();
  return {
    provider: spoil(createProvider(url)),
    target: { token },
    requests: () => requests,
    bytes: () => bytes,
    close: service === "unreachable" ? () => Promise.resolve() : close,
  };
}

describe("a push provider that keeps to the port", () => {
  for (const one of pushProviderCases()) {
    test(one.name, () => runPushCase(one, (service) => start(service, (provider) => provider)));
  }
});

/** Each spoils a sound provider's verdict or way of asking. */
const defects: Record<string, [caughtBy: string, spoil: (provider: PushProvider) => PushProvider]> = {
  "throws instead of giving a verdict": [
    "says retry when the service is not there",
    (provider) => ({
      ...provider,
      async send(...what) {
        const result = await provider.send(...what);
        if (result.verdict === "retry") throw new Error(result.reason);
        return result;
      },
    }),
  ],
  "tries again by itself": [
    "says retry when the service failed",
    (provider) => ({
      ...provider,
      async send(...what) {
        const result = await provider.send(...what);
        return result.verdict === "retry" ? await provider.send(...what) : result;
      },
    }),
  ],
  "names pushes by what can't be stored": [
    "names a push by a handle that can be stored, if at all",
    (provider) => ({
      ...provider,
      async send(...what) {
        const result = await provider.send(...what);
        return result.verdict === "sent" ? { ...result, handle: "x".repeat(1_025) } : result;
      },
    }),
  ],
  "says in seconds since when a target is dead": [
    "says since when a target is dead in milliseconds since 1970, if at all",
    (provider) => ({
      ...provider,
      async send(...what) {
        const result = await provider.send(...what);
        return result.verdict === "gone" ? { ...result, since: 1_795_000_000 } : result;
      },
    }),
  ],
  "takes a dead target for a bad notification": [
    "says gone when the target is dead",
    (provider) => ({
      ...provider,
      async send(...what) {
        const result = await provider.send(...what);
        return result.verdict === "gone" ? { ...result, verdict: "rejected" } : result;
      },
    }),
  ],
  "takes what was refused for sent": [
    "says rejected when the service will never take it",
    (provider) => ({
      ...provider,
      async send(...what) {
        const result = await provider.send(...what);
        return result.verdict === "rejected" ? { verdict: "sent" } : result;
      },
    }),
  ],
  "never says sent": [
    "says sent when the service took it",
    (provider) => ({ ...provider, send: () => Promise.resolve({ verdict: "retry", reason: "" }) }),
  ],
  "keeps to itself when to come again": [
    "passes on when to come again",
    (provider) => ({
      ...provider,
      async send(...what) {
        const { afterMs: _, ...result } = await provider.send(...what) as PushResult & { afterMs?: number };
        return result as PushResult;
      },
    }),
  ],
  "keeps to itself that a token was replaced": [
    "says replaced when the service names another token",
    (provider) => ({
      ...provider,
      async send(...what) {
        const result = await provider.send(...what);
        return result.verdict === "replaced" ? { verdict: "sent" } : result;
      },
    }),
  ],
  "says of a replaced token what it was": [
    "passes on the token that the target has now",
    (provider) => ({
      ...provider,
      async send(target, ...what) {
        const result = await provider.send(target, ...what);
        return result.verdict === "replaced" ? { ...result, token: target.token } : result;
      },
    }),
  ],
  "blames the service for a bad notification": [
    "does not blame the service where the target may have caused it",
    (provider) => ({
      ...provider,
      async send(...what) {
        const result = await provider.send(...what);
        return result.verdict === "rejected" ? { ...result, scope: "service" } : result;
      },
    }),
  ],
  "blames the target alone when access is refused": [
    "says that it is unclear whose fault it is when access is refused",
    (provider) => ({
      ...provider,
      async send(...what) {
        const { scope: _, ...result } = await provider.send(...what) as PushResult & { scope?: unknown };
        return result as PushResult;
      },
    }),
  ],
  "has a lane for each token": [
    "names a lane that is the same each time, and tells no token",
    (provider) => ({ ...provider, lane: ({ token }) => `to ${token}` }),
  ],
  "rejects when it is aborted": [
    "gives up when it is told to, and says retry",
    (provider) => ({
      ...provider,
      async send(target, notification, { signal }) {
        const result = await provider.send(target, notification, { signal });
        signal.throwIfAborted();
        return result;
      },
    }),
  ],
  "does not heed the signal": [
    "does not begin when it was told to give up before",
    (provider) => ({
      ...provider,
      send: (target, notification) => provider.send(target, notification, { signal: new AbortController().signal }),
    }),
  ],
  "rejects for its words what it could bring without them": [
    "leaves out what is too large, and brings the rest",
    (provider) => ({
      ...provider,
      send: (target, notification, options) =>
        JSON.stringify(notification).length > 4_096
          ? Promise.resolve({ verdict: "rejected", reason: "too large" })
          : provider.send(target, notification, options),
    }),
  ],
  "sends whatever the size": [
    "rejects what is too large even without its words, before any request",
    (provider) => ({
      ...provider,
      send: (target, notification, options) =>
        provider.send(target, { ...notification, id: notification.id.slice(0, 99) }, options),
    }),
  ],
  "can't send what shows nothing": [
    "sends what shows nothing, and what stands for many",
    (provider) => ({
      ...provider,
      send: (target, notification, options) =>
        notification.alert
          ? provider.send(target, notification, options)
          : Promise.resolve({ verdict: "rejected", reason: "no alert" }),
    }),
  ],
  "tells the token": [
    "never tells a token",
    (provider) => ({
      ...provider,
      async send(target, ...what) {
        const result = await provider.send(target, ...what);
        return result.verdict === "sent" ? { ...result, info: `to ${target.token}` } : result;
      },
    }),
  ],
  "finds fault with its own targets": [
    "has a plain name, takes its own targets and says what is wrong with others",
    (provider) => ({ ...provider, targetFault: () => "no" }),
  ],
  "repeats a token that it finds fault with": [
    "has a plain name, takes its own targets and says what is wrong with others",
    (provider) => ({
      ...provider,
      targetFault: (target) => target.token.length > 99 ? `${target.token} is too long` : undefined,
    }),
  ],
  "is set up for another app than its target's": [
    "names the apps that it is set up for, its targets' among them",
    (provider) => ({ ...provider, apps: ["another"] }),
  ],
  "wants a part of a message that there is no name for": [
    "says how much of a message its service is to have",
    (provider) => ({ ...provider, content: "some" as "none" }),
  ],
  "refuses targets that say more than it needs": [
    "takes targets that say more",
    (provider) => ({
      ...provider,
      targetFault: ({ token: _token, ...others }) => Object.keys(others).length > 0 ? "fields that it does not know" : undefined,
    }),
  ],
  "works on what it is given": [
    "changes nothing of what it is given",
    (provider) => ({
      ...provider,
      send(target, notification, options) {
        notification.ttl = Math.min(notification.ttl, 60);
        return provider.send(target, notification, options);
      },
    }),
  ],
};

describe("a push provider is caught that", () => {
  for (const [defect, [caughtBy, spoil]] of Object.entries(defects)) {
    test(defect, async () => {
      const one = pushProviderCases().find(({ name }) => name === caughtBy)!;
      await expect(runPushCase(one, (service) => start(service, spoil))).rejects.toThrow();
    });
  }
});

test("every push case catches somebody", () => {
  const catching = new Set(Object.values(defects).map(([caughtBy]) => caughtBy));
  expect(pushProviderCases().map(({ name }) => name).filter((name) => !catching.has(name))).toEqual([]);
});

test("only optional cases may be left out", async () => {
  for (const one of pushProviderCases()) {
    const run = runPushCase(one, () => Promise.resolve(undefined));
    if (one.isOptional === true) await run;
    else await expect(run, one.name).rejects.toThrow("nothing was set up");
  }
});
