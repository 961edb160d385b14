export { type BackupOptions, backUp } from "./backup.ts";
export { BackupError } from "./backup-error.ts";
export { openSqliteStorage, type SqliteStorage, type SqliteStorageOptions } from "./open-storage.ts";
export { openSqliteThread, type SqliteThreadOptions } from "./thread/open-thread.ts";
export { type RestoreOptions, restore } from "./restore.ts";
