import { createMemoryStorage } from "../../../src/runs/memory/memory-storage.ts";
import { describeJournal } from "../ports/journal-contract.ts";
import { describePayloads } from "../ports/payloads-contract.ts";
import type { OpenStorage } from "../ports/storage-harness.ts";

const open: OpenStorage = (clock, sync) => createMemoryStorage({ clock, durable: sync });

describeJournal("the storage in memory", open);
describePayloads("the storage in memory", open);
