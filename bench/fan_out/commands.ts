import process from "node:process";
import { createInterface } from "node:readline";

/** What a process of the benchmark can be asked: one line of JSON in, one line of JSON out. */
export type Handlers = Record<string, (options: never) => unknown>;

/** Answers commands on standard input until it ends. */
export function answerCommands(handlers: Handlers): void {
  const lines = createInterface({ input: process.stdin });
  lines.on("line", async (line) => {
    const { command, options } = JSON.parse(line) as { command: string; options: never };
    const handler = handlers[command];
    if (handler === undefined) throw new Error(`no command ${command}`);
    const answer = await handler(options);
    process.stdout.write(`${JSON.stringify(answer ?? null)}\n`);
  });
  lines.on("close", () => process.exit(0));
}
