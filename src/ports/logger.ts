/**
 * Where the engine writes what an operator should know. `console` fits.
 * Secrets, tokens, deviceIds and message contents are never passed in.
 */
export interface Logger {
  info(message: string, fields?: Record<string, unknown>): void;
  warn(message: string, fields?: Record<string, unknown>): void;
  error(message: string, fields?: Record<string, unknown>): void;
}
