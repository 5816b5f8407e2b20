import { Buffer } from "node:buffer";
import { createSecureServer, type IncomingHttpHeaders, type ServerHttp2Session, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import { jwtVerify } from "jose";
import { certificate, key } from "../tls/certificate.ts";
import { accountKey } from "./account.ts";

/** What the service answers. */
export interface Reply {
  status: number;
  headers?: Record<string, string>;
  /** An object becomes JSON. */
  body?: object | string;
}

/** A push as it arrived. */
export interface Sent {
  projectId: string;
  bearer: string;
  bytes: number;
  // deno-lint-ignore no-explicit-any
  message: any;
}

/** Takes the next requests in the service's place. "silent": nothing is answered. Undefined: as the service does. */
export type Script<Asked> = (asked: Asked, count: number) => Reply | "silent" | undefined;

/** The service, as it is published: https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages/send */
export interface FakeFcm {
  readonly origin: string;
  readonly sent: readonly Sent[];
  /** The assertions that tokens were asked with. */
  readonly assertions: readonly string[];
  /** Every access token that was given out. */
  readonly tokens: readonly string[];
  onSend: Script<Sent>;
  onToken: Script<URLSearchParams>;
  /** No access token that was given out before is accepted any more. */
  withdrawTokens(): void;
  close(): Promise<void>;
}

/** An error as FCM says it. */
export function fcmError(status: number, canonical: string, errorCode?: string, details: object[] = []): Reply {
  const of = errorCode === undefined ? [] : [{ "@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", errorCode }];
  return {
    status,
    body: { error: { code: status, message: "Said to people", status: canonical, details: [...of, ...details] } },
  };
}

/** A detail that names a field. */
export function violation(field: string): object {
  return {
    "@type": "type.googleapis.com/google.rpc.BadRequest",
    fieldViolations: [{ field, description: `Invalid value at '${field}'` }],
  };
}

export async function startFakeFcm(): Promise<FakeFcm> {
  const sessions = new Set<ServerHttp2Session>();
  const server = createSecureServer({ cert: certificate, key });
  const sent: Sent[] = [];
  const assertions: string[] = [];
  const tokens: string[] = [];
  let accepted = new Set<string>();
  const fake: FakeFcm = {
    origin: "",
    sent,
    assertions,
    tokens,
    onSend: () => undefined,
    onToken: () => undefined,
    withdrawTokens: () => void (accepted = new Set()),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const session of sessions) session.destroy();
      }),
  };

  server.on("session", (session) => {
    sessions.add(session);
    session.on("close", () => sessions.delete(session));
    session.on("error", () => {});
  });
  server.on("sessionError", () => {});
  server.on("stream", (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
    stream.on("error", () => {});
    const chunks: Buffer[] = [];
    stream.on("data", (chunk: Buffer) => void chunks.push(chunk));
    stream.on("end", async () => {
      const reply = await answer(headers, Buffer.concat(chunks));
      if (reply === "silent" || stream.destroyed) return;
      const isText = typeof reply.body === "string";
      stream.respond({ ":status": reply.status, "content-type": isText ? "text/html" : "application/json", ...reply.headers });
      stream.end(isText ? reply.body as string : JSON.stringify(reply.body ?? {}));
    });
  });

  async function answer(headers: IncomingHttpHeaders, body: Buffer): Promise<Reply | "silent"> {
    const path = headers[":path"] as string;
    if (headers[":method"] !== "POST") return { status: 405, body: "<html>405</html>" };
    if (path === "/token") return await giveToken(new URLSearchParams(body.toString()));
    const projectId = /^\/v1\/projects\/([^/]+)\/messages:send$/.exec(path)?.[1];
    return projectId === undefined
      ? { status: 404, body: "<html>Not Found</html>" }
      : take(decodeURIComponent(projectId), headers, body);
  }

  /** https://developers.google.com/identity/protocols/oauth2/service-account#httprest */
  async function giveToken(asked: URLSearchParams): Promise<Reply | "silent"> {
    const assertion = asked.get("assertion") ?? "";
    assertions.push(assertion);
    const scripted = fake.onToken(asked, assertions.length);
    if (scripted !== undefined) return scripted;
    if (asked.get("grant_type") !== "urn:ietf:params:oauth:grant-type:jwt-bearer") {
      return oauthError("unsupported_grant_type", "");
    }
    try {
      const { payload, protectedHeader } = await jwtVerify(assertion, accountKey, {
        algorithms: ["RS256"],
        audience: `${fake.origin}/token`,
      });
      const { exp = 0, iat = 0, iss, scope } = payload;
      const isWhole = exp - iat <= 3_600 && iss?.endsWith(".iam.gserviceaccount.com") === true && protectedHeader.kid === "key-1";
      if (!isWhole || scope !== "https://www.googleapis.com/auth/firebase.messaging") return oauthError("invalid_scope", "");
    } catch {
      return oauthError("invalid_grant", "Invalid JWT Signature.");
    }
    const token = `ya29.access-token-${tokens.length + 1}`;
    tokens.push(token);
    accepted.add(token);
    return { status: 200, body: { access_token: token, expires_in: 3_599, token_type: "Bearer" } };
  }

  function take(projectId: string, headers: IncomingHttpHeaders, body: Buffer): Reply | "silent" {
    const bearer = /^Bearer (.+)$/.exec(headers.authorization ?? "")?.[1] ?? "";
    const { message } = JSON.parse(body.toString());
    const one: Sent = { projectId, bearer, bytes: body.length, message };
    sent.push(one);
    const scripted = fake.onSend(one, sent.length);
    if (scripted !== undefined) return scripted;
    if (!accepted.has(bearer)) return fcmError(401, "UNAUTHENTICATED");
    return faultOf(message) ??
      { status: 200, body: { name: `projects/${projectId}/messages/0:17000000${sent.length}%31bd1c9631bd1c96` } };
  }

  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return Object.assign(fake, { origin: `https://localhost:${(server.address() as AddressInfo).port}` });
}

function oauthError(error: string, error_description: string): Reply {
  return { status: 400, body: { error, error_description } };
}

/** What FCM finds fault with in a message. */
function faultOf(message: Sent["message"]): Reply | undefined {
  const bad = (field: string) => fcmError(400, "INVALID_ARGUMENT", undefined, [violation(field)]);
  const { token, fid, data = {}, android = {}, ...others } = message;
  const [unknown] = Object.keys(others);
  if (unknown !== undefined) return bad(`message.${unknown}`);
  if ((token === undefined) === (fid === undefined)) return bad("message");
  for (const [index, [name, value]] of Object.entries(data).entries()) {
    if (typeof value !== "string") return bad(`message.data[${index}].value`);
    if (/^(from|message_type|gcm.*|google.*)$/.test(name)) return bad(`message.data[${index}].key`);
  }
  const seconds = Number(/^(\d+)s$/.exec(android.ttl)?.[1] ?? NaN);
  if (!(seconds <= 2_419_200)) return bad("message.android.ttl");
  if (!["HIGH", "NORMAL"].includes(android.priority)) return bad("message.android.priority");
  const shown = Object.entries(android.notification ?? {}).map(([name, value]) => `${name}${value}`);
  const payload = [...Object.entries(data).flat(), ...shown].join("");
  // Oversize has no details.
  return Buffer.byteLength(payload) > 4_096 ? fcmError(400, "INVALID_ARGUMENT") : undefined;
}
