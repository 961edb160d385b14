import { readFile } from "node:fs/promises";
import { connectRetake, type RetakeClient } from "../client/index.ts";
import type { Arguments } from "./arguments.ts";
import { UsageError } from "./cli-error.ts";
import { connectionFlags } from "./global-flags.ts";
import type { CliIo } from "./io.ts";
import { localAdminKey } from "./local-admin-key.ts";

/** A connection to the server that a command line means. */
export interface Connection extends Disposable {
  readonly retake: RetakeClient;
  readonly target: string;
  /** Another command line for the same server: `retake watch ID`. */
  commandLine(...words: readonly string[]): string;
}

const defaultTarget = "127.0.0.1:50051";

/** @throws UsageError for flags and environment variables that cannot work */
export async function connect(given: Arguments, io: CliIo): Promise<Connection> {
  const target = given.value("target") ?? nonEmpty(io.env["RETAKE_TARGET"]) ?? defaultTarget;
  // An empty variable says that there is none, which is not the same as saying nothing.
  const named = given.value("api-key") ?? io.env["RETAKE_API_KEY"];
  const apiKey = named === undefined ? await localAdminKey(target, given.value("config")) : nonEmpty(named);
  const ca = given.value("ca") ?? nonEmpty(io.env["RETAKE_CA"]);
  const tls = given.has("tls") || isOn("RETAKE_TLS", io.env["RETAKE_TLS"]);
  const repeated = given.given(Object.keys(connectionFlags).filter((name) => name !== "api-key"));
  try {
    const retake = connectRetake({
      target,
      tls: ca === undefined ? tls : { ca: await readCertificates(ca) },
      allowPlaintextApiKey: given.has("plaintext-api-key"),
      // A command that cannot reach its server says so at once; only watching rides through a restart.
      retryForMs: 0,
      clock: io.clock,
      random: io.random,
      ...(apiKey === undefined ? {} : { apiKey }),
    });
    return {
      retake,
      target,
      commandLine: (...words) => ["retake", ...words, ...repeated.map(quoted)].join(" "),
      [Symbol.dispose]: () => retake.close(),
    };
  } catch (error) {
    if (error instanceof TypeError) throw new UsageError(inFlags(error.message), { cause: error });
    throw error;
  }
}

function nonEmpty(value: string | undefined): string | undefined {
  return value === "" ? undefined : value;
}

function isOn(name: string, value: string | undefined): boolean {
  if (value === undefined || value === "" || /^(0|false|no|off)$/i.test(value)) return false;
  if (/^(1|true|yes|on)$/i.test(value)) return true;
  throw new UsageError(`${name} is "${value}", and must be 1 or 0`);
}

async function readCertificates(file: string): Promise<Uint8Array> {
  let bytes: Buffer;
  try {
    bytes = await readFile(file);
  } catch (error) {
    throw new UsageError(`--ca: ${file} cannot be read: ${(error as Error).message}`, { cause: error });
  }
  if (!bytes.includes("-----BEGIN CERTIFICATE-----")) {
    throw new UsageError(`--ca: ${file} has no certificate in it; it must be a PEM file`);
  }
  return bytes;
}

/** The client speaks of its options; who types a command knows flags. */
function inFlags(message: string): string {
  return message
    .replace(/^target: /, "--target: ")
    .replace(/^apiKey: /, "--api-key: ")
    .replace("apiKey would", "the API key would")
    .replace("set tls to true", "use --tls")
    .replace("set tls, or allowPlaintextApiKey", "use --tls, or --plaintext-api-key");
}

function quoted(word: string): string {
  return /^[\w./:@%+=,-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
