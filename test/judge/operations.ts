import { entryKey, type Line, type OperationKind } from "./trace.ts";

/** What an idle user waited for. */
export interface Operation {
  readonly kind: OperationKind;
  readonly user: string;
  readonly device: string;
  /** Names the message; a sign-in has none. */
  readonly id: string | undefined;
  readonly begin: number;
  /** When the frame or the request to the provider left. */
  end: number | undefined;
  /** The node closed the connection instead. */
  isTurnedAway: boolean;
}

/** Follows a trace: which operations of idle users began, and when they ended. */
export class Operations {
  readonly all: Operation[] = [];
  readonly open = new Set<Operation>();
  /** Names of messages by topic and offset. */
  readonly #ids = new Map<string, string>();
  readonly #tokens = new Map<string, string>();

  follow(line: Line): void {
    if (line.what === "operation") {
      const { at: begin, device, id, kind, user } = line;
      const operation: Operation = { kind, user, device, id, begin, end: undefined, isTurnedAway: false };
      this.all.push(operation);
      this.open.add(operation);
    }
    if (line.what === "said" && line.frame.type === "target" && line.frame.token !== null) {
      this.#tokens.set(line.frame.token, line.device);
    }
    if (this.open.size === 0) return;
    switch (line.what) {
      case "appended":
        this.#ids.set(entryKey(line.entry), line.entry.id);
        return;
      case "heard":
        if (line.frame.type === "welcome") this.#end(line.at, line.device, ["welcome"]);
        else if (line.frame.type === "message") this.#end(line.at, line.device, ["frame"], this.#ids.get(entryKey(line.frame)));
        return;
      case "closed":
        if (line.ending === "node") this.#end(line.at, line.device, ["welcome"], undefined, true);
        return;
      case "asked":
        this.#end(line.at, this.#tokens.get(line.ask.token), ["push, away", "push, background"], line.ask.id);
    }
  }

  #end(at: number, device: string | undefined, kinds: readonly OperationKind[], id?: string, isTurnedAway = false): void {
    for (const operation of this.open) {
      if (operation.device !== device || !kinds.includes(operation.kind) || operation.id !== id) continue;
      operation.end = at;
      operation.isTurnedAway = isTurnedAway;
      this.open.delete(operation);
    }
  }
}
