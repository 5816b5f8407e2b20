/** Digits of the sequence number that each payload begins with. */
const SEQUENCE_DIGITS = 12;

/** The text of the `index`-th message: `bytes` ASCII characters, different for each message. */
export function payloadText(index: number, bytes: number): string {
  return String(index).padStart(SEQUENCE_DIGITS, "0") + "x".repeat(bytes - SEQUENCE_DIGITS);
}
