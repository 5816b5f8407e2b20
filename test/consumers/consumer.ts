import type { Project } from "./project.ts";

/** One way in which people build and run a server or a page with Peyk. */
export interface Consumer {
  /** As the table and the command name it: "esbuild". */
  readonly name: string;
  /** What is built and run, in a few words. */
  readonly shows: string;
  /** What is installed beside Peyk, with versions: "webpack@5.113.0". */
  readonly packages?: readonly string[];
  /** Belongs to the short form, which CI runs. */
  readonly short?: true;
  /**
   * Builds and runs it in a project of its own, in which the packed package and `packages` are installed. Rejects with what went
   * wrong, all output included.
   * @returns what the table says of it, such as the versions that ran
   */
  run(project: Project): Promise<string>;
}
