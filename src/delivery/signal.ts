/** What a signal carries: an ephemeral message's envelope, or a frame for the topic's readers as it is. */
export type Signal = { ephemeral: Uint8Array } | { frame: Uint8Array };

/** An envelope is an array, which never begins like that. */
const FRAME_MARK = 0;

/** A signal with which a frame goes to every connection that reads the topic. */
export function frameSignal(frame: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(frame.length + 1);
  bytes[0] = FRAME_MARK;
  bytes.set(frame, 1);
  return bytes;
}

export function openSignal(bytes: Uint8Array): Signal {
  return bytes[0] === FRAME_MARK ? { frame: bytes.subarray(1) } : { ephemeral: bytes };
}
