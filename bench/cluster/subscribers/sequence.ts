/** How many digits at the end of a payload's sequence number are compared. */
const DIGITS = 6;
const WRAP = 10 ** DIGITS;
/** Digits of the sequence number that each payload begins with. */
const SEQUENCE_DIGITS = 12;

/** Throws unless the payload that begins here is the `index`-th one of its phase. */
export function expectSequence(bytes: Buffer, payload: number, index: number): void {
  let number = 0;
  const end = payload + SEQUENCE_DIGITS;
  for (let at = end - DIGITS; at < end; at++) number = number * 10 + bytes[at]! - 48;
  if (number !== index % WRAP) throw new Error(`message ${index} was to come, and it was ${number}`);
}
