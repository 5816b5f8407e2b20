import type { History, HistoryPage } from "../ports/transport.ts";
import type { Topic } from "../protocol/names.ts";

/** Reads a page of a log; a sweep shares what it read among many users. */
export type ReadPage = (topic: Topic, after: number) => Promise<HistoryPage>;

const PAGE = 500;

/** Without a history every log is empty. */
export function readPageOf(history: History | undefined): ReadPage {
  return async (topic, after) => {
    if (history !== undefined) return await history.read(topic, after, PAGE);
    return { entries: [], through: 0, expired: 0, head: { epoch: 0, offset: 0 }, floor: 0 };
  };
}

/** The same, reading each page once. */
export function remembering(read: ReadPage): ReadPage {
  const pages = new Map<string, Promise<HistoryPage>>();
  return (topic, after) => {
    const key = `${after} ${topic}`;
    let page = pages.get(key);
    if (page === undefined) pages.set(key, page = read(topic, after));
    return page;
  };
}
