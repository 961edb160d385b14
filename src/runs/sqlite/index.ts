export { openSqliteStorage, type SqliteStorage, type SqliteStorageOptions } from "./open-storage.ts";
export { openSqliteThread, type SqliteThreadOptions } from "./thread/open-thread.ts";
