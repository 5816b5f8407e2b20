import { describe, onTestFinished, test } from "vitest";
import { play, traces } from "../protocol/traces.ts";
import { PlayedTo } from "./peer.ts";
import { findPython } from "./find_python.ts";

const python = findPython();
if ("missing" in python) console.warn(`examples/python is not tested: ${python.missing}`);

describe.skipIf("missing" in python)("the client in Python does what the traces say", () => {
  test.each(traces)("$name", async (trace) => {
    const client = await PlayedTo.begin((python as { path: string }).path);
    onTestFinished(() => client.close());
    await play(trace, client);
  });
});
