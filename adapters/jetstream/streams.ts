import type { StorageContext } from "../../src/ports/storage.ts";
import { PeykError } from "../../src/protocol/errors.ts";
import type { Durability } from "../../src/protocol/message.ts";
import { unavailable } from "../nats/errors.ts";
import { type Api, apiCode, type ApiError, noRoom, PATIENCE_MS } from "./api.ts";
import { logStream } from "./log_format.ts";

/** What all streams of one storage are like. */
export interface LogOptions {
  readonly name: string;
  readonly partitions: number;
  readonly replicas: number;
  /** Of all log streams together; -1: the server's own limits only. */
  readonly maxBytes: number;
  readonly idempotencyMs: number;
  /** What a publish is answered with. */
  readonly durability: Durability;
}

/** A log stream, as it was found or made. */
export interface LogStream {
  readonly name: string;
  readonly partition: number;
  /** Of this life of the stream. */
  readonly epoch: number;
  readonly lastSequence: number;
}

/** How a stream is described in JetStream's API, as far as it matters here. */
interface StreamInfo {
  config: Record<string, unknown> & { metadata?: Record<string, string> };
  state: { last_seq: number };
}

/** How logs, users and pushes are written. Streams of another format are refused as they are. */
export const FORMAT = 8;
const NANOS = 1_000_000;

/**
 * Whether the server can do what is needed, and lets us.
 * @throws {PeykError} `bad-config`, `unavailable`
 */
export async function checkServer(api: Api): Promise<void> {
  const { link } = api;
  const { version, jetstream } = link.connection.info ?? {};
  if (version === undefined) throw unavailable("the connection to NATS is not there now");
  const [major = 0, minor = 0] = version.split(".").map(Number);
  if (major < 2 || (major === 2 && minor < 12)) {
    throw new PeykError("bad-config", `nats-server ${version} is too old for peyk/jetstream: it needs 2.12`, {
      hint: "Update the servers, or use peyk/nats, which takes any version and keeps no logs.",
    });
  }
  // A server without JetStream may know one that has it.
  const patience = jetstream === true ? PATIENCE_MS : PATIENCE_MS / 5;
  const { error } = await api.ask("INFO", {}, patience, () => link.complaint !== undefined).catch((cause) => {
    throw link.complaint === undefined ? silent(cause) : forbidden(link.complaint);
  });
  if (error !== undefined) throw disabled(error);
}

/**
 * Finds a log stream, or makes it. Nodes that start at once find the one that the first of them made.
 * @throws {PeykError} `bad-config`, `storage-version`, `storage-full`, `unavailable`
 */
export async function openLog(
  api: Api,
  random: StorageContext["random"],
  options: LogOptions,
  partition: number,
): Promise<LogStream> {
  const name = logStream(options.name, partition);
  const wanted = configOf(options, partition, 1 + Math.floor(random.fraction() * 0x7fff_fffe));
  let info = await findLog(api, name);
  if (info === undefined) {
    const made = await api.ask<StreamInfo>(`STREAM.CREATE.${name}`, wanted);
    if (made.error === undefined) info = made;
    else if (made.error.err_code === apiCode.streamExists) info = await findLog(api, name);
    else throw refused(name, made.error);
    if (info === undefined) throw unavailable(`the stream ${name} vanished while it was opened`);
  }
  check(name, info, wanted);
  return { name, partition, epoch: epochOf(info), lastSequence: info.state.last_seq };
}

/** @returns undefined: there is no such stream */
export async function findLog(api: Api, name: string, ms?: number): Promise<StreamInfo | undefined> {
  const info = await api.ask<StreamInfo>(`STREAM.INFO.${name}`, {}, ms);
  if (info.error === undefined) return info;
  if (info.error.err_code === apiCode.streamNotFound) return undefined;
  throw unavailable(`NATS says of the stream ${name}: ${info.error.description}`);
}

/** Says that positions from now on are in another life of the log. */
export async function renameLife(api: Api, { config }: StreamInfo, epoch: number): Promise<number> {
  const metadata = { ...config.metadata, "peyk-epoch": `${epoch}` };
  const answer = await api.ask<StreamInfo>(`STREAM.UPDATE.${config["name"]}`, { ...config, metadata });
  if (answer.error !== undefined) throw unavailable(`NATS does not change the stream: ${answer.error.description}`);
  return epoch;
}

export function epochOf({ config }: StreamInfo): number {
  return Number(config.metadata?.["peyk-epoch"]);
}

function configOf(
  { name, partitions, replicas, maxBytes, idempotencyMs }: LogOptions,
  partition: number,
  epoch: number,
): StreamInfo["config"] {
  return {
    name: logStream(name, partition),
    subjects: [`${name}.log.${partition}.*.*`],
    storage: "file",
    retention: "limits",
    // What does not fit is refused: nothing is evicted before it expired.
    discard: "new",
    max_age: 0,
    max_msgs: -1,
    max_msgs_per_subject: -1,
    max_bytes: maxBytes < 0 ? -1 : Math.floor(maxBytes / partitions),
    allow_msg_ttl: true,
    allow_direct: true,
    duplicate_window: Math.floor(idempotencyMs) * NANOS,
    num_replicas: replicas,
    metadata: { "peyk-format": `${FORMAT}`, "peyk-partitions": `${partitions}`, "peyk-epoch": `${epoch}` },
  };
}

/** What a stream of ours must agree in with the options. Other things are the operator's to change. */
const AGREED = [
  "subjects",
  "storage",
  "retention",
  "discard",
  "max_age",
  "max_msgs",
  "max_msgs_per_subject",
  "max_bytes",
  "allow_msg_ttl",
  "allow_direct",
  "duplicate_window",
  "num_replicas",
  // With "async" the server answers before it has written anything: less than any answer of ours says.
  "persist_mode",
];

function check(name: string, { config }: StreamInfo, wanted: StreamInfo["config"]): void {
  const metadata = config.metadata ?? {};
  const format = Number(metadata["peyk-format"]);
  if (!(format > 0) || !(Number(metadata["peyk-epoch"]) > 0)) {
    throw new PeykError("bad-config", `the stream ${name} is not one of Peyk's`, {
      hint: "Give another name, or remove that stream. Nothing in it was changed.",
    });
  }
  if (format !== FORMAT) throw otherVersion(name, format);
  const differing = AGREED.filter((key) => JSON.stringify(config[key]) !== JSON.stringify(wanted[key]));
  if (metadata["peyk-partitions"] !== wanted.metadata!["peyk-partitions"]) differing.push("partitions");
  if (differing.length === 0) return;
  const list = differing.map((key) => {
    const [is, want] = key === "partitions"
      ? [metadata["peyk-partitions"], wanted.metadata!["peyk-partitions"]]
      : [JSON.stringify(config[key]), JSON.stringify(wanted[key])];
    return `${key} is ${is}, not ${want}`;
  });
  throw new PeykError("bad-config", `the stream ${name} has another configuration: ${list.join("; ")}`, {
    hint:
      "Open it with the options that it was made with, or change the stream first (`nats stream edit`). Nothing in it was changed.",
  });
}

/** A stream of ours in a format that this version does not read. */
export function otherVersion(name: string, format: number): PeykError {
  if (format > FORMAT) {
    return new PeykError("storage-version", `the stream ${name} was made by a newer version of Peyk`, {
      hint: "Update Peyk, or give another name. Nothing in it was changed.",
    });
  }
  return new PeykError(
    "storage-version",
    `the stream ${name} was made by an older version of Peyk, whose streams this one does not read`,
    { hint: "Give another name, or go on with the version that made it. Nothing in it was changed." },
  );
}

/** Why NATS does not make a stream. */
export function refused(name: string, { code, err_code, description }: ApiError): PeykError {
  const message = `NATS does not make the stream ${name}: ${description}`;
  if (noRoom.has(err_code) || (err_code === apiCode.noPeers && / placement, insufficient storage$/.test(description))) {
    return new PeykError("storage-full", message, {
      retryable: true,
      hint: "Give JetStream more room, or set a smaller maxBytes.",
    });
  }
  if (code === 503) return unavailable(message);
  if (err_code === apiCode.streamExists || err_code === apiCode.subjectsOverlap) {
    return new PeykError("bad-config", message, {
      hint: "Another stream has that name or these subjects, made otherwise. Give another name, or remove that stream.",
    });
  }
  return new PeykError("bad-config", message, {
    hint:
      "Change the option, or the account's limits and the servers' number: replicas need as many servers, some accounts need maxBytes.",
  });
}

function disabled({ description }: ApiError): PeykError {
  return new PeykError("bad-config", `this NATS account has no JetStream: ${description}`, {
    hint: "Start the servers with a jetstream block, and enable it for the account.",
  });
}

function forbidden(cause: unknown): PeykError {
  return new PeykError("bad-config", "this NATS user may not use JetStream's API", {
    hint: "Allow it to publish to $JS.API.>, $JS.ACK.>, $JS.FC.> and the name's own subjects, and to subscribe to its inboxes.",
    cause,
  });
}

/** Nobody serves the API: no server that this one knows has JetStream, or its cluster has no leader. */
function silent(cause: unknown): PeykError {
  return new PeykError("unavailable", "JetStream does not answer", {
    retryable: true,
    hint: "Start nats-server with a jetstream block (-js); a cluster needs a quorum of its servers.",
    cause,
  });
}
