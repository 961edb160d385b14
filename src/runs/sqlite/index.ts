export { type BackupOptions, backUp } from "./backup.ts";
export { BackupError } from "./backup-error.ts";
export { type CheckOptions, checkStorage } from "./check-storage.ts";
export { type Compacted, compact } from "./compact.ts";
export { openSqliteStorage, type SqliteStorage, type SqliteStorageOptions } from "./open-storage.ts";
export { readLastStream } from "./read-stream.ts";
export { type RestoreOptions, restore } from "./restore.ts";
export { openSqliteThread, type SqliteThreadOptions } from "./thread/index.ts";
