/**
 * What every implementation of Peyk's ports must do, as cases that need no test framework.
 *
 * ```ts
 * import { runCase, storageCases } from "peyk/conformance";
 *
 * for (const one of storageCases()) {
 *   test(`${one.port} ${one.name}`, () => runCase(one, (retention) => myStorage({ retention })));
 * }
 * ```
 * @module
 */
import { historyCases } from "./history_cases.ts";
import { outboxCases } from "./outbox_cases.ts";
import type { StorageCase } from "./stage.ts";
import { transportCases } from "./transport_cases.ts";
import { usersCases } from "./users_cases.ts";
import { workCases } from "./work_cases.ts";

export { type GatewayCase, gatewayCases, type Pair, runGatewayCase, type ServedGateway } from "./gateway_cases.ts";
export { createManualClock, type ManualClock } from "./manual_clock.ts";
export { type PushCase, pushProviderCases, type PushService, type PushStage, runPushCase } from "./push_cases.ts";
export { runCase, type Stage, type StorageCase } from "./stage.ts";

/** Everything a storage must do, port by port. */
export function storageCases(): StorageCase[] {
  const ports = {
    transport: transportCases,
    history: historyCases,
    work: workCases,
    users: usersCases,
    outbox: outboxCases,
  } as const;
  return (Object.keys(ports) as (keyof typeof ports)[]).flatMap((port) => ports[port].map((one) => ({ ...one, port })));
}
