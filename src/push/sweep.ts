import type { Logger } from "../ports/logger.ts";
import { isPublic, ownerOf } from "../protocol/names.ts";
import type { WorkItem } from "../ports/transport.ts";
import type { UserRecords } from "../delivery/records.ts";
import type { AwayPushes } from "./away.ts";
import { type ReadPage, remembering } from "./read_page.ts";

/** What a sweep works with. */
export interface SweepParts {
  records: UserRecords;
  decisions: AwayPushes;
  read: ReadPage;
  logger: Logger;
}

/** Members of a public topic that are looked at in one step. */
const PAGE = 200;

/**
 * Decides about new entries of a log for everybody who is away. It runs after the append, so whoever went away meanwhile
 * either stands in the store as away by now, or reads the head after writing that: nobody falls between.
 */
export function createSweep({ records, decisions, read, logger }: SweepParts): (item: WorkItem) => Promise<void> {
  return async ({ topic, head }) => {
    try {
      const shared = remembering(read);
      if (!isPublic(topic)) return await decisions.decideTopic(ownerOf(topic), topic, head.offset, shared);
      let after: string | undefined;
      do {
        const { names, next } = await records.store.awayMembers(topic, { after, limit: PAGE });
        await Promise.all(names.map((userId) => decisions.decideTopic(userId, topic, head.offset, shared)));
        after = next;
      } while (after !== undefined);
    } catch (error) {
      logger.error("a sweep failed, it is tried again", { topic, error });
      throw error;
    }
  };
}
