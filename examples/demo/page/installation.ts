/** What a device of this browser is called on its line to the server. */
export function lineOf(userId: string, kind: string): string {
  return `${installation()}.${userId}.${kind}`;
}

/** Whether a device is one of this browser's. */
export function isHere(line: string | undefined): boolean {
  return line?.split(".")[0] === installation();
}

/** Names this browser's devices, so that several browsers can play at once. Kept over a reload. */
function installation(): string {
  const kept = localStorage.getItem("demo:installation");
  if (kept !== null) return kept;
  const made = crypto.randomUUID().slice(0, 8);
  localStorage.setItem("demo:installation", made);
  return made;
}
