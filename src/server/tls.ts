import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { createSecureContext } from "node:tls";
import { ConfigError, type ConfigProblem, type ResolvedConfig, type ResolvedTls } from "../config/index.ts";

/** The PEM files of a TLS configuration, read and known to belong together. */
export interface TlsFiles {
  readonly certificate: Buffer;
  readonly key: Buffer;
  /** Clients must present a certificate of one of these authorities. */
  readonly clientCa?: Buffer;
}

/** Absent for plain text. */
export interface FrontsTls {
  readonly grpc?: TlsFiles;
  readonly web?: TlsFiles;
}

/**
 * Reads the files of both fronts, before anything else is opened.
 *
 * @throws ConfigError with everything that is wrong with them, each problem with its field and file
 */
export function readTls({ grpc, web }: Pick<ResolvedConfig, "grpc" | "web">): FrontsTls {
  const problems: ConfigProblem[] = [];
  const files = {
    ...(grpc?.tls && { grpc: readFiles(grpc.tls, "grpc.tls", problems) }),
    ...(web?.tls && { web: readFiles(web.tls, "web.tls", problems) }),
  };
  if (problems.length > 0) {
    throw new ConfigError("configuration", problems);
  }
  return files;
}

/** What it answers is of use only if it has found no problem. */
function readFiles(tls: ResolvedTls, where: string, problems: ConfigProblem[]): TlsFiles {
  const { certificateFile, keyFile, clientCaFile } = tls;
  const before = problems.length;
  const read = <T>(file: string, field: string, parse: (pem: Buffer, file: string) => T) => {
    try {
      const pem = readPem(file);
      return { pem, parsed: parse(pem, file) };
    } catch (error) {
      problems.push({ field: `${where}.${field}`, message: (error as Error).message });
      return undefined;
    }
  };
  const certificate = read(certificateFile, "certificate_file", parseCertificates);
  const key = read(keyFile, "key_file", parseKey);
  const clientCa = clientCaFile === undefined ? undefined : read(clientCaFile, "client_ca_file", parseCertificates);
  if (certificate !== undefined && key !== undefined && !certificate.parsed[0]?.checkPrivateKey(key.parsed)) {
    const later = certificate.parsed.some((each) => each.checkPrivateKey(key.parsed));
    const advice = later ? "put the server's own certificate first in that file" : "name the files of one pair";
    const message = `the key in ${keyFile} is not that of the first certificate in ${certificateFile}: ${advice}`;
    problems.push({ field: `${where}.key_file`, message });
  }
  const files = {
    certificate: certificate?.pem ?? Buffer.alloc(0),
    key: key?.pem ?? Buffer.alloc(0),
    ...(clientCa && { clientCa: clientCa.pem }),
  };
  if (problems.length === before) {
    try {
      createSecureContext({ cert: files.certificate, key: files.key, ...(clientCa && { ca: clientCa.pem }) });
    } catch (error) {
      problems.push({ field: where, message: `TLS refuses these files: ${(error as Error).message}` });
    }
  }
  return files;
}

const readProblems: Readonly<Record<string, string>> = {
  ENOENT: "there is no such file",
  EACCES: "this user may not read it",
  EISDIR: "it is a directory",
};

function readPem(file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    const { code = "", message } = error as NodeJS.ErrnoException;
    throw new Error(`${file} cannot be read: ${readProblems[code] ?? message}`);
  }
}

function parseCertificates(pem: Buffer, file: string): X509Certificate[] {
  const blocks = pem.toString("latin1").match(/-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----/gs);
  if (blocks === null) {
    throw new Error(`${file} holds no certificate in PEM format`);
  }
  return blocks.map((block, index) => {
    try {
      return new X509Certificate(block);
    } catch (error) {
      throw new Error(`certificate ${index + 1} in ${file} cannot be read: ${(error as Error).message}`);
    }
  });
}

function parseKey(pem: Buffer, file: string): KeyObject {
  if (pem.includes("ENCRYPTED")) {
    throw new Error(`the key in ${file} is encrypted: store it decrypted, readable by the server's user alone`);
  }
  try {
    return createPrivateKey(pem);
  } catch {
    throw new Error(`${file} holds no private key in PEM format`);
  }
}
