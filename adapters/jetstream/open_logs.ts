import type { StorageContext } from "../../src/ports/storage.ts";
import type { Api } from "./api.ts";
import { LogHistory } from "./history.ts";
import { Logs, Partition } from "./logs.ts";
import { NatsPeers } from "./peers.ts";
import { Publisher } from "./publisher.ts";
import { checkServer, type LogOptions, openLog } from "./streams.ts";
import { SweepWork } from "./work.ts";

/** The logs of a storage, opened: everything of it but users and outbox. */
export interface OpenLogs {
  readonly transport: Logs;
  readonly history: LogHistory;
  readonly work: SweepWork;
  readonly peers: NatsPeers;
  close(): Promise<void>;
}

/** @throws {PeykError} what `Storage.open` says */
export async function openLogs(api: Api, options: LogOptions, context: StorageContext): Promise<OpenLogs> {
  const { clock, random } = context;
  const publisher = new Publisher(api, clock, options.durability);
  const partitions: Partition[] = [];
  const closeTails = (): Promise<unknown> => Promise.all(partitions.map(({ tail }) => tail.close()));
  try {
    await checkServer(api);
    for (let index = 0; index < options.partitions; index++) {
      partitions.push(new Partition(api, context, await openLog(api, random, options, index)));
    }
    await Promise.all(partitions.map(({ tail }) => tail.open()));
  } catch (error) {
    await publisher.close();
    await closeTails();
    throw error;
  }
  const transport = new Logs(options.name, api, publisher, partitions);
  const work = new SweepWork(api, context, partitions);
  const history = new LogHistory(api, clock, transport, work);
  const peers = new NatsPeers(options.name, api.link, api.inbox, context);
  return {
    transport,
    history,
    work,
    peers,
    async close() {
      transport.close();
      peers.close();
      await Promise.all([work.close(), publisher.close()]);
      history.close();
      await closeTails();
    },
  };
}
