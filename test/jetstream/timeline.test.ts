import { expect, test } from "vitest";
import { Timeline, Timelines } from "../../adapters/jetstream/timeline.ts";

test("a timeline of many names is in order, and counts them, while they come and go", () => {
  const timeline = new Timeline();
  const held: { at: number; name: string }[] = [];
  for (let index = 0; index < 20_000; index++) {
    const time = { at: (index * 7_919) % 97, name: `${(index * 31) % 6_007}-${index}` };
    held.push(time);
    timeline.add(time.at, time.name);
    if (index % 3 !== 0) continue;
    const [gone] = held.splice((index * 13) % held.length, 1);
    timeline.delete(gone!.at + 1, gone!.name); // It does not stand there.
    timeline.delete(gone!.at, gone!.name);
  }
  held.sort((a, b) => a.at - b.at || (a.name < b.name ? -1 : 1));
  expect([...timeline.all()]).toEqual(held);
  for (const through of [-1, 0, 41, 96, Infinity]) {
    expect(timeline.count(through)).toBe(held.filter(({ at }) => at <= through).length);
  }
  for (const { at, name } of held) timeline.delete(at, name);
  expect(timeline.isEmpty).toBe(true);
  expect([timeline.count(Infinity), [...timeline.all()]]).toEqual([0, []]);
});

test("several timelines are one in order, and one that is empty is forgotten", () => {
  const timelines = new Timelines();
  for (const [key, at] of [["b", 3], ["a", 5], ["b", 1], ["c", 4], ["a", 2]] as const) timelines.add(key, at, `${key}${at}`);
  expect([...timelines.all()].map(({ name }) => name)).toEqual(["b1", "a2", "b3", "c4", "a5"]);
  timelines.delete("c", 4, "c4");
  timelines.delete("unknown", 4, "c4");
  expect(timelines.get("c")).toBeUndefined();
  expect([...timelines.get("a")!.all()].map(({ name }) => name)).toEqual(["a2", "a5"]);
});
