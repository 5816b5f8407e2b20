import type { Outbox } from "../../src/ports/outbox.ts";
import type { StorageContext } from "../../src/ports/storage.ts";
import type { Users } from "../../src/ports/users.ts";
import type { Api } from "./api.ts";
import { Leases } from "./leases.ts";
import { JetStreamOutbox } from "./outbox.ts";
import { OutboxFollower } from "./outbox_follower.ts";
import { OutboxIndex } from "./outbox_index.ts";
import { StateStream } from "./state_stream.ts";
import { JetStreamUsers } from "./users.ts";

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
  const outbox = new JetStreamOutbox(stream, context, index);
  const leases = new Leases(stream, context.clock);
  return {
    users: new JetStreamUsers(stream, context.random, outbox, leases),
    outbox,
    close: () => follower.close(),
  };
}
