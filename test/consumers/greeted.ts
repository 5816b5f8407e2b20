/** What a sample prints when a message went through the engine, its storage, a socket and the client. */
const GREETING = "sara got: Hello world";

/** @throws {Error} with all that was printed, when the message did not arrive, or the engine logged trouble */
export function greeted(printed: string): void {
  if (!printed.includes(GREETING)) throw new Error(`no greeting in:\n${printed}`);
  if (printed.includes("peyk:")) throw new Error(`the engine logged trouble:\n${printed}`);
}
