import type { MessageOptions, Urgency } from "./message.ts";
import { badMessage, pack } from "./pack.ts";
import { Reader } from "./reader.ts";
import { badFrame } from "./scan.ts";

const URGENCIES = ["very-low", "low", "normal", "high"] as const satisfies Urgency[];

/**
 * Reads a map of message options. Nil counts as absent. What stands in a notification is looked at where it is published, see
 * `checkNotification`: here it is a map.
 * @param isOwn they are of this side, which knows all there are. The other side's, which may be newer, may have others: they are
 * stepped over
 * @throws {PeykError} `bad-frame` when a value has the wrong type
 */
export function readOptions(reader: Reader, isOwn = false): MessageOptions {
  const options: MessageOptions = {};
  reader.fields("options", (key) => {
    switch (key) {
      case "ttl":
        options.ttl = reader.uint(key);
        break;
      case "urgency":
        options.urgency = reader.word(key, URGENCIES);
        break;
      case "notification": {
        const notification: Record<string, unknown> = {};
        reader.fields(key, (field) => notification[field] = reader.value(field));
        options.notification = notification;
        break;
      }
      case "ephemeral":
      case "inApp":
      case "silent":
      case "useAsAlert":
        options[key] = reader.flag(key);
        break;
      default:
        if (isOwn) throw badFrame(`${key}: no field of a message`);
        reader.skip(key);
    }
  });
  return options;
}

/**
 * The options of a message that is to be sent, without what is undefined.
 * @throws {PeykError} `bad-message` when a reader would refuse them, or would not know one of them
 */
export function checkOptions(options: MessageOptions): MessageOptions {
  const packed = pack(options);
  try {
    return readOptions(new Reader(packed), true);
  } catch (cause) {
    throw badMessage(cause);
  }
}
