import type { MessageOptions, Urgency } from "./message.ts";
import { badMessage, pack } from "./pack.ts";
import { Reader } from "./reader.ts";

const URGENCIES = ["very-low", "low", "normal", "high"] as const satisfies Urgency[];

/**
 * Reads a map of message options. Keys that are not known are stepped over, nil counts as absent. What stands in a notification is
 * looked at where it is published, see `checkNotification`: here it is a map.
 * @throws {PeykError} `bad-frame` when a value has the wrong type
 */
export function readOptions(reader: Reader): MessageOptions {
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
        reader.skip(key);
    }
  });
  return options;
}

/**
 * The options of a message that is to be sent, without what readers do not know.
 * @throws {PeykError} `bad-message` when a reader would refuse them
 */
export function checkOptions(options: MessageOptions): MessageOptions {
  const packed = pack(options);
  try {
    return readOptions(new Reader(packed));
  } catch (cause) {
    throw badMessage(cause);
  }
}
