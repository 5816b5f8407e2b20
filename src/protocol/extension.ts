/** A msgpack extension that nothing here has a form for: it is kept, and sent, as it came. */
export class Extension {
  /** -128 to 127. */
  declare readonly type: number;
  declare readonly data: Uint8Array;

  constructor(type: number, data: Uint8Array) {
    this.type = type;
    this.data = data;
  }
}
