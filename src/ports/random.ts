/** Where chance comes from, so that a simulation can seed it. */
export interface Random {
  /** 128 unguessable bits as text. */
  id(): string;
  /** In [0, 1). For jitter. */
  fraction(): number;
}
