/**
 * Peyk: hand it a message for a user or a channel, and every device of every recipient gets it, over the socket when the
 * person is there, by push notification when not.
 *
 * @module
 */
export { createEngine, type Engine } from "./src/create_engine.ts";
export type { EngineOptions, Limits } from "./src/engine_options.ts";
export type { SubscribeOptions } from "./src/subscribe_options.ts";
export type { PublishResult } from "./src/delivery/publish.ts";
export type { Counters, Refused } from "./src/delivery/counters.ts";
export type { EngineEvents, PushServiceEvent, ReceiptEvent, SessionChange, SubscriptionChange } from "./src/delivery/events.ts";
export type { DeviceName, EntryName, Note, NoteKind, PushFacts } from "./src/delivery/journal.ts";
export { deviceName } from "./src/delivery/session.ts";
export type { DeviceExplanation, Explanation } from "./src/explain.ts";
export type { ExplainedEvent } from "./src/explained_event.ts";
export type { SessionInfo, TargetInfo } from "./src/sessions.ts";
export type { SubscriptionInfo } from "./src/subscription_info.ts";
export type { Action, Authenticate, Authorize, Credentials, Identity } from "./src/gateway/authorization.ts";
export { memory } from "./src/memory/memory.ts";
export type { Policy } from "./src/session/policy.ts";
export type { Route, SessionState } from "./src/session/step.ts";
export { CloseCode } from "./src/protocol/codes.ts";
export { type ErrorCode, type ErrorDetails, PeykError } from "./src/protocol/errors.ts";
export type {
  Durability,
  InterruptionLevel,
  Message,
  MessageOptions,
  MessageRef,
  Notification,
  OutgoingMessage,
  Position,
  Urgency,
} from "./src/protocol/message.ts";
export type { Topic } from "./src/protocol/names.ts";
export type { Clock, Timer } from "./src/ports/clock.ts";
export type { Acceptor, Connection, ConnectionEvents, ConnectionRequest, UpgradeRefusal } from "./src/ports/connection.ts";
export type { Logger } from "./src/ports/logger.ts";
export {
  type AddedRow,
  type CancelMatch,
  type NewOutboxRow,
  type Outbox,
  type OutboxEnd,
  type OutboxRow,
  SENDING_MS,
  type Take,
  type TopicDecision,
} from "./src/ports/outbox.ts";
export type { Peers } from "./src/ports/peers.ts";
export type { Compose, PushReader } from "./src/push/composer.ts";
export type { Alert, PushNotification, PushProvider, PushResult, PushScope, PushSendOptions } from "./src/ports/push_provider.ts";
export type { PushAddress, TargetDetails } from "./src/protocol/target.ts";
export type { Rest } from "./src/push/resting.ts";
export type { RestingPushService } from "./src/push/resting_services.ts";
export type { Random } from "./src/ports/random.ts";
export type { OpenStorage, Retention, Storage, StorageContext } from "./src/ports/storage.ts";
export type {
  Appended,
  AppendOptions,
  Entry,
  History,
  HistoryPage,
  TopicListener,
  TopicSubscription,
  Transport,
  Work,
  WorkItem,
} from "./src/ports/transport.ts";
export type { NamesPage, Page } from "./src/ports/page.ts";
export type {
  DeviceLines,
  Handled,
  LineAnswer,
  LineRecord,
  Positions,
  Progress,
  PushTarget,
  SessionRecord,
  Unsure,
  UserParts,
  UserRecord,
  Users,
  UserVersions,
} from "./src/ports/users.ts";
