type AsyncDispose = SymbolConstructor["asyncDispose" & keyof SymbolConstructor];

/**
 * `AsyncDisposable` of TypeScript's library `esnext.disposable`, for `await using`. In programs without that library it is an
 * object without the method, where its own name would be an error.
 */
export type AsyncDisposableLike = { [Method in AsyncDispose]: () => Promise<void> };
