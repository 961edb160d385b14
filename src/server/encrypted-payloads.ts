import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Clock, RandomSource } from "../clock.ts";
import type { ResolvedConfig } from "../config/index.ts";
import type { Journal, Payloads } from "../runs/index.ts";
import { EncryptedPayloads, readKeyRing } from "../security/index.ts";
import { secretsFolder } from "./security-files.ts";

/**
 * The payloads of a storage, encrypted where the configuration or a contract wants it.
 *
 * @param inMemory the storage ends with its process, and so nobody can read its files
 */
export function encryptedPayloads(
  { dataDirectory, security }: Pick<ResolvedConfig, "dataDirectory" | "security">,
  { journal, payloads }: { readonly journal: Journal; readonly payloads: Payloads },
  clock: Clock,
  random: RandomSource,
  inMemory: boolean,
): EncryptedPayloads {
  const { all, keyFile } = security.payloadEncryption;
  const path = keyFile ?? join(dataDirectory, secretsFolder, "payload.keys");
  return new EncryptedPayloads({
    ...{ payloads, journal, all, clock, plain: inMemory && keyFile === undefined },
    readKeys: (missing) => readKeyRing(path, random, missing),
    hasKeys: () => existsSync(path),
  });
}
