import { CalmLogger } from "./calm_logger.ts";
import { answerNeighbours, heldSessions } from "./cluster/answers.ts";
import { Follower } from "./cluster/follower.ts";
import { Neighbours } from "./cluster/neighbours.ts";
import { SessionActor } from "./delivery/actor.ts";
import { Attention } from "./delivery/attention.ts";
import { Attachments } from "./delivery/attach.ts";
import { createCacheBytes, type HeldBytes } from "./delivery/cache_bytes.ts";
import { CatchUp } from "./delivery/catch_up.ts";
import { answerInTime } from "./delivery/deadline.ts";
import { type Counters, createCounters } from "./delivery/counters.ts";
import { nobodyElsewhere, otherNodes } from "./delivery/elsewhere.ts";
import { Emitter, type EngineEvents } from "./delivery/events.ts";
import { createFanOut } from "./delivery/fan_out.ts";
import { Hub } from "./delivery/hub.ts";
import { Lease } from "./delivery/lease.ts";
import { Departures } from "./delivery/leave.ts";
import type { Registered } from "./delivery/push_requests.ts";
import { ProgressKeeper } from "./delivery/progress.ts";
import { Publisher, type PublishResult } from "./delivery/publish.ts";
import { Receipts } from "./delivery/receipts.ts";
import { UserRecords } from "./delivery/records.ts";
import { Roster } from "./delivery/roster.ts";
import { SignOut } from "./delivery/sign_out.ts";
import { TemporaryDevices } from "./delivery/temporary.ts";
import { Tick } from "./delivery/tick.ts";
import { Subscriptions } from "./delivery/subscriptions.ts";
import {
  checkAuthenticate,
  checkCompose,
  checkEngineOptions,
  checkHandledBy,
  checkLimits,
  checkProviders,
  checkWhole,
  type EngineOptions,
} from "./engine_options.ts";
import type { Explanation } from "./explain.ts";
import { ExplanationBook } from "./explanation_book.ts";
import { explainMessage } from "./explained_message.ts";
import { Gateway } from "./gateway/gateway.ts";
import { Requests } from "./gateway/requests.ts";
import { Housekeeping } from "./housekeeping.ts";
import { everyStep } from "./every_step.ts";
import { lateTimers } from "./late_timers.ts";
import { memory } from "./memory/memory.ts";
import type { Acceptor } from "./ports/connection.ts";
import type { AsyncDisposableLike } from "./protocol/async_disposable.ts";
import { PeykError } from "./protocol/errors.ts";
import type { MessageRef, OutgoingMessage, Position } from "./protocol/message.ts";
import { checkMessageRef } from "./protocol/message_ref.ts";
import { checkName, topicOf } from "./protocol/names.ts";
import { Alarms } from "./push/alarms.ts";
import { Arbiter } from "./push/arbiter.ts";
import { AckedPushes } from "./push/acked.ts";
import { AttachedPushes } from "./push/attached.ts";
import { Backlog } from "./push/backlog.ts";
import { AwayPushes } from "./push/away.ts";
import { Composer } from "./push/composer.ts";
import { Dispatcher } from "./push/dispatcher.ts";
import { LastLook } from "./push/last_look.ts";
import { createMarks } from "./push/marks.ts";
import { PushQueue } from "./push/queue.ts";
import { readPageOf } from "./push/read_page.ts";
import { RestingTargets } from "./push/resting.ts";
import { type RestingPushService, RestingServices } from "./push/resting_services.ts";
import { RowMaker } from "./push/row_maker.ts";
import { MemberRows } from "./push/member_rows.ts";
import { OutboxWorker } from "./push/outbox_worker.ts";
import { Pace } from "./push/pace.ts";
import { PendingPushes } from "./push/pending.ts";
import { createSweep } from "./push/sweep.ts";
import { TargetChanges } from "./push/target_changes.ts";
import { TopicDecider } from "./push/topic_decider.ts";
import { checkPolicy } from "./session/policy.ts";
import { createStepper } from "./session/step.ts";
import { describeSessions, type SessionInfo } from "./sessions.ts";
import { checkSubscribeOptions, checkUnsubscribeOptions, type SubscribeOptions } from "./subscribe_options.ts";
import { describeSubscriptions, type SubscriptionInfo } from "./subscription_info.ts";
import { steadyClock } from "./steady_clock.ts";
import { systemClock, systemLogger, systemRandom } from "./system.ts";

/** A running engine. */
export interface Engine extends Acceptor, AsyncDisposableLike {
  /**
   * Takes a message in. When it resolves, every device of every recipient will get it, or it is recorded why not.
   *
   * @param message `from` may name a user it is sent on behalf of
   * @throws {PeykError} `bad-name`, `bad-message` (for fields that are not known too), `too-large`, `closed`, and what the storage says
   * (`unavailable`, `storage-full`, `storage-lost`)
   */
  publish(message: OutgoingMessage & { from?: string }): Promise<PublishResult>;
  /**
   * Why a message went where it went, device by device: from what the nodes remember and, for as long as the log has the message,
   * what the outbox keeps of its pushes. Undefined when neither knows it, or not any more, and of an ephemeral message.
   *
   * @param message what its publish answered, or what names it otherwise: an id would not do, for it is its sender's and topic's own
   * @throws {PeykError} `bad-message` for what names no message
   */
  explain(message: MessageRef): Promise<Explanation | undefined>;
  /** A user's devices with their states. */
  sessions(userId: string): Promise<SessionInfo[]>;
  /**
   * The push services that take nothing at the moment, with the reason; a short hiccup is one too. By what this node has heard itself:
   * each finds out on its own. The event `push-service` tells when one begins to rest for more than that, and when it is well again.
   */
  restingPushServices(): RestingPushService[];
  /**
   * Subscribes a user, all devices present and future. Of one that is there already nothing changes, unless `anew`.
   * @returns where it begins
   * @throws {PeykError} `bad-name`, `bad-message`, `forbidden`, `too-many`
   */
  subscribe(userId: string, options: SubscribeOptions): Promise<Position>;
  /** Ends a subscription. When it resolves, nothing of it is written or pushed any more. */
  unsubscribe(userId: string, options: Omit<SubscribeOptions, "since" | "anew">): Promise<void>;
  /**
   * What a user is subscribed to, by topic: the own `default` too, from the first sign-in on. Changes are told by the event
   * `subscription`.
   * @throws {PeykError} `bad-name`, and what the storage says
   */
  subscriptions(userId: string): Promise<SubscriptionInfo[]>;
  /**
   * Signs a user's devices out: connections are closed, push targets released, pending pushes dropped. When it resolves, on all nodes,
   * nobody is let in who said hello before that, and nothing is published or subscribed to that a device asked for before it.
   * @returns how many sessions ended
   */
  revoke(userId: string): Promise<number>;
  /**
   * Listens. The returned function ends it, and so does the signal.
   * @throws {PeykError} `bad-config` for an event that there is not
   */
  on<Name extends keyof EngineEvents>(
    name: Name,
    listener: (event: EngineEvents[Name]) => void,
    options?: { signal?: AbortSignal },
  ): () => void;
  /** What happened since the engine was made, who is here, and how many bytes each cache holds. A copy. */
  counters(): Counters & { readonly connections: number; readonly sessions: number; readonly bytes: Readonly<HeldBytes> };
  /** Asks all clients to come back elsewhere within `policy.drainWindowMs`, and takes no new ones. Resolves when they have left, or the window is over. */
  drain(): Promise<void>;
  /**
   * Ends everything in order: clients are told to come back, what was accepted is kept. When something can't be ended the rest is,
   * the storage included, and it rejects. A push provider or storage whose `close()` takes longer than 10 seconds counts as such.
   */
  close(): Promise<void>;
}

/**
 * Makes an engine: opens the storage and everything else. When it rejects, the storage is closed again.
 *
 * @throws {PeykError} `bad-config` (for options that are not known too), and what the storage says about its file or server
 * @example
 * ```ts
 * import { createEngine } from "peyk";
 *
 * const engine = await createEngine({ authenticate: ({ token }) => token === "secret" ? { userId: "sara" } : null });
 * const result = await engine.publish({ to: "sara", content: "Hello" });
 * console.log(result.topic);
 * await engine.close();
 * ```
 */
export async function createEngine(options: EngineOptions): Promise<Engine> {
  checkEngineOptions(options);
  const wall = lateTimers(options.clock ?? systemClock());
  const clock = steadyClock(wall);
  const random = options.random ?? systemRandom();
  const logger = new CalmLogger(options.logger ?? systemLogger(), clock, systemLogger());
  const policy = checkPolicy(options.policy ?? {});
  const limits = checkLimits(options.limits ?? {});
  const heartbeatMs = checkWhole("heartbeatMs", options.heartbeatMs ?? 25_000, 1_000, "Milliseconds, not seconds.");
  const authenticate = checkAuthenticate(options);
  const providers = checkProviders(options.push ?? []);
  const compose = checkCompose(options.compose);
  const handledByMark = checkHandledBy(options.handledBy ?? {});

  // What may fail stands before this, or in start(): then the storage is closed again.
  const storage = await (options.storage ?? memory()).open({ clock, logger, random });
  const { transport, history, work, users, outbox, peers } = storage;
  const closeStorage = (): Promise<void> => answerInTime({ clock, logger }, "close() of the storage", storage.close());
  const node = random.id();
  const neighbours = peers && new Neighbours({ node, peers, users, clock });
  const elsewhere = neighbours ?? nobodyElsewhere;
  const lease = new Lease(clock);
  const counters = createCounters();
  const held = createCacheBytes();
  const emitter = new Emitter((name, error) => logger.error(`a listener of "${name}" failed`, { error }));
  const journal = new ExplanationBook(clock, emitter, (topic) => hub.find(topic)?.settle(), held, limits.explainBytes);
  const records = new UserRecords(users, clock);
  const roster = new Roster();
  const hub = new Hub(transport, held);
  const tick = new Tick(clock, lease);
  const receipts = new Receipts({ transport, emitter, journal, counters, clock: wall });
  const publisher = new Publisher({ transport, receipts, journal, counters, clock, wall, random });

  // The decision: machine, pushes.
  const stepper = createStepper(policy);
  const actor = new SessionActor(stepper, clock, policy.ackTimeoutMs);
  const attention = new Attention({ stepper, policy, clock });
  const arbiter = new Arbiter({ node, roster, elsewhere, attention, activeElsewhereMs: policy.activeElsewhereMs });
  const shared = peers !== undefined;
  const pending = new PendingPushes(outbox, journal, counters, clock, logger, shared, held);
  const acked = new AckedPushes(pending);
  const queue = new PushQueue({ acked, pending, roster, journal, clock });
  const rows = new RowMaker({ arbiter, outbox, pending, policy, clock });
  const read = readPageOf(history);
  const decisions = new AttachedPushes({ records, roster, rows, queue, stepper, clock, logger, read });
  const away = new AwayPushes({ records, roster, rows, queue, stepper, journal, clock, read });
  const members = new MemberRows({ records, roster, rows, queue, stepper, journal, read });
  const topics = new TopicDecider({ users, outbox, members, queue, lease, shared, clock, logger });
  const lastLook = new LastLook({ history, records, roster, attention, actor, pending, providers, policy, clock, held });
  const resting = new RestingTargets(outbox, journal, clock);
  const services = new RestingServices(clock, random, new Alarms(clock, emitter, logger));
  const backlog = new Backlog(services, lease, clock);
  const targets = new TargetChanges({ records, roster, actor, pending, counters, wall });
  const pace = new Pace(policy.coalesceMs, clock);
  const composer = new Composer({ compose, clock, logger });
  const dispatcher = new Dispatcher({
    ...{
      composer,
      lastLook,
      lease,
      outbox,
      pending,
      resting,
      services,
      backlog,
      targets,
      pace,
      policy,
      journal,
      counters,
      clock,
      random,
      logger,
    },
  });
  const worker = new OutboxWorker({
    ...{ providers, dispatcher, resting, services, backlog, pace, lease, outbox, records, shared, clock, logger },
  });
  pending.connect(() => worker.wake());

  // The delivery: log, fan-out, catching up, sessions coming and going.
  const catchUp = new CatchUp({ history, actor, pushes: decisions, journal, counters, clock, logger, held });
  hub.connect(createFanOut({ tick, actor, catchUp, pushes: decisions, journal, counters, clock }));
  const temporaries = new TemporaryDevices(records, clock, logger);
  const attachments = new Attachments({
    ...{ node, records, pushes: pending, decisions, outbox, history, hub, roster, elsewhere, actor, catchUp, counters },
    ...{ temporaries, lease, clock },
    maxDevices: limits.devices,
    input: (session, idleMs) => progress.input(session, idleMs),
  });
  const progress = new ProgressKeeper({
    actor,
    attention,
    catchUp,
    records,
    receipts,
    pushes: acked,
    history,
    journal,
    handledByMark,
    ackTimeoutMs: policy.ackTimeoutMs,
    strayed: (userId) => follower.heed(userId),
    durable: transport.durable,
    clock,
    logger,
  });
  const departures = new Departures({ records, attachments, actor, progress, away, temporaries, journal, clock, logger });
  const subscriptions = new Subscriptions({
    ...{ node, records, pushes: pending, away, hub, roster, elsewhere, actor, catchUp, maxTopics: limits.topics },
    strayed: (userId) => follower.heed(userId),
    changed: (change) => emitter.emit("subscription", { ...change, at: wall.now() }),
  });
  const registered: Registered = (target, isAnother) => {
    if (!resting.registered(target.targetId, isAnother)) return;
    backlog.tryAnew(target);
    worker.wake();
  };
  const signOut = new SignOut({
    ...{ node, records, pushes: pending, providers, roster, elsewhere, actor, clock, wall },
    registered(target, isAnother) {
      registered(target, isAnother);
      if (isAnother) elsewhere.replaced(target);
    },
    forbid: (userId, device, before) => gateway.signedOut(userId, device, before),
  });
  actor.connect({
    pushOverdue: (session, overdue) => decisions.pushOverdue(session, overdue),
    goAway: (session) => departures.goAway(session),
    release: (session) => attachments.release(session),
    changed: ({ userId, device }, state) => emitter.emit("session", { userId, device, state, at: wall.now() }),
  });

  // The face to clients.
  const mark = createMarks({ receipts, pending, outbox, records, history, held });
  const requests: Requests = new Requests({
    ...{ authorize: options.authorize, publishesPerSecond: limits.publishesPerSecond },
    ...{ progress, publisher, subscriptions, signOut, lease, records, roster, mark, clock, logger },
    renewToken: (link, session, token) => gateway.renewToken(link, session, token),
    identify: (session, token) => gateway.identify(session, token),
  });
  const gateway: Gateway = new Gateway({
    ...{
      authenticate,
      heartbeatMs,
      maxFrameBytes: limits.frameBytes,
      maxTopics: limits.topics,
      ackTimeoutMs: policy.ackTimeoutMs,
      inputMs: policy.inputMs,
      drainWindowMs: policy.drainWindowMs,
    },
    ...{ attachments, departures, catchUp, signOut, requests, counters, tick, lease, clock: wall, logger },
  });

  // The other nodes, and what is to be done from time to time.
  const follower = new Follower({ records, roster, actor, attachments, subscriptions, logger });
  const housekeeping = new Housekeeping({
    ...{
      node,
      shared,
      lease,
      follower,
      elsewhere,
      records,
      attachments,
      pending,
      backlog,
      pace,
      outbox,
      counters,
      clock,
      logger,
    },
    lapsed: () => gateway.lapsed(),
    resume() {
      tick.resume();
      worker.wake();
      topics.resume();
    },
    wake: () => worker.wake(),
  });
  let answering: { close(): void } | undefined;
  let sweeping: { close(): Promise<void> } | undefined;
  let closing: Promise<void> | undefined;

  async function start(): Promise<void> {
    answering = peers && await answerNeighbours({
      ...{ node, peers, roster, arbiter, attention, follower, signOut, journal, stepper, logger },
      replaced: (target) => registered(target, true),
    });
    await housekeeping.start();
    await topics.start();
    sweeping = await work?.consume(createSweep({ away, topics, read, logger }));
    worker.wake();
  }

  /** What of this can't be done keeps nothing of the rest from being done. */
  async function stop(): Promise<void> {
    await everyStep([
      () => gateway.close(),
      () => departures.close(),
      () => temporaries.close(),
      () => progress.flush(),
      () => sweeping?.close(),
      () => topics.close(),
      () => decisions.close(),
      () => away.close(),
      () => worker.close(),
      () => progress.stop(),
      () => housekeeping.close(),
      () => records.idle(),
      () => neighbours?.close(),
      () => answering?.close(),
      () => [...roster].forEach((session) => attachments.dismantle(session, 4000, "the node closes")),
      () => catchUp.close(),
      () => receipts.flush(),
    ]);
  }

  async function closeProviders(): Promise<void> {
    const ends = await Promise.allSettled(providers.map(async (provider) => {
      await answerInTime({ clock, logger }, `close() of the push provider "${provider.name}"`, provider.close?.());
    }));
    for (const end of ends) if (end.status === "rejected") throw end.reason;
  }

  async function shutDown(): Promise<void> {
    await everyStep([stop, closeProviders, closeStorage, () => logger.close()]);
  }

  try {
    await start();
  } catch (error) {
    // The providers are the caller's, who may try again with them.
    await everyStep([stop, closeStorage]).catch((error: unknown) => logger.warn("what had begun could not be ended", { error }));
    logger.close();
    throw error;
  }

  function checkOpen(): void {
    if (closing !== undefined) throw new PeykError("closed", "the engine is closed");
  }

  const engine: Engine = {
    maxFrameBytes: gateway.maxFrameBytes,
    accept: (connection, request) => gateway.accept(connection, request),
    refused: (reason, what, hint) => gateway.refused(reason, what, hint),
    async publish(message) {
      checkOpen();
      return await publisher.publish(message);
    },
    async explain(message) {
      const ref = checkMessageRef(message);
      if (ref === undefined) return undefined;
      const told = [...journal.find(ref), ...await neighbours?.explain(ref) ?? []];
      return await explainMessage(ref, told, { history, outbox, users, clock });
    },
    async sessions(userId) {
      const record = await users.get(checkName(userId, "userId"));
      const there = record === undefined ? [] : await neighbours?.sessions(otherNodes(record, node), userId) ?? [];
      const held = [...heldSessions(userId, { attention, roster, stepper }), ...there];
      return describeSessions(record, held, (targetId) => resting.restOf(targetId), clock.now());
    },
    restingPushServices: () => services.list(),
    async subscribe(userId, options) {
      checkOpen();
      const { to, channel, since, anew } = checkSubscribeOptions(options);
      return await subscriptions.subscribe(checkName(userId, "userId"), topicOf(to, channel), { since, anew });
    },
    async unsubscribe(userId, options) {
      checkOpen();
      const { to, channel } = checkUnsubscribeOptions(options);
      await subscriptions.unsubscribe(checkName(userId, "userId"), topicOf(to, channel));
    },
    async subscriptions(userId) {
      return describeSubscriptions(await users.get(checkName(userId, "userId")));
    },
    async revoke(userId) {
      checkOpen();
      return await signOut.end(checkName(userId, "userId"), undefined);
    },
    on(name, listener, { signal } = {}) {
      if (signal?.aborted) return () => {};
      const stop = emitter.on(name, listener);
      signal?.addEventListener("abort", stop, { once: true });
      return stop;
    },
    counters: () => ({
      ...{ ...counters, refused: { ...counters.refused }, connections: gateway.connections, sessions: roster.count },
      bytes: { ...held, storage: storage.heldBytes?.() ?? 0 },
    }),
    drain: () => gateway.drain(),
    close: () => closing ??= shutDown(),
    [Symbol.asyncDispose]: () => engine.close(),
  };
  return engine;
}
