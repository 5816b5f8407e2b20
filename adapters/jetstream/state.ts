import type { Outbox } from "../../src/ports/outbox.ts";
import type { StorageContext } from "../../src/ports/storage.ts";
import type { Users } from "../../src/ports/users.ts";
import { Leases } from "./leases.ts";
import { JetStreamOutbox } from "./outbox.ts";
import { OutboxFollower } from "./outbox_follower.ts";
import { OutboxIndex } from "./outbox_index.ts";
import { type StateConnection, StateStream } from "./state_stream.ts";
import { JetStreamUsers } from "./users.ts";

/** What the state is opened with. */
export interface StateOptions {
  readonly connection: StateConnection;
  /** What the stream and its subjects begin with: letters, digits, `_` and `-`. */
  readonly name: string;
  readonly replicas: number;
  readonly context: StorageContext;
}

/** The opened state. */
export interface State {
  readonly users: Users;
  readonly outbox: Outbox;
  /** Finishes what is under way, and stops following the outbox. The connection stays open. */
  close(): Promise<void>;
}

/**
 * Opens users, leases and the outbox.
 * @throws {PeykError} `bad-config`, `unavailable`
 */
export async function openState({ connection, name, replicas, context }: StateOptions): Promise<State> {
  const stream = new StateStream(connection, name, context.random);
  const index = new OutboxIndex();
  const follower = new OutboxFollower(stream, connection, index, context);
  async function close(): Promise<void> {
    follower.close();
    await stream.close();
  }
  try {
    await stream.open(replicas);
    await follower.open();
  } catch (error) {
    await close();
    throw error;
  }
  const outbox = new JetStreamOutbox(stream, context, index);
  const leases = new Leases(stream, context.clock);
  return {
    users: new JetStreamUsers(stream, context.random, outbox, leases),
    outbox,
    close,
  };
}
