import type { Acceptor, Connection, ConnectionRequest, UpgradeRefusal } from "../../src/ports/connection.ts";

/** What one connection lived through. */
export interface Recorded {
  connection: Connection;
  request: ConnectionRequest;
  messages: Uint8Array[];
  drained: number;
  /** One entry for each call of `closed`. */
  closed: number[];
}

/** Stands in for the engine: writes down what gateways report and sends every message back. */
export class RecordingAcceptor implements Acceptor {
  readonly maxFrameBytes = 65_536;
  readonly all: Recorded[] = [];
  readonly refusals: { reason: UpgradeRefusal; what: string }[] = [];
  /** Called for each message. Default: echo. */
  onMessage: (record: Recorded, bytes: Uint8Array) => void = ({ connection }, bytes) => connection.send(bytes);

  accept(connection: Connection, request: ConnectionRequest) {
    const record: Recorded = { connection, request, messages: [], drained: 0, closed: [] };
    this.all.push(record);
    return {
      message: (bytes: Uint8Array) => {
        record.messages.push(bytes);
        this.onMessage(record, bytes);
      },
      drained: () => void record.drained++,
      closed: (code: number) => void record.closed.push(code),
    };
  }

  refused(reason: UpgradeRefusal, what: string): void {
    this.refusals.push({ reason, what });
  }

  get last(): Recorded {
    const record = this.all.at(-1);
    if (record === undefined) throw new Error("nothing was accepted");
    return record;
  }

  /** Connections whose `closed` was not called. */
  get open(): number {
    return this.all.filter(({ closed }) => closed.length === 0).length;
  }
}
