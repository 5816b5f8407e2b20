import type { Outbox } from "../../src/ports/outbox.ts";
import type { StorageContext } from "../../src/ports/storage.ts";
import type { Users } from "../../src/ports/users.ts";
import type { Api } from "./api.ts";
import { Leases } from "./leases.ts";
import { OpenRows } from "./open_rows.ts";
import { JetStreamOutbox } from "./outbox.ts";
import { OutboxAdditions } from "./outbox_additions.ts";
import { OutboxChanges } from "./outbox_changes.ts";
import { OutboxFollower } from "./outbox_follower.ts";
import { OutboxIndex } from "./outbox_index.ts";
import { StateStream } from "./state_stream.ts";
import { TopicDecisions } from "./topic_decisions.ts";
import { JetStreamUsers } from "./users.ts";
import { VersionWriter } from "./versions.ts";

/** What the state is opened with. */
export interface StateOptions {
  readonly api: Api;
  /** What the stream and its subjects begin with: letters, digits, `_` and `-`. */
  readonly name: string;
  readonly replicas: number;
  readonly context: StorageContext;
}

/** The opened state. */
export interface State {
  readonly users: Users;
  readonly outbox: Outbox;
  /** What is in memory of users, topics and open rows, bytes, about. */
  heldBytes(): number;
  /** Stops following the outbox. */
  close(): void;
}

/**
 * Opens users, leases and the outbox.
 * @throws {PeykError} `bad-config`, `storage-version`, `storage-full`, `unavailable`
 */
export async function openState({ api, name, replicas, context }: StateOptions): Promise<State> {
  const stream = new StateStream(api, name, context);
  await stream.open(replicas);
  const index = new OutboxIndex();
  const follower = new OutboxFollower(stream, index, context);
  try {
    await follower.open();
  } catch (error) {
    follower.close();
    throw error;
  }
  const rows = new OpenRows(stream, index, context.clock);
  const changes = new OutboxChanges(stream, context, index, rows);
  const writer = new VersionWriter(stream, context.random, new OutboxAdditions(stream, context, index, rows));
  const decisions = new TopicDecisions(stream, writer);
  const users = new JetStreamUsers(stream, writer, new Leases(stream, context.clock));
  return {
    users,
    outbox: new JetStreamOutbox({ stream, context, index, rows, changes, decisions }),
    heldBytes: () => users.heldBytes + decisions.heldBytes + index.bytes,
    close: () => follower.close(),
  };
}
