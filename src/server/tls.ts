import { ConfigError, type ConfigProblem, type ResolvedConfig, type ResolvedTls } from "../config/index.ts";
import { readPemFiles } from "./pem-files.ts";

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

function readFiles(tls: ResolvedTls, where: string, problems: ConfigProblem[]): TlsFiles {
  const read = readPemFiles(
    {
      certificate_file: tls.certificateFile,
      key_file: tls.keyFile,
      ...(tls.clientCaFile !== undefined && { client_ca_file: tls.clientCaFile }),
    },
    where,
    problems,
  );
  return {
    certificate: read.certificate_file ?? Buffer.alloc(0),
    key: read.key_file ?? Buffer.alloc(0),
    ...(read.client_ca_file && { clientCa: read.client_ca_file }),
  };
}
