import type { MessageOptions, Notification, Urgency } from "./message.ts";
import { badMessage, pack } from "./pack.ts";
import { Reader } from "./reader.ts";
import { badFrame } from "./scan.ts";

const URGENCIES = ["very-low", "low", "normal", "high"] as const satisfies Urgency[];

/**
 * Reads a map of message options. Keys that are not known are stepped over, nil counts as absent.
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
      case "notification":
        options.notification = readNotification(reader);
        break;
      case "live":
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

function readNotification(reader: Reader): Notification {
  const notification: Notification = {};
  reader.fields("notification", (key) => {
    switch (key) {
      case "title":
      case "body":
      case "icon":
      case "image":
      case "url":
      case "sound":
      case "collapseKey":
        notification[key] = reader.text(key);
        break;
      case "badge":
        notification.badge = reader.uint(key);
        break;
      case "actions":
        notification.actions = reader.list(key, MAX_ACTIONS, () => readAction(reader));
        break;
      default:
        reader.skip(key);
    }
  });
  return notification;
}

/** No platform shows more than a few. */
const MAX_ACTIONS = 16;

function readAction(reader: Reader): { action: string; title: string } {
  let action: string | undefined;
  let title: string | undefined;
  reader.fields("action", (key) => {
    if (key === "action") action = reader.text(key);
    else if (key === "title") title = reader.text(key);
    else reader.skip(key);
  });
  if (action === undefined || title === undefined) throw badFrame("action: action or title missing");
  return { action, title };
}
