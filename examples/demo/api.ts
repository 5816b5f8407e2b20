import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";
import { type Engine, type MessageRef, PeykError } from "peyk";
import type { Asset } from "./assets.ts";
import { people } from "./people.ts";
import type { PushService } from "./push_service.ts";
import type { Stage } from "./stage.ts";

/** Far more than the page ever sends. */
const MAX_BODY_BYTES = 16 * 1024;
const MAX_CONTENT = 500;
const MAX_LINE = 64;

interface ApiParts {
  readonly engine: Engine;
  readonly stage: Stage;
  readonly pushService: PushService;
  readonly assets: ReadonlyMap<string, Asset>;
}

/** What the demo answers over HTTP: its pages, and a few calls of theirs in JSON. */
export function createApi({ engine, stage, pushService, assets }: ApiParts): RequestListener {
  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname, searchParams } = new URL(request.url ?? "/", "http://demo");
    const call = `${request.method} ${pathname}`;
    switch (call) {
      case "GET /":
        return sendAsset(response, assets.get(searchParams.has("solo") ? "/solo" : "/"));
      case "GET /api/events":
        return await stage.addPage(response, engine);
      case "POST /api/messages": {
        const draft = draftOf(await readJson(request));
        const id = crypto.randomUUID();
        stage.announce(id, draft.content);
        return sendJson(response, 201, await engine.publish({ ...draft, id, useAsAlert: true }));
      }
      case "GET /api/explanation":
        return sendJson(response, 200, await explain(refOf(searchParams)));
      case "POST /api/cut": {
        const { line } = await readJson(request);
        return sendJson(response, 200, { cut: stage.cut(text(line, "line", MAX_LINE)) });
      }
      case "POST /push":
        if (!pushService.receive(request.headers, await readBody(request))) {
          throw new Refusal(401, "unsigned", "Only the engine pushes, and it signs what it sends.");
        }
        return sendJson(response, 200, {});
    }
    if (request.method !== "GET") throw new Refusal(405, "method-not-allowed", "There is nothing here to do that with.");
    const asset = assets.get(pathname);
    if (asset === undefined) throw new Refusal(404, "not-found", "There is nothing under this address.");
    sendAsset(response, asset);
  }

  async function explain(message: MessageRef): Promise<unknown> {
    const explanation = await engine.explain(message);
    if (explanation === undefined) throw new Refusal(404, "not-found", "The engine does not remember this message any more.");
    return { ...explanation, devices: explanation.devices.map((device) => ({ ...device, ...stage.tag(device) })) };
  }

  return (request, response) => {
    answer(request, response).catch((error: unknown) => refuse(response, error));
  };
}

/** A request that is not answered as wished. */
class Refusal extends Error {
  readonly status: number;
  readonly code: string;

  constructor(status: number, code: string, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

function refuse(response: ServerResponse, error: unknown): void {
  if (response.headersSent) return void response.destroy();
  if (error instanceof Refusal) {
    // What was not read of the body is not wanted any more.
    if (error.status === 413) response.setHeader("connection", "close");
    sendJson(response, error.status, { error: { code: error.code, message: error.message } });
  } else if (error instanceof PeykError) {
    const { code, message, hint } = error;
    sendJson(response, error.retryable ? 503 : 400, { error: { code, message, hint } });
  } else {
    console.error(error);
    sendJson(response, 500, { error: { code: "internal", message: "The demo failed. Its console says how." } });
  }
}

/** What names a message in an address. The engine checks it. */
function refOf(fields: URLSearchParams): MessageRef {
  const whole = (field: string): number => Number(fields.get(field) ?? NaN);
  return { topic: fields.get("topic") ?? "", position: { epoch: whole("epoch"), offset: whole("offset") } };
}

/** Checks a message that the page wants to send. */
function draftOf(body: Record<string, unknown>): { to: string; channel: string; content: string; urgency: "low" | "normal" } {
  const { channel = "default", urgency = "normal" } = body;
  const to = text(body.to, "to", MAX_LINE);
  if (to !== "*" && !people.some(({ id }) => id === to)) {
    throw new Refusal(400, "no-such-person", `Nobody here is called "${to}".`);
  }
  if (urgency !== "low" && urgency !== "normal") throw new Refusal(400, "bad-field", 'urgency: "low" or "normal".');
  return { to, channel: text(channel, "channel", MAX_LINE), content: text(body.content, "content", MAX_CONTENT), urgency };
}

function text(value: unknown, field: string, most: number): string {
  if (typeof value === "string" && value.trim() !== "" && value.length <= most) return value;
  throw new Refusal(400, "bad-field", `${field}: a text of 1 to ${most} characters.`);
}

/** Only JSON is taken: a foreign page can't send that without asking first. */
async function readJson(request: IncomingMessage): Promise<Record<string, unknown>> {
  if (!request.headers["content-type"]?.startsWith("application/json")) {
    throw new Refusal(415, "not-json", "Send JSON, as content-type application/json.");
  }
  const body = await readBody(request);
  try {
    const value: unknown = JSON.parse(body.toString());
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch {
    // The answer is the same.
  }
  throw new Refusal(400, "not-json", "The body is no JSON object.");
}

async function readBody(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > MAX_BODY_BYTES) throw new Refusal(413, "too-large", `The body is longer than ${MAX_BODY_BYTES} bytes.`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function sendAsset(response: ServerResponse, asset: Asset | undefined): void {
  response.writeHead(200, { "content-type": asset?.type, "cache-control": "no-store" }).end(asset?.body);
}

function sendJson(response: ServerResponse, status: number, value: unknown): void {
  response.writeHead(status, { "content-type": "application/json; charset=utf-8", "cache-control": "no-store" });
  response.end(JSON.stringify(value));
}
