import { fileURLToPath } from "node:url";
import { Child, startOnNodeWith } from "../fan_out/child.ts";
import { certificate } from "../../test/tls/certificate.ts";
import type { Setting } from "./contenders/contender.ts";
import type { Cost, Entry, Plan, Runtime } from "./plan.ts";
import { makeSecrets, type Secrets } from "./secrets.ts";
import type { Sample } from "./service_process.ts";
import type { Taken } from "./sender_process.ts";

/** A push service in a process of its own, and who sends to it. */
export class Ground {
  readonly service: Child;
  readonly port: number;
  readonly secrets: Secrets;
  /** What Peyk sends to each service. */
  readonly #samples = new Map<string, Sample>();

  static async start(): Promise<Ground> {
    const service = startOnNodeWith([], "the push service", here("service_process.ts"));
    return new Ground(service, await service.ask<number>("start"));
  }

  private constructor(service: Child, port: number) {
    this.service = service;
    this.port = port;
    this.secrets = makeSecrets(port);
  }

  setting(sample?: Sample): Setting {
    return { port: this.port, ca: certificate, secrets: this.secrets, sample };
  }

  /** Sends in a process that is started fresh, and tells what that cost it. */
  async measure({ contender, runtime, service }: Entry, { pushes, warmUp }: Plan): Promise<Cost> {
    const sender = startSender(runtime, `${contender} on ${runtime}`);
    try {
      const sample = contender === "bare" ? await this.#sample(service) : undefined;
      await sender.ask("start", { service, contender, setting: this.setting(sample) });
      await sender.ask("send", { count: warmUp });
      await this.service.ask("counts");
      const { cpuUs, ms } = await sender.ask<Taken>("send", { count: pushes });
      const { requests } = await this.service.ask<{ requests: number }>("counts");
      if (requests !== pushes) throw new Error(`${contender}: the service got ${requests} pushes of ${pushes}`);
      return { cpuUs: cpuUs / pushes, perSecond: pushes / ms * 1_000 };
    } catch (error) {
      throw new Error(`${contender}, ${service}: ${error instanceof Error ? error.message : error}\n${sender.complaint}`);
    } finally {
      await sender.stop();
    }
  }

  close(): Promise<void> {
    return this.service.stop();
  }

  async #sample(service: string): Promise<Sample> {
    const known = this.#samples.get(service);
    if (known !== undefined) return known;
    const sender = startSender("node", "the one whose bytes are taken");
    await this.service.ask("sample");
    await sender.ask("start", { service, contender: "peyk", setting: this.setting() });
    await sender.ask("send", { count: 1 });
    const sample = await this.service.ask<Sample>("sample");
    await sender.stop();
    this.#samples.set(service, sample);
    return sample;
  }
}

function startSender(runtime: Runtime, name: string): Child {
  const file = here("sender_process.ts");
  if (runtime === "node") return startOnNodeWith([], name, file);
  return new Child(name, "deno", ["run", "-A", "--conditions=peyk-source", fileURLToPath(file)]);
}

function here(file: string): URL {
  return new URL(file, import.meta.url);
}
