import { generateKeyPairSync } from "node:crypto";
import { describe, expect, test } from "vitest";
import { fcm, type FcmOptions, type FcmServiceAccount } from "../../adapters/fcm.ts";
import { PeykError } from "../../src/protocol/errors.ts";
import { serviceAccount } from "./account.ts";
import { startStage, token } from "./stage.ts";

const account = serviceAccount("https://oauth2.example.org");
const other = serviceAccount("https://oauth2.example.org", "other-project");

function pem(key: "ec" | "short" | "pkcs1"): string {
  if (key === "ec") {
    return generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export({ type: "pkcs8", format: "pem" }) as string;
  }
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: key === "short" ? 1_024 : 2_048 });
  return privateKey.export({ type: "pkcs1", format: "pem" }) as string;
}

function errorOf(options: unknown): PeykError | undefined {
  try {
    fcm(options as FcmOptions);
  } catch (error) {
    if (error instanceof PeykError) return error;
    throw error;
  }
}

const changed = (changes: Partial<Record<keyof FcmServiceAccount, unknown>>) => ({ serviceAccount: { ...account, ...changes } });

describe("a fault in the options is told at start", () => {
  test.each<[string, unknown, string, string]>([
    [
      "text that is not JSON",
      { serviceAccount: `{"private_key": "${account.private_key}` },
      "bad-config",
      "serviceAccount: not JSON",
    ],
    ["nothing", {}, "bad-config", "serviceAccount: not an object"],
    ["JSON that is no object", { serviceAccount: "1" }, "bad-config", "serviceAccount: not an object"],
    ["no project", changed({ project_id: undefined }), "bad-config", "serviceAccount: project_id is no project's id"],
    ["a path as the project", changed({ project_id: "a/../b" }), "bad-config", "serviceAccount: project_id is no project's id"],
    ["no address", changed({ client_email: "push" }), "bad-config", "serviceAccount: client_email is no address"],
    ["no key", changed({ private_key: undefined }), "bad-config", "serviceAccount: private_key is no private key in PEM"],
    [
      "half a key",
      changed({ private_key: account.private_key.slice(0, 200) }),
      "bad-config",
      "serviceAccount: private_key is no private key in PEM",
    ],
    [
      "a key of another kind",
      changed({ private_key: pem("ec") }),
      "bad-config",
      "serviceAccount: private_key is no RSA key of 2048 bits or more",
    ],
    [
      "a short key",
      changed({ private_key: pem("short") }),
      "bad-config",
      "serviceAccount: private_key is no RSA key of 2048 bits or more",
    ],
    [
      "http for tokens",
      changed({ token_uri: "http://localhost/token" }),
      "bad-url",
      "serviceAccount: token_uri is not an https address",
    ],
    ["no address for tokens", changed({ token_uri: 7 }), "bad-url", "serviceAccount: token_uri is not an https address"],
    [
      "a password for tokens",
      changed({ token_uri: "https://a:b@c.example/" }),
      "bad-url",
      "serviceAccount: token_uri is not an https address",
    ],
    ["no projects", { projects: [] }, "bad-config", "projects: not a list of one or more"],
    [
      "a project twice",
      { projects: [{ serviceAccount: account, apps: ["a"] }, { serviceAccount: account, apps: ["b"] }] },
      "bad-config",
      "projects: my-project is there twice",
    ],
    [
      "several projects without apps",
      { projects: [{ serviceAccount: account }, { serviceAccount: other, apps: ["b"] }] },
      "bad-config",
      "apps: not a list of one or more names of apps",
    ],
    [
      "an app of two projects",
      { projects: [{ serviceAccount: account, apps: ["a"] }, { serviceAccount: other, apps: ["a"] }] },
      "bad-config",
      "apps: a is there twice",
    ],
    ["no apps", { serviceAccount: account, apps: [] }, "bad-config", "apps: not a list of one or more names of apps"],
    [
      "an app that is no name",
      { serviceAccount: account, apps: ["a b"] },
      "bad-config",
      "apps: not a list of one or more names of apps",
    ],
    [
      "another way to show",
      { serviceAccount: account, android: "both" },
      "bad-config",
      'android: neither "notification" nor "data"',
    ],
    ["no pace", { serviceAccount: account, pushesPerSecond: 0 }, "bad-config", "pushesPerSecond: not a number from 1 to 1000000"],
    ["no time", { serviceAccount: account, timeoutMs: 0 }, "bad-config", "timeoutMs: not a whole number from 1 to 120000"],
    ["http", { serviceAccount: account, origin: "http://fcm.example" }, "bad-url", "origin: not https and a host alone"],
    ["a path", { serviceAccount: account, origin: "https://fcm.example/v2" }, "bad-url", "origin: not https and a host alone"],
  ])("%s", (_what, options, code, message) => {
    const error = errorOf(options);
    expect([error?.code, error?.message]).toEqual([code, message]);
    expect(error?.hint).toMatch(/\.$|:|;/);
  });

  test("and repeats nothing of a key", () => {
    const told = [`{"private_key": "${account.private_key}`, { ...account, private_key: account.private_key.slice(0, 200) }]
      .map((serviceAccount) => errorOf({ serviceAccount }));
    const line = account.private_key.split("\n")[1]!;
    for (const error of told) {
      expect(error).toBeDefined();
      expect(`${error!.stack}${JSON.stringify(error)}${String(error!.cause)}${error!.hint}`).not.toContain(line.slice(0, 12));
    }
  });
});

test("nothing of a message is to be at FCM where it is told so", () => {
  expect(fcm({ serviceAccount: account, content: "none" }).content).toBe("none");
  expect(fcm({ serviceAccount: account }).content).toBeUndefined();
});

describe("a service account", () => {
  test.each<[string, FcmServiceAccount | string]>([
    ["an object", account],
    ["the file's text", JSON.stringify(account)],
    ["text from a variable, line breaks written out", { ...account, private_key: account.private_key.replaceAll("\n", "\\n") }],
    ["one with an older form of key", { ...account, private_key: pem("pkcs1") }],
    ["one that names no endpoint", (({ token_uri: _, ...rest }) => rest)(account)],
  ])("may be %s", (_what, serviceAccount) => {
    expect(fcm({ serviceAccount }).name).toBe("fcm");
  });
});

describe("a target", () => {
  test("of the only project may name any app, or none", async () => {
    const { fake, provider, send } = await startStage();
    expect(provider.apps).toBeUndefined();
    await send({ token });
    await send({ token, app: "org.example.any" });
    expect(fake.sent.map(({ projectId }) => projectId)).toEqual(["my-project", "my-project"]);
    expect(provider.lane!({ token })).toBe("my-project");
  });

  test("goes to its app's project, each with its own access token and way to show", async () => {
    const { fake } = await startStage();
    const projects = [
      { serviceAccount: serviceAccount(fake.origin), apps: ["org.example.chat", "org.example.lite"] },
      { serviceAccount: serviceAccount(fake.origin, "other-project"), apps: ["org.example.shop"], android: "data" as const },
    ];
    const several = await startStage({ projects, serviceAccount: undefined, origin: fake.origin } as never);
    expect(several.provider.apps).toEqual(["org.example.chat", "org.example.lite", "org.example.shop"]);
    for (const app of several.provider.apps!) expect(await several.send({ token, app })).toMatchObject({ verdict: "sent" });
    expect(fake.sent.map(({ bearer, projectId, message }) => [projectId, bearer, message.android.notification !== undefined]))
      .toEqual([
        ["my-project", "ya29.access-token-1", true],
        ["my-project", "ya29.access-token-1", true],
        ["other-project", "ya29.access-token-2", false],
      ]);
    expect(several.provider.apps!.map((app) => several.provider.lane!({ token, app }))).toEqual([
      "my-project",
      "my-project",
      "other-project",
    ]);
    expect(await several.send({ token, app: "org.example.unknown" })).toMatchObject({ verdict: "rejected" });
  });

  test.each([["https://fcm.googleapis.com/fcm/send/abc", false], ['{"endpoint":"x"}', false], ["", false], ["a b", false], [
    token,
    true,
  ], ["cxyzABC123_-0123456789", true]])(
    "%s is taken: %s",
    (given, isTaken) => expect(fcm({ serviceAccount: account }).targetFault!({ token: given }) === undefined).toBe(isTaken),
  );
});
