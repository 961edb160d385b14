import { isIPv4 } from "node:net";
import { join } from "node:path";
import type { RandomSource } from "../clock.ts";
import type { ResolvedConfig } from "../config/index.ts";
import { newKey, readKeyFile, type TextRedactorOptions } from "../security/index.ts";

/** Where secrets that the server makes for itself are, within a data directory. */
export const secretsFolder = "secrets";

/** Where the audit log is, within a data directory. */
export const auditFolder = "audit";

export function auditKeyFile({ dataDirectory, security }: Pick<ResolvedConfig, "dataDirectory" | "security">): string {
  return security.audit?.keyFile ?? join(dataDirectory, secretsFolder, "audit.key");
}

/**
 * How texts are redacted.
 *
 * @param inMemory nothing may be written: pseudonyms then are others after each start
 * @throws KeyFileError
 */
export function redactionOf(config: RedactionSource, random: RandomSource, inMemory: boolean): TextRedactorOptions {
  const keyless = keylessRedaction(config);
  const { personalData, keyFile } = config.security.redaction;
  if (personalData !== "pseudonymize") return keyless;
  const path = keyFile ?? join(config.dataDirectory, secretsFolder, "redaction.key");
  const key = inMemory && keyFile === undefined ? newKey(random) : readKeyFile(path, random);
  // An array of its own: it goes to other threads.
  return { ...keyless, personalData, key: Uint8Array.from(key) };
}

/** How texts are redacted while there is no key: without pseudonyms. */
export function keylessRedaction({ security, backends }: RedactionSource): TextRedactorOptions {
  const { personalData, keepAddresses } = security.redaction;
  const own = backends.flatMap(({ endpoints }) => endpoints.flatMap(({ target }) => addressesIn(target)));
  return {
    personalData: personalData === "keep" ? "keep" : "redact",
    key: new Uint8Array(),
    keepAddresses: [...keepAddresses, ...own],
  };
}

type RedactionSource = Pick<ResolvedConfig, "dataDirectory" | "security" | "backends">;

/** The addresses that a configured back-end stands for are machines of the operator's. */
function addressesIn(target: string): readonly string[] {
  return target.match(/\d{1,3}(?:\.\d{1,3}){3}/g)?.filter((address) => isIPv4(address)) ?? [];
}
