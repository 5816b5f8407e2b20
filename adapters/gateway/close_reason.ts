const encoder = new TextEncoder();
/** A control frame holds 125 bytes; the code takes two (RFC 6455 section 5.5). */
const MAX_BYTES = 123;

/** As much of `reason` as fits into a close frame, cut between characters. Longer ones make sockets throw. */
export function closeReason(reason: string): string {
  const room = new Uint8Array(MAX_BYTES);
  return reason.slice(0, encoder.encodeInto(reason, room).read);
}
