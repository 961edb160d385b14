import { readFileSync } from "node:fs";
import { ConfigError, type ResolvedTls } from "../config/index.ts";

/** The PEM files of a TLS configuration, read. */
export interface TlsFiles {
  readonly certificate: Buffer;
  readonly key: Buffer;
  /** Clients must present a certificate of one of these authorities. */
  readonly clientCa?: Buffer;
}

/** @throws ConfigError naming the file that cannot be read */
export function readTls(tls: ResolvedTls, where: string): TlsFiles {
  return {
    certificate: readPem(tls.certificateFile, `${where}.certificate_file`),
    key: readPem(tls.keyFile, `${where}.key_file`),
    ...(tls.clientCaFile === undefined ? {} : { clientCa: readPem(tls.clientCaFile, `${where}.client_ca_file`) }),
  };
}

function readPem(file: string, field: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    throw new ConfigError("configuration", [
      { field, message: `cannot be read: ${error instanceof Error ? error.message : String(error)}` },
    ]);
  }
}
