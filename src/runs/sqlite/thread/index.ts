// What a server needs of the embedded storage; the rest is loaded by the storage's own thread.
export { openSqliteThread, type SqliteThread, type SqliteThreadOptions, startSqliteThread } from "./open-thread.ts";
