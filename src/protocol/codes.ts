/**
 * WebSocket close codes (RFC 6455 section 7.4.2: 4000-4999 are the application's own).
 * A client needs no table: 4000-4099 say "come back", 4100-4199 say "do not reconnect".
 */
export const CloseCode = {
  /** The client or the server leaves in order (RFC 6455). */
  normal: 1000,
  /** The node drains: come back, spread over the window that the drain frame named. */
  drain: 4000,
  /** The token ran out: come back with a fresh one. */
  expired: 4001,
  /** The reader made no progress for too long: come back and read on from the log. */
  slow: 4002,
  /** No hello in time. */
  helloTimeout: 4003,
  /** Nothing was heard for too long. */
  heartbeat: 4004,
  /** The server failed; its fault, not the client's. */
  internal: 4005,
  /** Too many frames. */
  overloaded: 4006,
  /** The client's page is left or reloaded: what 1001 says of itself (RFC 6455), which scripts can't send. */
  left: 4007,
  /** No valid token. */
  unauthorized: 4100,
  /** A newer connection took this session. */
  replaced: 4101,
  /** Bytes or an order of frames that this protocol does not allow. */
  protocol: 4102,
  /** The session was signed out, here or by the server. */
  signedOut: 4103,
  /** A frame beyond the limit. */
  tooLarge: 4104,
  /** A version or subprotocol that this server does not speak. */
  version: 4105,
} as const;

/** One of the values of {@link CloseCode}. */
export type CloseCode = (typeof CloseCode)[keyof typeof CloseCode];

/** A code's name; undefined for one that is not of this protocol. */
export function closeName(code: number | undefined): keyof typeof CloseCode | undefined {
  return (Object.keys(CloseCode) as (keyof typeof CloseCode)[]).find((name) => CloseCode[name] === code);
}

/** Whether a client should connect again after this close code. */
export function mayReconnect(code: number): boolean {
  return code < 4100 || code >= 4200;
}
