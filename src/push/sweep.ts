import type { Logger } from "../ports/logger.ts";
import type { WorkItem } from "../ports/transport.ts";
import { isPublic, ownerOf } from "../protocol/names.ts";
import type { AwayPushes } from "./away.ts";
import { type ReadPage, remembering } from "./read_page.ts";
import type { TopicDecider } from "./topic_decider.ts";

/** What a sweep works with. */
export interface SweepParts {
  away: AwayPushes;
  topics: TopicDecider;
  read: ReadPage;
  logger: Logger;
}

/**
 * Decides about new entries of a log for devices that are away. It runs after the append, so a session that went away meanwhile either
 * stands in the store as away by now, or reads the head after writing that: nothing falls between.
 */
export function createSweep({ away, topics, read, logger }: SweepParts): (item: WorkItem) => Promise<void> {
  return async ({ topic, head }) => {
    try {
      if (isPublic(topic)) await topics.want(topic, head);
      else await away.decideTopic(ownerOf(topic), topic, head.offset, remembering(read));
    } catch (error) {
      logger.error("a sweep failed, it is tried again", { topic, error });
      throw error;
    }
  };
}
