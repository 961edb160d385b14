export { UnsyncedError } from "./memory-queue.ts";
export { createMemoryStorage, type MemoryStorage, type MemoryStorageOptions } from "./memory-storage.ts";
