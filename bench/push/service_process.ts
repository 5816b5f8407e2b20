import { Buffer } from "node:buffer";
import { constants, createSecureServer, type IncomingHttpHeaders, type ServerHttp2Session } from "node:http2";
import type { AddressInfo } from "node:net";
import { answerCommands } from "../fan_out/commands.ts";
import { certificate, key } from "../../test/tls/certificate.ts";

// A process that answers as APNs, FCM, Google's token endpoint and a Web Push service do when all is well, by the path that it is asked.

/** A request as it came, so that it can be sent again byte by byte. */
export interface Sample {
  path: string;
  headers: Record<string, string>;
  /** base64 */
  body: string;
}

/** What came since the last time. */
export interface Counts {
  requests: number;
  /** Recipients that were sent something, and those that were sent something under two ids. */
  recipients: number;
  doubled: number;
  /** Requests that came again under the same id. */
  repeated: number;
  /** Sessions that were sent away with streams open. */
  goaways: number;
}

let sample: Sample | undefined;
let requests = 0;
let repeated = 0;
let goaways = 0;
/** A GOAWAY after so many requests, again and again; 0: none. */
let goawayEvery = 0;
/** The last stream that is taken of a session that was sent away. */
const lastStream = new WeakMap<ServerHttp2Session, number>();
/** The ids under which each recipient was sent something. */
const ids = new Map<string, Set<string>>();

const server = createSecureServer({ cert: certificate, key, allowHTTP1: true, settings: { maxConcurrentStreams: 1_000 } });
server.on("sessionError", () => undefined);
server.on("stream", (stream, headers) => {
  const path = headers[":path"]!;
  const chunks: Buffer[] = [];
  stream.on("error", () => undefined);
  stream.on("data", (chunk: Buffer) => {
    if (sample === undefined) chunks.push(chunk);
  });
  stream.on("end", () => {
    const session = stream.session as ServerHttp2Session;
    if (stream.id! > (lastStream.get(session) ?? Infinity)) return;
    if (path !== "/token") sample ??= { path, headers: ownHeaders(headers), body: Buffer.concat(chunks).toString("base64") };
    if (path !== "/token") count(path, headers["apns-id"]);
    if (goawayEvery > 0 && requests % goawayEvery === 0) sendAway(session, stream.id!);
    const [answer, body] = answerTo(path, headers["apns-id"]);
    stream.respond(answer);
    stream.end(body);
  });
});
// HTTP/1.1, for senders that speak nothing else. The same event is told for HTTP/2.
server.on("request", (request, response) => {
  if (request.httpVersionMajor !== 1) return;
  request.resume();
  request.on("end", () => {
    requests++;
    response.writeHead(201, { location: `https://localhost/message/${requests}` });
    response.end();
  });
});

/** What it began with up to this stream is answered, what comes after that is not taken. */
function sendAway(session: ServerHttp2Session, stream: number): void {
  goaways++;
  lastStream.set(session, stream);
  session.goaway(constants.NGHTTP2_NO_ERROR, stream);
}

function count(path: string, id: string | string[] | undefined): void {
  requests++;
  if (goawayEvery === 0 || typeof id !== "string") return;
  const known = ids.get(path) ?? new Set();
  ids.set(path, known);
  if (known.has(id)) repeated++;
  known.add(id);
}

function answerTo(path: string, id: string | string[] | undefined): [Record<string, string | number>, string] {
  if (path.startsWith("/3/device/")) return [{ ":status": 200, "apns-id": String(id) }, ""];
  if (path === "/token") {
    return [
      { ":status": 200, "content-type": "application/json" },
      JSON.stringify({ access_token: "a", expires_in: 3_600, token_type: "Bearer" }),
    ];
  }
  if (path.startsWith("/v1/projects/")) {
    const name = `projects/peyk-bench/messages/0:${requests}`;
    return [{ ":status": 200, "content-type": "application/json; charset=UTF-8" }, JSON.stringify({ name })];
  }
  return [{ ":status": 201, location: `https://localhost/message/${requests}` }, ""];
}

function ownHeaders(headers: IncomingHttpHeaders): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).flatMap(([name, value]) => name.startsWith(":") ? [] : [[name, String(value)]]),
  );
}

answerCommands({
  start: async () => {
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return (server.address() as AddressInfo).port;
  },
  /** The first request since the last time that this was asked, those for tokens aside. */
  sample: () => {
    const taken = sample;
    sample = undefined;
    return taken;
  },
  goaway: ({ every }: { every: number }) => {
    goawayEvery = every;
  },
  counts: (): Counts => {
    const all = [...ids.values()];
    const counts = { requests, recipients: ids.size, doubled: all.filter(({ size }) => size > 1).length, repeated, goaways };
    [requests, repeated, goaways] = [0, 0, 0];
    ids.clear();
    return counts;
  },
});
