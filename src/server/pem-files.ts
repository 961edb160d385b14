import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { createSecureContext } from "node:tls";
import type { ConfigProblem } from "../config/index.ts";

/** The PEM files of a TLS configuration, on whichever side of a connection, each by its field. */
export interface PemFileNames {
  readonly certificate_file?: string;
  readonly key_file?: string;
  /** Authorities that the other side's certificate must come from. */
  readonly client_ca_file?: string;
  /** What those authorities have revoked. */
  readonly client_crl_file?: string;
  readonly ca_file?: string;
}

export type PemFiles = { readonly [Field in keyof PemFileNames]: Buffer };

/** Reads them, and sees that they belong together. What it answers is of use only if it has found no problem. */
export function readPemFiles(names: PemFileNames, where: string, problems: ConfigProblem[]): PemFiles {
  const before = problems.length;
  const read = <T>(field: keyof PemFileNames, parse: (pem: Buffer, file: string) => T) => {
    const file = names[field];
    if (file === undefined) {
      return undefined;
    }
    try {
      const pem = readPem(file);
      return { file, pem, parsed: parse(pem, file) };
    } catch (error) {
      problems.push({ field: `${where}.${field}`, message: (error as Error).message });
      return undefined;
    }
  };
  const certificate = read("certificate_file", parseCertificates);
  const key = read("key_file", parseKey);
  const clientCa = read("client_ca_file", parseCertificates);
  const clientCrl = read("client_crl_file", checkRevocations);
  const ca = read("ca_file", parseCertificates);
  if (certificate !== undefined && key !== undefined && !certificate.parsed[0]?.checkPrivateKey(key.parsed)) {
    const later = certificate.parsed.some((each) => each.checkPrivateKey(key.parsed));
    const advice = later ? "put the server's own certificate first in that file" : "name the files of one pair";
    const message = `the key in ${key.file} is not that of the first certificate in ${certificate.file}: ${advice}`;
    problems.push({ field: `${where}.key_file`, message });
  }
  if (problems.length === before) {
    const trusted = clientCa ?? ca;
    try {
      createSecureContext({
        ...(certificate && { cert: certificate.pem }),
        ...(key && { key: key.pem }),
        ...(trusted && { ca: trusted.pem }),
        ...(clientCrl && { crl: clientCrl.pem }),
      });
    } catch (error) {
      problems.push({ field: where, message: `TLS refuses these files: ${(error as Error).message}` });
    }
  }
  return {
    ...(certificate && { certificate_file: certificate.pem }),
    ...(key && { key_file: key.pem }),
    ...(clientCa && { client_ca_file: clientCa.pem }),
    ...(clientCrl && { client_crl_file: clientCrl.pem }),
    ...(ca && { ca_file: ca.pem }),
  };
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

/** Node parses them when it needs them, and tells nothing about what it has not found. */
function checkRevocations(pem: Buffer, file: string): void {
  if (!pem.includes("-----BEGIN X509 CRL-----")) throw new Error(`${file} holds no revocation list in PEM format`);
  try {
    createSecureContext({ crl: pem });
  } catch (error) {
    throw new Error(`the revocation list in ${file} cannot be read: ${(error as Error).message}`);
  }
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
