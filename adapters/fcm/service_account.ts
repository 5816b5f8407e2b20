import { createPrivateKey, type KeyObject } from "node:crypto";
import { PeykError } from "../../src/protocol/errors.ts";

/**
 * A service account's key, as the Firebase console gives it (Project settings, Service accounts, Generate new private key). What
 * else is in that file is not looked at.
 */
export interface FcmServiceAccount {
  readonly project_id: string;
  readonly client_email: string;
  /** An RSA key of 2,048 bits or more, PEM. */
  readonly private_key: string;
  readonly private_key_id?: string;
  /** Where access tokens are asked for. https only. Default "https://oauth2.googleapis.com/token". */
  readonly token_uri?: string;
}

/** A service account that can be signed for. */
export interface Account {
  readonly projectId: string;
  readonly email: string;
  readonly key: KeyObject;
  readonly keyId: string | undefined;
  readonly tokenUrl: URL;
}

const TOKEN_URL = "https://oauth2.googleapis.com/token";
/** The least that RS256 allows (RFC 7518 section 3.3). */
const MIN_BITS = 2_048;

/**
 * Reads a service account. No error repeats what is in it.
 * @throws {PeykError} `bad-config`, `bad-url`
 */
export function readAccount(given: FcmServiceAccount | string): Account {
  const { project_id, client_email, private_key, private_key_id, token_uri = TOKEN_URL } = fieldsOf(given);
  if (typeof project_id !== "string" || !/^[\w.:-]{1,128}$/.test(project_id)) throw fault("project_id is no project's id");
  if (typeof client_email !== "string" || !/^[\x21-\x7e]+@[\x21-\x7e]+$/.test(client_email)) {
    throw fault("client_email is no address");
  }
  return {
    projectId: project_id,
    email: client_email,
    key: readKey(private_key),
    keyId: typeof private_key_id === "string" ? private_key_id : undefined,
    tokenUrl: readTokenUrl(token_uri),
  };
}

function fieldsOf(given: unknown): Partial<Record<keyof FcmServiceAccount, unknown>> {
  let fields = given;
  if (typeof given === "string") {
    try {
      fields = JSON.parse(given);
    } catch {
      // The parser's own error shows a piece of the text.
      throw fault("not JSON");
    }
  }
  if (typeof fields !== "object" || fields === null) throw fault("not an object");
  return fields;
}

function readKey(pem: unknown): KeyObject {
  let key: KeyObject | undefined;
  try {
    // A key that came through an environment variable often has its line breaks written out.
    if (typeof pem === "string") key = createPrivateKey(pem.replaceAll("\\n", "\n"));
  } catch {
    // What the error says of the key stays here.
  }
  if (key === undefined) throw fault("private_key is no private key in PEM");
  // Keys of other kinds have none.
  const bits = key.asymmetricKeyDetails?.modulusLength ?? 0;
  if (bits < MIN_BITS) throw fault(`private_key is no RSA key of ${MIN_BITS} bits or more`);
  return key;
}

function readTokenUrl(text: unknown): URL {
  const url = typeof text === "string" && URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol !== "https:" || url.username !== "" || url.password !== "") {
    throw new PeykError("bad-url", "serviceAccount: token_uri is not an https address", {
      hint: `Leave it as the Firebase console gave it: ${TOKEN_URL}`,
    });
  }
  return url;
}

function fault(what: string): PeykError {
  return new PeykError("bad-config", `serviceAccount: ${what}`, {
    hint: "Give the file as the Firebase console made it, its text or parsed: Project settings, Service accounts.",
  });
}
