import { expect, test } from "vitest";
import { PeykError } from "../../mod.ts";
import { Batches } from "../../adapters/jetstream/batches.ts";
import type { Draft, Outcome } from "../../adapters/jetstream/state_format.ts";

/** A server that takes batches when it is told to, and refuses those with certain documents. */
class Server {
  readonly sent: string[][] = [];
  readonly stored: string[] = [];
  readonly conflicts = new Set<string>();
  readonly tooLarge = new Set<string>();
  fault: { outcome?: Outcome; error?: Error } | undefined;
  #answers: (() => void)[] = [];
  #seq = 100;

  send = async (drafts: readonly Draft[]): Promise<Outcome> => {
    const subjects = drafts.map(({ subject }) => subject);
    this.sent.push(subjects);
    await new Promise<void>((resolve) => this.#answers.push(resolve));
    if (this.fault?.error !== undefined) throw this.fault.error;
    if (this.fault?.outcome !== undefined) return this.fault.outcome;
    if (subjects.some((subject) => this.tooLarge.has(subject))) throw new PeykError("too-large", "too many bytes");
    if (subjects.some((subject) => this.conflicts.has(subject))) return { kind: "conflict" };
    this.stored.push(...subjects);
    return { kind: "stored", seq: this.#seq += drafts.length };
  };

  /** Answers what is under way, and all that follows from it. */
  async answer(): Promise<void> {
    while (this.#answers.length > 0) {
      for (const answer of this.#answers.splice(0)) answer();
      await new Promise((resolve) => setTimeout(resolve, 0));
    }
  }
}

const ROOM = 12;

function drafts(...subjects: string[]): Draft[] {
  return subjects.map((subject) => ({ subject, bytes: new Uint8Array() }));
}

/** All places are taken: what is written from here on waits. */
function busy(): { server: Server; batches: Batches } {
  const server = new Server();
  const batches = new Batches(server.send);
  for (let i = 0; i < ROOM; i++) void batches.write(drafts(`busy ${i}`, `busy ${i} too`));
  expect(server.sent.length).toBe(ROOM);
  return { server, batches };
}

test("writes leave alone while there is room, and those that waited leave together, each with the sequence of its own last document", async () => {
  const { server, batches } = busy();
  const writes = [drafts("a", "a2"), drafts("b", "b2", "b3"), drafts("c", "c2")].map((each) => batches.write(each));
  expect(server.sent.length).toBe(ROOM);
  await server.answer();
  expect(server.sent.slice(ROOM)).toEqual([["a", "a2", "b", "b2", "b3", "c", "c2"]]);
  // The others have taken 101 to 124.
  expect(await Promise.all(writes)).toEqual([126, 129, 131].map((seq) => ({ kind: "stored", seq })));
});

test.each([0, 3, 7, 8])(
  "a write in conflict (%i of nine) is refused, and the others that left with it are stored, once",
  async (culprit) => {
    const { server, batches } = busy();
    server.conflicts.add(`${culprit}`);
    const writes = Array.from({ length: 9 }, (_, index) => batches.write(drafts(`${index} first`, `${index}`)));
    await server.answer();
    const outcomes = await Promise.all(writes);
    expect(outcomes.map(({ kind }) => kind)).toEqual(writes.map((_, index) => index === culprit ? "conflict" : "stored"));
    const ours = server.stored.filter((subject) => !subject.startsWith("busy"));
    expect(new Set(ours).size).toBe(16);
    expect(ours.length).toBe(16);
    const seqs = outcomes.flatMap((outcome) => outcome.kind === "stored" ? [outcome.seq] : []);
    for (const [index, outcome] of outcomes.entries()) {
      if (outcome.kind === "stored") expect(server.stored[outcome.seq - 101]).toBe(`${index}`);
    }
    expect(new Set(seqs).size).toBe(8);
  },
);

test("one that is too large is refused alone", async () => {
  const { server, batches } = busy();
  server.tooLarge.add("large");
  const writes = [drafts("a", "a2"), drafts("large", "b"), drafts("c", "c2")].map((each) => batches.write(each));
  const settled = Promise.allSettled(writes);
  await server.answer();
  expect((await settled).map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
  await expect(writes[1]).rejects.toMatchObject({ code: "too-large" });
  expect(server.stored.slice(2 * ROOM).sort()).toEqual(["a", "a2", "c", "c2"]);
});

test("when nobody knows what became of a batch, nobody knows it of any of its writes; nothing is sent again", async () => {
  const { server, batches } = busy();
  const writes = [drafts("a", "a2"), drafts("b", "b2")].map((each) => batches.write(each));
  server.fault = { outcome: { kind: "unsure", cause: "no answer" } };
  await server.answer();
  expect(await Promise.all(writes)).toEqual([server.fault.outcome, server.fault.outcome]);
  expect(server.sent.length).toBe(ROOM + 1);
});

test("an error that concerns all is told to all, and makes room", async () => {
  const server = new Server();
  const batches = new Batches(server.send);
  const error = new PeykError("storage-full", "no room");
  const writes = Array.from({ length: ROOM + 2 }, (_, index) => batches.write(drafts(`${index}`, `${index} too`)));
  const all = Promise.allSettled(writes);
  server.fault = { error };
  await server.answer();
  expect(await all).toEqual(writes.map(() => ({ status: "rejected", reason: error })));
  server.fault = undefined;
  const after = batches.write(drafts("a", "b"));
  await server.answer();
  expect((await after).kind).toBe("stored");
});

test("no document is in a batch twice, and a batch has 250 at most", async () => {
  const { server, batches } = busy();
  void batches.write(drafts("a", "x"));
  void batches.write(drafts("b", "x"));
  void batches.write(drafts("c", "y"));
  await server.answer();
  expect(server.sent.slice(ROOM)).toEqual([["a", "x"], ["b", "x", "c", "y"]]);

  const { server: other, batches: more } = busy();
  const subjects = (name: string, count: number): string[] => Array.from({ length: count }, (_, index) => `${name} ${index}`);
  for (const [name, count] of [["a", 900], ["b", 100], ["c", 150], ["d", 2]] as const) {
    void more.write(drafts(...subjects(name, count)));
  }
  await other.answer();
  expect(other.sent.slice(ROOM).map(({ length }) => length)).toEqual([900, 250, 2]);
});
