export { openSqliteStorage, type SqliteStorage, type SqliteStorageOptions } from "./open-storage.ts";
