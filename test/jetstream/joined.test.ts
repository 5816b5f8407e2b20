import { expect, test } from "vitest";
import { Joined } from "../../adapters/jetstream/joined.ts";

/** Finds answers when it is told to: the number of the try. */
function createFinder() {
  const finds: PromiseWithResolvers<number>[] = [];
  const joined = new Joined<number>();
  const ask = (question = "same"): Promise<number> =>
    joined.ask(question, () => {
      finds.push(Promise.withResolvers());
      return finds.at(-1)!.promise;
    });
  const settle = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 0));
  return { finds, ask, settle };
}

test("whoever asks while an answer is being found shares the next one, which is looked for only then", async () => {
  const { finds, ask, settle } = createFinder();
  const [first, second, third] = [ask(), ask(), ask()];
  await settle();
  expect(finds.length).toBe(1);
  finds[0]!.resolve(1);
  expect(await first).toBe(1);
  await settle();
  expect(finds.length).toBe(2);
  const fourth = ask();
  finds[1]!.resolve(2);
  expect(await Promise.all([second, third])).toEqual([2, 2]);
  await settle();
  expect(finds.length).toBe(3);
  finds[2]!.resolve(3);
  expect(await fourth).toBe(3);
  await settle();
  const fifth = ask();
  expect(finds.length, "nothing is kept").toBe(4);
  finds[3]!.resolve(4);
  expect(await fifth).toBe(4);
});

test("other questions don't wait, and a failure is told to those who asked for that answer", async () => {
  const { finds, ask, settle } = createFinder();
  const first = ask();
  const second = ask();
  const other = ask("other");
  expect(finds.length).toBe(2);
  finds[0]!.reject(new Error("away"));
  await expect(first).rejects.toThrow("away");
  await settle();
  finds[2]!.resolve(2);
  finds[1]!.resolve(9);
  expect(await Promise.all([second, other])).toEqual([2, 9]);
});
